"""A live system for clients in other languages, and what each of them goes through.

How such a client is started, and what it prints, is the same for all: docs/clients/README.md.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from grpc_status import rpc_status

from hotspare.v1 import alarm_service_pb2, alarm_service_pb2_grpc
from hotspare.v1.role_service_pb2 import ListMembersResponse
from hotspare_model.errors import field_invalid
from hotspare_rpc.errors import to_status
from tests.acceptance.harness.certificates import Authority
from tests.acceptance.harness.polling import until
from tests.acceptance.harness.process import Server
from tests.acceptance.harness.system import ARC_ID, METRIC_ROLES, Receiver, System

ROLES = ("host", "spare1")
SUBSCRIPTION = "automation"
DEVICE, ACCOUNT = "panel-1", "0C01"
OWN_ACCOUNT = "0C09"
"""Of the spare's own events."""
PART = 10
"""Alarms before a failover, and as many after it."""
START = 30.0
"""Seconds until a client has said something: some start slowly, on a busy machine."""
PATIENCE = 40.0
"""Seconds for a client to come through a failover, or a restart of the cloud."""


@dataclass(frozen=True)
class Line:
    """What a client printed: the word in front, and its values."""

    event: str
    values: dict[str, str]

    def says(self, event: str, values: dict[str, str]) -> bool:
        """Whether it is of this event, with these values and perhaps others."""
        return self.event == event and values.items() <= self.values.items()


class Client(Server):
    """One run of a client. What else it prints, such as warnings of its runtime, harms nothing."""

    def lines(self) -> list[Line]:
        """All that it said so far; not a line that has not ended."""
        whole, _, _ = self.log().rpartition("\n")
        words = [line.split() for line in whole.splitlines() if line.strip()]
        return [Line(event, dict(pair.split("=", 1) for pair in rest if "=" in pair)) for event, *rest in words]

    def told(self, event: str, **values: str) -> list[Line]:
        """The lines of an event with these values."""
        return [line for line in self.lines() if line.says(event, values)]

    def tells(self, event: str, *, seconds: float = START, **values: str) -> Line:
        """Wait until it says so; returns the first such line."""

        def look() -> list[Line]:
            assert self.is_running or self.told(event, **values), f"{self.name} ended without that:\n{self.log()}"
            return self.told(event, **values)

        return until(look, seconds, lambda: f"{self.name} says {event} {values}; it said:\n{self.log()}")[0]

    def ends(self, status: int = 0, seconds: float = START) -> list[Line]:
        """Wait for its end, with this exit status; returns what it said."""
        assert self.wait(seconds) == status, f"{self.name}:\n{self.log()}"
        return self.lines()


class LiveSystem:
    """A cloud, a host and a spare with a stream output each, a device, and what clients need to know of all these."""

    def __init__(self, folder: Path, command: Sequence[str | Path], *, tls: bool = True) -> None:
        """`command`: what starts the client, all paths absolute. `tls`: all servers have certificates, and show no
        other way; without it they serve as on a machine of their own."""
        self.system = System(folder)
        self._folder = folder
        self._command = [str(word) for word in command]
        self._authority = Authority(folder) if tls else None
        self._runs = 0

    def __enter__(self) -> "LiveSystem":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.system.__exit__()

    def _start(self) -> None:
        system = self.system
        system.authority = self._authority
        system.start_cloud(*self._certificate("cloud"))
        for role in ROLES:
            system.receivers[role] = system.start_receiver(role, *self._certificate(role))
        for role, receiver in system.receivers.items():
            receiver.serving()
            self._configure(role, receiver)
        # Whoever started first is not healthy first, while no client follows; the host is back at once when one does.
        self.cli("host", "group", "set", "--failback-delay", "0s")
        key = system.folder / f"{DEVICE}.key"
        words = ("device", "create", DEVICE, "--account", ACCOUNT, "--supervision", "0s", "--key-out", key)
        self.cli("host", *words)
        system.be_panel(DEVICE, ACCOUNT, key.read_text().strip())

    def _configure(self, role: str, receiver: Receiver) -> None:
        cloud: tuple[str | Path, ...] = ("--cloud-address", self.system.cloud.grpc, "--arc-id", ARC_ID)
        if self._authority is not None:
            cloud = (*cloud, "--cloud-ca-file", self._authority.file)
        self.cli(role, "settings", "set", *cloud, "--arc-key-file", self.system.arc_key, "--name", receiver.name)
        self.cli(role, "output", "add", SUBSCRIPTION, "--kind", "stream", "--subscription", SUBSCRIPTION)
        feed = ("--role", "feed", "--subscription", SUBSCRIPTION, "--out", self.token(role, "feed"))
        self.cli(role, "token", "create", "software", *feed)
        self.cli(role, "token", "create", "screen", "--role", "viewer", "--out", self.token(role, "viewer"))
        self.cli(role, "enable", "--role", role)

    def _certificate(self, name: str) -> tuple[str, ...]:
        if self._authority is None:
            return ()
        cert, key = self._authority.issue(name)
        return ("--tls-cert", str(cert), "--tls-key", str(key))

    def token(self, role: str, kind: str) -> Path:
        """The file for a token of that receiver."""
        return self._folder / f"{role}.{kind}.token"

    def cli(self, role: str, *words: str | Path) -> str:
        """`hotspare` as an operator of that receiver; returns what it printed."""
        options = () if self._authority is None else ("--tls-ca", str(self._authority.file))
        return self.system.receivers[role].cli(*words, options=options).stdout

    def environment(self) -> dict[str, str]:
        """What a client is told, as docs/clients/README.md names it."""
        receivers = [self.system.receivers[role].grpc for role in ROLES]
        told = {
            "HOTSPARE_CLOUD": self.system.cloud.grpc,
            "HOTSPARE_ARC_ID": ARC_ID,
            "HOTSPARE_DEVICE_ID": DEVICE,
            "HOTSPARE_DEVICE_KEY_FILE": str(self._folder / f"{DEVICE}.key"),
            "HOTSPARE_RECEIVERS": ",".join(receivers),
            "HOTSPARE_FEED_TOKEN_FILES": ",".join(str(self.token(role, "feed")) for role in ROLES),
            "HOTSPARE_VIEWER_TOKEN_FILES": ",".join(str(self.token(role, "viewer")) for role in ROLES),
            "HOTSPARE_SUBSCRIPTION": SUBSCRIPTION,
        }
        if self._authority is not None:
            told["HOTSPARE_TLS_CA"] = str(self._authority.file)
        return told

    def client(self, *words: str, **environment: str) -> Client:
        """Start the client with these arguments; what is given of the environment takes the place of the usual."""
        self._runs += 1
        client = Client(f"client-{self._runs}-{words[0]}", [*self._command, *words], self._folder)
        client.env = self.environment() | environment
        self.system.server(client)
        client.start()
        return client

    def await_nothing_waits(self) -> None:
        """Wait until the cloud has all confirmations: of all that was published, the acknowledgements came through."""
        waiting = "hotspare_cloud_alarms_waiting"
        until(lambda: self.system.page().value(waiting) == 0, 20, "the cloud has all confirmations")


