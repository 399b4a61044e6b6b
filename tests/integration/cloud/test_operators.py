"""The cloud's operators: accounts, tokens, and that nobody sees what is not theirs (S1, S2)."""

import time
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from hotspare.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    alarm_service_pb2_grpc,
    role_service_pb2,
    token_pb2,
)
from hotspare_model.errors import Reason
from hotspare_rpc.credentials import BearerToken
from tests.integration.cloud.helpers import (
    DEADLINE,
    Account,
    CloudProcess,
    open_account,
    query,
    refused,
    to_its_end,
    until_asked,
)
from tests.integration.cloud.receivers import HOST, Receiver
from tests.integration.cloud.scene import Scene, batch, new_alarm

ADMIN = token_pb2.TOKEN_ROLE_ADMIN
OPERATOR = token_pb2.TOKEN_ROLE_OPERATOR
VIEWER = token_pb2.TOKEN_ROLE_VIEWER


class Desk:
    """An operator with a token."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self.stub = account_service_pb2_grpc.AccountServiceStub(channel)
        self.token = token

    async def call(self, method: str, **fields: Any) -> Any:
        """Call a method of AccountService."""
        request = getattr(account_service_pb2, f"{method}Request")(**fields)
        return await getattr(self.stub, method)(request, metadata=BearerToken(self.token).metadata())

    async def new_token(self, name: str, role: int, validity: timedelta | None = None) -> str:
        """Make a token; its secret."""
        more = {} if validity is None else {"validity": _duration(validity)}
        return str((await self.call("CreateOperatorToken", name=name, role=role, **more)).secret)


@pytest.fixture
def admin(cloud: CloudProcess, channel: grpc.aio.Channel) -> Desk:
    """The operator that the first start made a token for."""
    return Desk(channel, cloud.token)


async def test_s1_an_account_is_made_with_a_key_that_is_shown_once(
    cloud: CloudProcess, channel: grpc.aio.Channel, admin: Desk
) -> None:
    made = await open_account(channel, cloud.token, "made-here", "north", "south", "north")
    shown = (await admin.call("GetArcAccount", arc_id="made-here")).account
    assert (list(shown.sub_accounts), shown.HasField("create_time")) == (["north", "south"], True)
    assert made.key not in str(shown)
    assert made.key not in cloud.log()
    assert len(made.key) >= 22  # 128 bits, in base64
    ((stored,),) = query(cloud.data, "SELECT key_sha256 FROM account WHERE arc_id = 'made-here'")
    assert len(stored) == 32
    host = Receiver(channel, made, sub_account="south")
    assert (await host.join(HOST)).group.sub_account == "south"
    error = await refused(admin.call("CreateArcAccount", arc_id="made-here"))
    assert (error.reason, error.metadata) == (Reason.RESOURCE_EXISTS, {"kind": "ARC account", "id": "made-here"})


async def test_s1_a_sub_account_is_added_and_again_is_no_error(
    channel: grpc.aio.Channel, admin: Desk, account: Account
) -> None:
    for _ in range(2):
        answer = await admin.call("CreateSubAccount", arc_id=account.arc_id, sub_account="added")
        assert list(answer.account.sub_accounts) == ["added", "default", "second"]
    assert (await Receiver(channel, account, sub_account="added").join(HOST)).group.sub_account == "added"
    error = await refused(admin.call("CreateSubAccount", arc_id="no-such-account", sub_account="x"))
    assert error.reason is Reason.RESOURCE_NOT_FOUND


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "x" * 65, "ä", "a\n"])
async def test_s4_an_id_of_a_wrong_form_is_refused(admin: Desk, account: Account, bad: str) -> None:
    for method, fields in (
        ("CreateArcAccount", {"arc_id": bad}),
        ("CreateArcAccount", {"arc_id": "fine", "sub_accounts": [bad]}),
        ("CreateSubAccount", {"arc_id": account.arc_id, "sub_account": bad}),
        ("CreateOperatorToken", {"name": bad, "role": VIEWER}),
    ):
        assert (await refused(admin.call(method, **fields))).reason is Reason.FIELD_INVALID


async def test_s1_accounts_and_tokens_come_in_pages(admin: Desk) -> None:
    names, token = [], ""
    while True:
        page = await admin.call("ListArcAccounts", page_size=50, page_token=token)
        names += [each.arc_id for each in page.accounts]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(names)
    assert len(names) == len(set(names)) > 100
    for name in ("page-1", "page-2", "page-3"):
        await admin.new_token(name, VIEWER)
    seen, token = [], ""
    while True:
        listed = await admin.call("ListOperatorTokens", page_size=1, page_token=token)
        seen += [each.name for each in listed.tokens]
        token = listed.next_page_token
        if not token:
            break
    assert {"admin", "page-1", "page-2", "page-3"} <= set(seen)
    assert (await refused(admin.call("ListArcAccounts", page_size=1001))).reason is Reason.FIELD_INVALID
    error = await refused(admin.call("ListArcAccounts", page_token="!"))
    assert error.reason is Reason.PAGE_TOKEN_INVALID


async def test_s1_each_role_of_a_token_may_what_it_may(
    channel: grpc.aio.Channel, admin: Desk, account: Account
) -> None:
    scene = await Scene.set(channel, account, spares=0)
    removing = role_service_pb2.RemoveMemberRequest(receiver_id=scene.host.receiver_id, arc_id=account.arc_id)
    listing = role_service_pb2.ListMembersRequest(arc_id=account.arc_id)
    for name, role in (("a-viewer", VIEWER), ("an-operator", OPERATOR)):
        desk = Desk(channel, await admin.new_token(name, role))
        metadata = BearerToken(desk.token).metadata()
        await desk.call("GetArcAccount", arc_id=account.arc_id)
        assert len((await scene.host.roles.ListMembers(listing, metadata=metadata)).members) == 1
        for call in (
            desk.call("CreateArcAccount", arc_id="never"),
            desk.call("ListOperatorTokens"),
            desk.call("CreateOperatorToken", name="never", role=ADMIN),
            desk.call("RevokeOperatorToken", name="admin"),
            scene.host.roles.RemoveMember(removing, metadata=metadata),
        ):
            error = await refused(call)
            assert error.reason is Reason.CALLER_NOT_ALLOWED
            assert error.metadata == {"caller": token_pb2.TokenRole.Name(role)[11:].lower(), "required": "admin"}


async def test_s1_a_revoked_token_is_refused_at_once_and_its_name_is_free_again(
    cloud: CloudProcess, channel: grpc.aio.Channel, admin: Desk
) -> None:
    desk = Desk(channel, await admin.new_token("to-revoke", ADMIN))
    await desk.call("ListArcAccounts")
    error = await refused(admin.call("CreateOperatorToken", name="to-revoke", role=VIEWER))
    assert error.reason is Reason.RESOURCE_EXISTS
    for _ in range(2):
        answer = await admin.call("RevokeOperatorToken", name="to-revoke")
        assert answer.token.HasField("revoke_time")
    revoked = await refused(desk.call("ListArcAccounts"))
    unknown = await refused(Desk(channel, "unknown").call("ListArcAccounts"))
    assert (revoked.reason, revoked.message) == (unknown.reason, unknown.message)
    assert revoked.reason is Reason.INVALID_CREDENTIALS
    again = Desk(channel, await admin.new_token("to-revoke", VIEWER))
    await again.call("ListArcAccounts")
    error = await refused(admin.call("RevokeOperatorToken", name="never-made"))
    assert error.reason is Reason.RESOURCE_NOT_FOUND
    assert desk.token not in cloud.log()


async def test_s1_a_token_ends_by_itself(channel: grpc.aio.Channel, admin: Desk) -> None:
    desk = Desk(channel, await admin.new_token("short", VIEWER, timedelta(seconds=0.5)))
    began = time.monotonic()
    await desk.call("ListArcAccounts")

    async def ask() -> Reason | None:
        try:
            await desk.call("ListArcAccounts")
        except grpc.aio.AioRpcError:
            return (await refused(desk.call("ListArcAccounts"))).reason
        return None

    assert await until_asked(ask, lambda reason: reason) is Reason.TOKEN_EXPIRED
    assert time.monotonic() - began < 3
    await admin.new_token("short", VIEWER)  # the name is free again


@pytest.mark.parametrize("validity", [timedelta(0), timedelta(seconds=-1)])
async def test_s4_a_validity_of_nothing_is_refused(admin: Desk, validity: timedelta) -> None:
    call = admin.call("CreateOperatorToken", name="nothing", role=VIEWER, validity=_duration(validity))
    assert (await refused(call)).reason is Reason.FIELD_INVALID


async def test_s1_a_validity_beyond_all_calendars_is_refused_and_harms_no_list(admin: Desk) -> None:
    for seconds in (315_576_000_000, 300_000_000_000):
        call = admin.call("CreateOperatorToken", name="for-ever", role=VIEWER, validity=Duration(seconds=seconds))
        assert (await refused(call)).reason is Reason.FIELD_INVALID
    listed = await admin.call("ListOperatorTokens", page_size=1000)
    assert "for-ever" not in [token.name for token in listed.tokens]


async def test_s2_what_belongs_to_another_account_looks_as_if_it_did_not_exist(
    channel: grpc.aio.Channel, account: Account, other_account: Account
) -> None:
    theirs = await Scene.set(channel, other_account)
    mine = await Scene.set(channel, account, spares=0)
    listed = await mine.host.roles.ListMembers(
        role_service_pb2.ListMembersRequest(arc_id=other_account.arc_id), metadata=mine.host.metadata
    )
    assert (listed.group.arc_id, len(listed.members)) == (account.arc_id, 1)

    async def remove(receiver_id: str) -> object:
        request = role_service_pb2.RemoveMemberRequest(receiver_id=receiver_id, arc_id=other_account.arc_id, force=True)
        return await mine.host.roles.RemoveMember(request, metadata=mine.host.metadata)

    of_theirs, of_none = theirs.spare.receiver_id, mine.devices[0].key
    existing, absent = await refused(remove(of_theirs)), await refused(remove(of_none))
    assert existing.reason is absent.reason is Reason.MEMBER_NOT_FOUND
    assert existing.message.replace(of_theirs, "") == absent.message.replace(of_none, "")
    assert len((await theirs.host.members()).members) == 2
    # The same receiver id in another account is another receiver.
    twin = Receiver(channel, account, receiver_id=theirs.spare.receiver_id)
    assert (await refused(twin.join(HOST))).reason is Reason.ROLE_TAKEN
    error = await (await twin.attend(generation=1)).until_ended()
    assert error is not None
    assert error.reason is Reason.NOT_A_MEMBER


async def test_s2_an_operator_that_names_no_account_or_a_wrong_one_is_told_so(
    channel: grpc.aio.Channel, admin: Desk, account: Account
) -> None:
    roles = Receiver(channel, account).roles
    metadata = BearerToken(admin.token).metadata()
    for arc_id, sub_account, reason in (
        ("", "", Reason.RESOURCE_NOT_FOUND),
        ("no-such-account", "", Reason.RESOURCE_NOT_FOUND),
        (account.arc_id, "third", Reason.SUB_ACCOUNT_UNKNOWN),
    ):
        request = role_service_pb2.ListMembersRequest(arc_id=arc_id, sub_account=sub_account)
        assert (await refused(roles.ListMembers(request, metadata=metadata))).reason is reason


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message


async def test_s1_a_stream_ends_with_the_token_that_admitted_it_whatever_else_was_shown(
    channel: grpc.aio.Channel, admin: Desk, account: Account
) -> None:
    scene = await Scene.set(channel, account)
    secret = await admin.new_token("with-a-key", VIEWER)
    watch = scene.host.roles.WatchMembers(
        role_service_pb2.WatchMembersRequest(arc_id=account.arc_id),
        metadata=(*BearerToken(secret).metadata(), *scene.host.metadata),
        timeout=DEADLINE,
    )
    await watch.read()
    await admin.call("RevokeOperatorToken", name="with-a-key")
    assert (await refused(to_its_end(watch))).reason is Reason.INVALID_CREDENTIALS


async def test_s1_a_token_that_is_none_of_ours_harms_no_stream_of_a_device(
    channel: grpc.aio.Channel, account: Account
) -> None:
    """As a proxy may add one of its own."""
    device = (await Scene.set(channel, account)).devices[0]
    shown = (*device.metadata, *BearerToken("of-a-proxy").metadata())
    stub = alarm_service_pb2_grpc.AlarmServiceStub(channel)
    stream = stub.PublishAlarms(iter([batch(1, [new_alarm(1)])]), metadata=shown, timeout=DEADLINE)
    (answer,) = [answer async for answer in stream]
    assert answer.results[0].HasField("receipt")


@pytest.mark.parametrize("ends", ["revoked", "expired"])
async def test_s1_the_streams_of_a_token_end_with_it_and_no_others(
    channel: grpc.aio.Channel, admin: Desk, account: Account, ends: str
) -> None:
    scene = await Scene.set(channel, account)
    request = role_service_pb2.WatchMembersRequest(arc_id=account.arc_id)

    def watching(secret: str) -> Any:
        return scene.host.roles.WatchMembers(request, metadata=BearerToken(secret).metadata(), timeout=DEADLINE)

    name = f"stream-{ends}"
    lasting = watching(admin.token)
    short = watching(await admin.new_token(name, VIEWER, timedelta(seconds=2) if ends == "expired" else None))
    for each in (lasting, short):
        await each.read()
    if ends == "revoked":
        await admin.call("RevokeOperatorToken", name=name)
    error = await refused(to_its_end(short))
    assert error.reason is (Reason.INVALID_CREDENTIALS if ends == "revoked" else Reason.TOKEN_EXPIRED)
    assert not lasting.done()
    lasting.cancel()
