"""A cloud, four receivers with an ARC each, and many devices, for measurements."""

import threading
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from benchmarks.failover.arrivals import Arrivals, wait_for
from hotspare.v1 import alarm_pb2, configuration_service_pb2, group_pb2, record_pb2, role_service_pb2
from hotspare.v1.configuration_service_pb2_grpc import ConfigurationServiceStub
from hotspare.v1.role_service_pb2_grpc import RoleServiceStub
from tests.acceptance.harness.panels import Panel
from tests.acceptance.harness.proxy import Proxy
from tests.acceptance.harness.system import ARC_ID, ROLES, Receiver, System

PATIENCE = 60.0
"""Seconds for anything that is not measured: starts, returns, backlogs."""
CALM = 6.0
"""Seconds after a stall of the cloud, or a change of settings, before anything is measured: longer than the cloud's
grace for either (`restart_grace`, and two beats more than `suspect_after`)."""
FIRST_ACCOUNT = 0xA000

_ROLES = {
    group_pb2.ROLE_HOST: "host",
    group_pb2.ROLE_SPARE_1: "spare1",
    group_pb2.ROLE_SPARE_2: "spare2",
    group_pb2.ROLE_SPARE_3: "spare3",
}
ROLE_NUMBERS = {name: number for number, name in _ROLES.items()}
_RUNNING = {group_pb2.SYNC_STATE_UPLOADING, group_pb2.SYNC_STATE_SYNCING, group_pb2.SYNC_STATE_BEHIND}
_CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),
]