def goes_through_a_failover(live: LiveSystem) -> None:
    """O1, F3, G6: the client publishes, follows and watches while the host is killed; nothing is lost or told twice."""
    host, spare = (live.system.receivers[role] for role in ROLES)
    follower = live.client("follow", str(2 * PART))
    # A receiver without its subscriber is not healthy, and could not take over.
    for receiver in (host, spare):
        follower.tells("state", receiver=receiver.grpc)
    # As the cloud sees it: while it does not know both as healthy, the work may move once more.
    for role in ROLES:
        until(partial(_is_healthy, live, role), START, f"the cloud knows that {role} is healthy")
    live.system.await_working("host")
    watcher = live.client("members", "1")
    before = watcher.tells("group", working="HOST")
    assert watcher.tells("member", role="SPARE_1", status="STANDBY").values["name"] == "spare1"

    first = published(live.client("publish", str(PART)).ends())
    until(lambda: len(follower.told("alarm")) == PART, START, lambda: f"all came:\n{follower.log()}")
    live.await_nothing_waits()
    host.kill()
    second = published(live.client("publish", str(PART)).ends())

    assert watcher.ends(seconds=PATIENCE)
    after = watcher.tells("group", working="SPARE_1")
    assert int(after.values["epoch"]) > int(before.values["epoch"])
    watcher.tells("member", role="HOST", status="OFFLINE")
    follower.ends(seconds=PATIENCE)
    came = follower.told("alarm")
    assert [(line.values["alarm_id"], line.values["sequence"]) for line in came] == [*first, *second]
    assert [line.values["receiver"] for line in came] == [host.grpc] * PART + [spare.grpc] * PART
    assert {line.values["account"] for line in came} == {ACCOUNT}
    assert {line.values["attempt"] for line in came} == {"1"}
    assert follower.told("again") == []
    # The last acknowledgements were not left behind when the client ended.
    live.await_nothing_waits()


def tries_again(live: LiveSystem) -> None:
    """A2: while the cloud is away the client waits as long as it is told to, and gets through under the same id."""
    _own_account(live)
    live.system.cloud.kill()
    publisher = live.client("publish", "1")
    tester = live.client("test")
    # The cloud itself can't say why it does not answer; a receiver can, and says how long to wait.
    waiting = publisher.tells("waiting", code="UNAVAILABLE", reason="-")
    told = tester.tells("waiting", code="UNAVAILABLE", reason="CLOUD_UNREACHABLE")
    assert float(told.values["seconds"]) >= 1.0
    live.system.cloud.start()
    live.system.cloud.serving()
    done = published(publisher.ends(seconds=PATIENCE))
    assert [alarm_id for alarm_id, _ in done] == [waiting.values["alarm_id"]]
    tester.ends(seconds=PATIENCE)
    (tested,) = tester.told("tested")
    assert tested.values["alarm_id"] == told.values["alarm_id"]