class Stage(System):
    """The processes of one round. `with_proxies`: each receiver reaches the cloud through a proxy of its own."""

    def __init__(self, folder: Path, *, with_proxies: bool = False) -> None:
        super().__init__(folder)
        self.arrivals = Arrivals()
        self.book = self.arrivals
        self.proxies: dict[str, Proxy] = {}
        self._with_proxies = with_proxies
        self._state = role_service_pb2.WatchMembersResponse()
        self._epochs: dict[int, tuple[float, str]] = {}
        self._watched: grpc.Channel | None = None
        self._busy_at = 0.0

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *details: object) -> None:
        for proxy in self.proxies.values():
            proxy.heal()
        super().__exit__(*details)
        for proxy in self.proxies.values():
            proxy.stop()
        if self._watched is not None:
            self._watched.close()

    def set_up(self, devices: int, settings: Mapping[str, timedelta | int]) -> None:
        """Start all, and wait until the host works and the spares stand by."""
        self.start_group()
        self._watched = grpc.insecure_channel(self.cloud.grpc, options=_CHANNEL)
        self._operator = (("authorization", f"Bearer {(self.folder / 'cloud/operator.token').read_text().strip()}"),)
        self._roles = RoleServiceStub(self._watched)
        threading.Thread(target=self._watch, daemon=True).start()
        self.change_settings(settings)
        self._make_devices(devices)
        self.await_all_here()
        wait_for(self._in_sync, PATIENCE, "the configuration is where it belongs")
        self.await_calm()

    def tell_cloud(self, receiver: Receiver, *more: str | Path) -> None:
        """Tell a receiver its cloud, or its proxy to the cloud."""
        address = self.cloud.grpc
        if self._with_proxies:
            proxy = self.proxies[receiver.name] = Proxy(address)
            address = proxy.address
        words = ("--cloud-address", address, "--arc-id", ARC_ID, "--arc-key-file", self.arc_key)
        receiver.cli("settings", "set", *words, "--name", receiver.name, *more)

    def change_settings(self, settings: Mapping[str, timedelta | int]) -> None:
        """Change settings of the group."""
        message = group_pb2.GroupSettings()
        for name, value in settings.items():
            if isinstance(value, timedelta):
                span = Duration()
                span.FromTimedelta(value)
                getattr(message, name).CopyFrom(span)
            else:
                setattr(message, name, value)
        request = role_service_pb2.UpdateGroupSettingsRequest(
            settings=message, update_mask=FieldMask(paths=list(settings)), arc_id=ARC_ID
        )
        self._roles.UpdateGroupSettings(request, metadata=self._operator, timeout=10)
        self._busy_at = time.monotonic()

    def switch_over(self, role: str) -> None:
        """As `hotspare switchover --to ROLE` does, by the operator of the cloud."""
        request = role_service_pb2.SwitchoverRequest(
            request_id=str(uuid.uuid4()), role=ROLE_NUMBERS[role], arc_id=ARC_ID
        )
        self._roles.Switchover(request, metadata=self._operator, timeout=10)

    def resume(self) -> None:
        """Move automatically again, after a switchover."""
        request = role_service_pb2.ResumeFailoverRequest(arc_id=ARC_ID)
        self._roles.ResumeFailover(request, metadata=self._operator, timeout=10)

    # What the cloud tells.

    @property
    def epoch_now(self) -> int:
        """The newest epoch that was seen."""
        return max(self._epochs, default=0)

    def worker(self) -> str | None:
        """The role that works."""
        return next((_ROLES[each.role] for each in self._members(group_pb2.MEMBER_STATUS_WORKING)), None)

    def await_epoch_after(self, epoch: int) -> tuple[float, str]:
        """When an epoch after this one was seen, and who works in it."""
        return wait_for(
            lambda: self._epochs[self.epoch_now] if self.epoch_now > epoch else None, PATIENCE, "the work moves"
        )

    def await_all_here(self) -> str:
        """Wait until one works and all others stand by; returns the role that works."""

        def all_here() -> str | None:
            standby = sum(1 for _ in self._members(group_pb2.MEMBER_STATUS_STANDBY))
            return self.worker() if standby == len(ROLES) - 1 else None

        return wait_for(all_here, PATIENCE, "one works and three stand by")

    def backlog(self) -> int:
        """Alarms that the cloud has no confirmation of."""
        request = role_service_pb2.ListMembersRequest(arc_id=ARC_ID)
        response = self._roles.ListMembers(request, metadata=self._operator, timeout=10)
        return int(response.group.backlog)

    def stalls(self) -> int:
        """How often the cloud got no time for half a second or more. After one it suspects nobody for a while."""
        return int(self.page().value("hotspare_cloud_stalls_total"))

    def await_calm(self) -> None:
        """Wait out the grace in which the cloud suspects nobody: after a stall of its own, or other settings."""
        stalls = self.stalls()
        while time.monotonic() < self._busy_at + CALM:
            time.sleep(0.2)
            if (newer := self.stalls()) != stalls:
                stalls, self._busy_at = newer, time.monotonic()

    def _in_sync(self) -> bool | None:
        """Whether nobody sends or takes configuration any more: that would run beside the first measurement."""
        states = {member.role: member.sync_state for member in self._state.members}
        host = states.get(group_pb2.ROLE_HOST)
        return True if host == group_pb2.SYNC_STATE_UP_TO_DATE and not _RUNNING & {*states.values()} else None

    def _members(self, status: group_pb2.MemberStatus.ValueType) -> list[group_pb2.Member]:
        return [member for member in self._state.members if member.status == status]

    def _watch(self) -> None:
        request = role_service_pb2.WatchMembersRequest(arc_id=ARC_ID)
        while True:
            try:
                for state in self._roles.WatchMembers(request, metadata=self._operator):
                    self._note(time.monotonic(), state)
            except grpc.RpcError:
                time.sleep(0.05)
            except ValueError:
                # The channel was closed: the stage is over.
                return

    def _note(self, now: float, state: role_service_pb2.WatchMembersResponse) -> None:
        self._state = state
        working = state.group.working_receiver_id
        if working and state.group.epoch not in self._epochs:
            role = next((_ROLES[each.role] for each in state.members if each.receiver.receiver_id == working), "")
            self._epochs[state.group.epoch] = (now, role)

    # Devices.

    def _make_devices(self, count: int) -> None:
        host = self.receivers["host"]
        metadata = (("authorization", f"Bearer {host.token.read_text().strip()}"),)
        channel = grpc.insecure_channel(self.cloud.grpc, options=_CHANNEL)
        self._stack.callback(channel.close)
        with grpc.insecure_channel(host.grpc) as at_host:
            stub = ConfigurationServiceStub(at_host)
            for index in range(count):
                account = f"{FIRST_ACCOUNT + index:04X}"
                device = record_pb2.Device(device_id=f"panel-{index}", account_number=account)
                # Off: a device that has its turn seldom is no event here.
                device.supervision_interval.SetInParent()
                request = configuration_service_pb2.CreateDeviceRequest(device=device)
                answer = stub.CreateDevice(request, metadata=metadata, timeout=10)
                self.panels.append(Panel(channel, ARC_ID, device.device_id, account, answer.device_key))
        last = self.panels[-1]
        wait_for(lambda: _known(last), PATIENCE, "the cloud knows the devices")


def _known(panel: Panel) -> bool | None:
    """Whether the cloud takes this device's credentials: an alarm without an id asks, and stores nothing."""
    try:
        panel.once(alarm_pb2.Alarm())
    except grpc.RpcError as error:
        known = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.INVALID_ARGUMENT
        return True if known else None
    return True