def reads_reasons(live: LiveSystem) -> None:
    """S1: the client decides by the reason that the contract names. An alarm is given up only for what is wrong with
    itself; a receiver that refuses a subscriber is no reason to leave the others."""
    client = live.client("errors")
    client.ends()
    errors = [line.values for line in client.told("error")]
    assert errors == [
        {"call": "PublishAlarm", "code": "INVALID_ARGUMENT", "reason": "FIELD_INVALID", "field": "alarm_id"},
        {"call": "GetAlarm", "code": "NOT_FOUND", "reason": "RESOURCE_NOT_FOUND", "kind": "alarm"},
        {"call": "WatchMembers", "code": "UNAUTHENTICATED", "reason": "INVALID_CREDENTIALS"},
    ]
    _keeps_an_alarm(live)
    _keeps_following(live)


def _keeps_an_alarm(live: LiveSystem) -> None:
    """A2: a key that is wrong today may be right tomorrow; an error without a reason says nothing of the alarm."""
    other = live.system.folder / "other.key"
    other.write_text("hsd_" + "A" * 43 + "\n")
    unknown = live.client("publish", "1", HOTSPARE_DEVICE_KEY_FILE=str(other))
    waiting = unknown.tells("waiting", code="UNAUTHENTICATED", reason="INVALID_CREDENTIALS")
    assert float(waiting.values["seconds"]) >= 60
    unknown.kill()

    with _capricious_cloud() as (address, asked):
        publisher = live.client("publish", "2", HOTSPARE_CLOUD=address, HOTSPARE_TLS_CA="")
        done = published(publisher.ends(1))
    (refused,), (waiting,) = publisher.told("refused"), publisher.told("waiting")
    assert (refused.values["code"], refused.values["reason"]) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert (waiting.values["code"], waiting.values["reason"]) == ("CANCELLED", "-")
    assert asked == [refused.values["alarm_id"], waiting.values["alarm_id"], done[0][0]]
    assert asked[1] == asked[2]


def _keeps_following(live: LiveSystem) -> None:
    """A wrong token at one receiver leaves the streams to the others as they are; only who is told that somebody
    else took the subscription ends."""
    spare = live.system.receivers["spare1"].grpc
    none, feed, viewer = (live.token("spare1", kind) for kind in ("none", "feed", "viewer"))
    none.write_text("none\n")
    first = live.client(
        "follow",
        HOTSPARE_RECEIVERS=f"{spare},{spare}",
        HOTSPARE_FEED_TOKEN_FILES=f"{none},{feed}",
        HOTSPARE_VIEWER_TOKEN_FILES=f"{viewer},{viewer}",
    )
    first.tells("lost", receiver=spare, code="UNAUTHENTICATED", reason="INVALID_CREDENTIALS")
    first.tells("state", receiver=spare)
    second = live.client("follow")
    first.tells("lost", receiver=spare, code="ABORTED", reason="STREAM_SUPERSEDED")
    first.ends(1)
    second.kill()


class _Capricious(alarm_service_pb2_grpc.AlarmServiceServicer):
    """A cloud that refuses the first alarm for good, ends the next call as a proxy may, and takes what comes then."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def PublishAlarm(
        self, request: alarm_service_pb2.PublishAlarmRequest, context: Any
    ) -> alarm_service_pb2.PublishAlarmResponse:
        """Answer by how many came before."""
        alarm_id = request.submission.alarm.alarm_id
        self.asked.append(alarm_id)
        if len(self.asked) == 1:
            context.abort_with_status(rpc_status.to_status(to_status(field_invalid("alarm", "is not wanted here"))))
        if len(self.asked) == 2:
            context.abort(grpc.StatusCode.CANCELLED, "by something between")
        receipt = alarm_service_pb2.AlarmReceipt(alarm_id=alarm_id, account_sequence=1)
        return alarm_service_pb2.PublishAlarmResponse(receipt=receipt)


@contextmanager
def _capricious_cloud() -> Iterator[tuple[str, list[str]]]:
    """Its address, without TLS, and the ids of the alarms that it was asked to take."""
    service = _Capricious()
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", service.asked
    finally:
        server.stop(None).wait()


def _is_healthy(live: LiveSystem, role: str) -> bool:
    return live.system.page().value("hotspare_cloud_member_healthy", role=METRIC_ROLES[role]) == 1


def published(lines: list[Line]) -> list[tuple[str, str]]:
    """Id and sequence of each alarm that a client published; the cloud had none of them before."""
    done = [line.values for line in lines if line.event == "published"]
    assert {values["duplicate"] for values in done} == {"false"}
    return [(values["alarm_id"], values["sequence"]) for values in done]


def _own_account(live: LiveSystem) -> None:
    """Give the receivers that live an account number for tests; the cloud hears of it a moment later."""
    for role in [role for role in ROLES if live.system.receivers[role].is_running]:
        live.cli(role, "settings", "set", "--own-account", OWN_ACCOUNT, "--yes")
        until(partial(_is_known, live, role), START, "the cloud knows the receiver's own account number")


def _is_known(live: LiveSystem, role: str) -> bool:
    members = json_format.Parse(live.cli(role, "members", "-o", "json"), ListMembersResponse()).members
    return any(member.is_self and member.receiver.own_account_number == OWN_ACCOUNT for member in members)
