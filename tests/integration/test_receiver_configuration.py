"""The configuration at a receiver, over gRPC: every kind by one implementation (B1, B2)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hotspare.v1 import configuration_service_pb2 as service
from hotspare.v1 import group_pb2, receiver_service_pb2, record_pb2, token_pb2
from hotspare_model.digest import RecordKind
from hotspare_model.errors import Reason
from hotspare_model.event_definitions import DEFINITIONS
from hotspare_model.kinds import KINDS, Kind, kind_of

from .test_receiver_desk_support import Desk, FakeCloud, refused, running, serving_cloud, wait_until

DEVICE, PARTITION, ZONE, CHANNEL, USER, EVENT = (kind_of(number) for number in RecordKind)
USES = record_pb2.UserDevice


async def call(desk: Desk, verb: str, kind: Kind, **fields: Any) -> Any:
    title = kind.plural_title if verb == "List" else kind.title
    request = getattr(service, f"{verb}{title}Request")(**fields)
    return await desk.call(getattr(desk.configuration, f"{verb}{title}"), request)


async def create(desk: Desk, kind: Kind, **fields: Any) -> Any:
    answer = await call(desk, "Create", kind, **{kind.name: getattr(record_pb2, kind.title)(**fields)})
    return getattr(answer, kind.name)


async def update(desk: Desk, kind: Kind, mask: Sequence[str], **fields: Any) -> Any:
    message = getattr(record_pb2, kind.title)(**fields)
    answer = await call(desk, "Update", kind, **{kind.name: message}, update_mask=FieldMask(paths=mask))
    return getattr(answer, kind.name)


async def ids(desk: Desk, kind: Kind, **asked: Any) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    page_token = ""
    while True:
        answer = await call(desk, "List", kind, page_token=page_token, **asked)
        found += [getattr(record, kind.id_field) for record in getattr(answer, kind.plural)]
        page_token = answer.next_page_token
        if not page_token:
            assert answer.total_count == len(found)
            return found


async def revision(desk: Desk) -> int:
    return int((await desk.call(desk.configuration.GetDigest, service.GetDigestRequest())).revision)


async def site(desk: Desk, device_id: str = "p") -> None:
    """A device with all that may hang on it."""
    await create(desk, DEVICE, device_id=device_id, account_number="1234", name="Hall")
    for number in (1, 2):
        await create(desk, PARTITION, device_id=device_id, number=number)
        await create(desk, ZONE, device_id=device_id, number=number, partition_number=number)
    await create(desk, CHANNEL, device_id=device_id, number=1, zone_numbers=[1, 2])
    uses = USES(device_id=device_id, user_number=4, partition_numbers=[1, 2])
    await create(desk, USER, user_id=f"u-{device_id}", name="Guard", devices=[uses])


async def test_b1_records_of_every_kind_are_created_read_listed_changed_and_deleted(tmp_path: Path) -> None:
    made: dict[Kind, dict[str, Any]] = {
        DEVICE: {"device_id": "p", "account_number": "1234"},
        PARTITION: {"device_id": "p", "number": 3},
        ZONE: {"device_id": "p", "number": 7, "partition_number": 3, "detector_type": "Glass break"},
        CHANNEL: {"device_id": "p", "number": 1, "url": "rtsp://camera/1", "zone_numbers": [7]},
        USER: {"user_id": "u", "phone": "+1", "email": "u@example.org", "devices": [USES(device_id="p")]},
        EVENT: {"sia_code": "qq", "severity": record_pb2.SEVERITY_TEST},
    }
    async with running(tmp_path / "r") as desk:
        for number, kind in enumerate(KINDS, 1):
            record = await create(desk, kind, name="Café 店 \U0001f525", **made[kind])
            assert await revision(desk) == number
            own = {kind.id_field: getattr(record, kind.id_field)}
            assert getattr(await call(desk, "Get", kind, **own), kind.name) == record
            assert record in getattr(await call(desk, "List", kind, page_size=1000), kind.plural)
            async with refused(Reason.RESOURCE_EXISTS, kind=kind.name, id=own[kind.id_field]):
                await create(desk, kind, name="again", **made[kind])
        assert (await ids(desk, ZONE), await ids(desk, USER)) == (["p/7"], ["u"])
        for number, kind in enumerate(KINDS, 7):
            own = {kind.id_field: (await ids(desk, kind, text="café"))[0]}
            old = getattr(await call(desk, "Get", kind, **own), kind.name)
            changed = await update(desk, kind, ["name"], name="New", etag=old.etag, **own)
            assert (changed.name, changed.create_time) == ("New", old.create_time)
            assert await revision(desk) == number
            async with refused(Reason.ETAG_MISMATCH, etag=changed.etag):
                await update(desk, kind, ["name"], name="Newer", etag=old.etag, **own)
            assert await update(desk, kind, ["name"], name="New", etag=old.etag, **own) == changed
            async with refused(Reason.FIELD_MASK_INVALID, field="etag"):
                await update(desk, kind, ["etag"], **own)
            async with refused(Reason.FIELD_MASK_INVALID, field=kind.id_field):
                await update(desk, kind, ["name", kind.id_field], **own)
            async with refused(Reason.FIELD_INVALID, field="update_mask"):
                await update(desk, kind, [], **own)
            async with refused(Reason.FIELD_INVALID, field=f"{kind.name}.name"):
                await update(desk, kind, ["name"], name="x" * 10_240, **own)
            async with refused(Reason.FIELD_INVALID, field=f"{kind.name}.name"):
                await update(desk, kind, ["name"], name="safe\u202egpj.exe", **own)
        assert await revision(desk) == 12
        for kind in reversed(KINDS):
            own = {kind.id_field: (await ids(desk, kind, text="new"))[-1]}
            async with refused(Reason.ETAG_MISMATCH):
                await call(desk, "Delete", kind, etag="old", **own)
            await call(desk, "Delete", kind, **own)
            async with refused(Reason.RESOURCE_NOT_FOUND, kind=kind.name, id=own[kind.id_field]):
                await call(desk, "Delete", kind, **own)
            async with refused(Reason.RESOURCE_NOT_FOUND, kind=kind.name):
                await call(desk, "Get", kind, **own)
            async with refused(Reason.RESOURCE_NOT_FOUND, kind=kind.name):
                await update(desk, kind, ["name"], **own)
        assert await revision(desk) == 18


async def test_b1_what_a_record_refers_to_must_exist(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await site(desk)
        before = await revision(desk)
        async with refused(Reason.REFERENCE_MISSING, kind="device", id="q"):
            await create(desk, ZONE, device_id="q", number=1)
        async with refused(Reason.REFERENCE_MISSING, kind="partition", id="p/9"):
            await create(desk, ZONE, device_id="p", number=9, partition_number=9)
        async with refused(Reason.REFERENCE_MISSING, kind="zone", id="p/3"):
            await update(desk, CHANNEL, ["zone_numbers"], channel_id="p/1", zone_numbers=[1, 3])
        async with refused(Reason.REFERENCE_MISSING, kind="device", id="q"):
            await update(desk, USER, ["devices"], user_id="u-p", devices=[USES(device_id="q")])
        async with refused(Reason.REFERENCE_MISSING, kind="partition", id="p/3"):
            uses = USES(device_id="p", partition_numbers=[3])
            await create(desk, USER, user_id="v", devices=[uses])
        assert await revision(desk) == before


async def test_b1_what_is_referred_to_is_deleted_with_what_hangs_on_it_or_not_at_all(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await site(desk)
        await site(desk, "q")
        before = await revision(desk)
        async with refused(Reason.RESOURCE_REFERENCED, kind="device", id="p", count="6"):
            await call(desk, "Delete", DEVICE, device_id="p")
        async with refused(Reason.RESOURCE_REFERENCED, kind="partition", id="p/2", count="2"):
            await call(desk, "Delete", PARTITION, partition_id="p/2")
        async with refused(Reason.RESOURCE_REFERENCED, kind="zone", id="p/1", count="1"):
            await call(desk, "Delete", ZONE, zone_id="p/1")
        assert await revision(desk) == before

        assert (await call(desk, "Delete", ZONE, zone_id="p/1", cascade=True)).cascaded == 1
        assert list((await call(desk, "Get", CHANNEL, channel_id="p/1")).channel.zone_numbers) == [2]
        assert (await call(desk, "Delete", PARTITION, partition_id="p/2", cascade=True)).cascaded == 2
        assert (await call(desk, "Get", ZONE, zone_id="p/2")).zone.partition_number == 0
        user = (await call(desk, "Get", USER, user_id="u-p")).user
        assert [(use.device_id, list(use.partition_numbers)) for use in user.devices] == [("p", [1])]
        assert (await call(desk, "Delete", DEVICE, device_id="p", cascade=True)).cascaded == 4
        # All that goes along is one revision (B5: applied whole or not at all).
        assert await revision(desk) == before + 3
        for kind in (DEVICE, PARTITION, ZONE, CHANNEL):
            assert all(own_id.startswith("q") for own_id in await ids(desk, kind))
        user = (await call(desk, "Get", USER, user_id="u-p")).user
        assert not user.devices
        assert len(await ids(desk, ZONE)) == 2


async def test_b1_lists_are_filtered_by_text_device_account_and_code(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await site(desk)
        await site(desk, "p2")
        await update(desk, DEVICE, ["account_number", "name"], device_id="p2", account_number="abcd", name="Straße")
        assert await ids(desk, DEVICE, text="STRASSE") == ["p2"]
        assert await ids(desk, DEVICE, text="hall") == ["p"]
        assert await ids(desk, DEVICE, account_number="aBcD") == ["p2"]
        assert await ids(desk, DEVICE, account_number="ABC") == []
        for kind in (PARTITION, ZONE, CHANNEL, USER):
            assert all("p2" not in own_id for own_id in await ids(desk, kind, device_id="p"))
            assert len(await ids(desk, kind, device_id="p")) == len(await ids(desk, kind)) // 2
        await update(desk, ZONE, ["name"], zone_id="p2/2", name="Window")
        assert await ids(desk, ZONE, device_id="p2", text="wind") == ["p2/2"]
        assert await ids(desk, ZONE, device_id="p", text="wind") == []
        assert await ids(desk, EVENT, code="br") == ["130"]
        assert await ids(desk, EVENT, code="130", text="burg") == ["130"]
        # The tables by which lists are filtered follow every change.
        await update(desk, ZONE, ["name"], zone_id="p2/2", name="Door")
        assert await ids(desk, ZONE, text="wind") == []
        await update(desk, USER, ["devices"], user_id="u-p2", devices=[])
        assert await ids(desk, USER, device_id="p2") == []


async def test_b1_pages_follow_one_another_and_belong_to_their_list(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await site(desk)
        for number in range(3, 10):
            await create(desk, ZONE, device_id="p", number=number, name="odd" if number % 2 else "even")
        assert await ids(desk, ZONE, page_size=2) == [f"p/{number}" for number in range(1, 10)]
        assert await ids(desk, ZONE, page_size=2, text="odd") == ["p/3", "p/5", "p/7", "p/9"]
        token = (await call(desk, "List", ZONE, page_size=2, device_id="p")).next_page_token
        for kind, asked in ((ZONE, {}), (ZONE, {"device_id": "q"}), (CHANNEL, {"device_id": "p"})):
            async with refused(Reason.PAGE_TOKEN_INVALID):
                await call(desk, "List", kind, page_token=token, **asked)
        async with refused(Reason.FIELD_INVALID, field="page_size"):
            await call(desk, "List", ZONE, page_size=1001)
        for text in ("x" * 10_240, "a\nb", "\u202e"):
            async with refused(Reason.FIELD_INVALID, field="text"):
                await call(desk, "List", ZONE, text=text)


async def test_s4_a_page_of_long_records_is_cut_to_what_a_message_may_have(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        await create(desk, DEVICE, device_id="p", account_number="1234")
        url = "\U0001f525" * 2048
        for number in range(1, 300):
            await create(desk, CHANNEL, device_id="p", number=number, url=url)
        answer = await call(desk, "List", CHANNEL, page_size=1000)
        assert 200 < len(answer.channels) < 299
        assert answer.total_count == 299
        assert len(await ids(desk, CHANNEL, page_size=1000)) == 299


async def test_b2_a_spare_refuses_every_edit_whatever_its_status(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "h") as host, running(tmp_path / "s") as spare:
        await host.connect(address)
        await host.enable()
        await site(host)
        await spare.connect(address)
        await spare.enable(group_pb2.ROLE_SPARE_1)
        member = next(member for member in cloud.members.values() if member.role == group_pb2.ROLE_HOST)
        await spare.until(lambda status: len(status.members) == 2)
        for working in ("", next(each for each in cloud.members if each != member.receiver.receiver_id)):
            # Also as the one that works it is no place to edit.
            cloud.working = working
            cloud.notify()
            names = {"host_receiver_id": member.receiver.receiver_id, "host_address": member.receiver.address}
            for kind in KINDS:
                for verb in ("Create", "Update", "Delete"):
                    async with refused(Reason.NOT_EDITABLE_HERE, role="SPARE_1", **names):
                        await call(spare, verb, kind)
            async with refused(Reason.NOT_EDITABLE_HERE, **names):
                rotate = service.RotateDeviceKeyRequest(device_id="p")
                await spare.call(spare.configuration.RotateDeviceKey, rotate)
            async with refused(Reason.NOT_EDITABLE_HERE, **names):
                await upload(spare, b"")
        await ids(spare, DEVICE)


async def test_b2_without_a_role_it_is_edited_only_where_the_group_has_no_host(tmp_path: Path) -> None:
    cloud = FakeCloud()
    async with serving_cloud(cloud) as address, running(tmp_path / "h") as host, running(tmp_path / "a") as alone:
        await create(alone, DEVICE, device_id="p", account_number="1234")
        await alone.connect(address)
        await create(alone, DEVICE, device_id="q", account_number="1234")
        await host.connect(address)
        await host.enable()
        await wait_until(lambda: alone.app is not None and len(cloud.members) == 1)
        await alone.until(lambda status: len(status.members) == 1)
        async with refused(Reason.NOT_EDITABLE_HERE, role="ALONE"):
            await create(alone, DEVICE, device_id="r", account_number="1234")


async def test_b2_edits_are_for_operators_and_reading_for_viewers(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        made = receiver_service_pb2.CreateTokenRequest(name="wall", role=token_pb2.TOKEN_ROLE_VIEWER)
        desk.token = (await desk.call(desk.receiver.CreateToken, made)).secret
        for kind in KINDS:
            await call(desk, "List", kind)
            for verb in ("Create", "Update", "Delete"):
                async with refused(Reason.CALLER_NOT_ALLOWED):
                    await call(desk, verb, kind)
        assert (await download(desk)).startswith(b"contact_id_code,")
        async with refused(Reason.CALLER_NOT_ALLOWED):
            await upload(desk, b"")


# --- Events -------------------------------------------------------------------------------------------------


async def upload(desk: Desk, data: bytes, piece: int = 1 << 20, **options: bool) -> list[Any]:
    """Import a file; returns the answers."""
    requests = [service.ImportEventsRequest(options=service.ImportEventsRequest.Options(**options))]
    requests += [service.ImportEventsRequest(data=data[start : start + piece]) for start in range(0, len(data), piece)]
    return await stream(desk, requests)


async def stream(desk: Desk, requests: Sequence[Any]) -> list[Any]:
    metadata = (("authorization", f"Bearer {desk.token}"),)
    return [answer async for answer in desk.configuration.ImportEvents(iter(requests), metadata=metadata, timeout=30)]


async def download(desk: Desk) -> bytes:
    metadata = (("authorization", f"Bearer {desk.token}"),)
    answers = desk.configuration.ExportEvents(service.ExportEventsRequest(), metadata=metadata, timeout=30)
    return b"".join([answer.data async for answer in answers])


async def test_b1_a_fresh_receiver_has_the_catalogue_and_nothing_that_would_be_replaced(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        assert len(await ids(desk, EVENT, page_size=1000)) == len(DEFINITIONS)
        shown = (await call(desk, "Get", EVENT, event_id="130")).event
        assert (shown.sia_code, shown.sia_restore_code, shown.forwarded) == ("BA", "BR", True)
        assert (await ids(desk, EVENT, code="OP")) == ["401"]
        digest = await desk.call(desk.configuration.GetDigest, service.GetDigestRequest())
        assert (digest.revision, {each.count for each in digest.digests}) == (0, {0})
        exported = await download(desk)
        assert len(exported.splitlines()) == len(DEFINITIONS) + 1
        # What changes nothing does not begin a configuration.
        await update(desk, EVENT, ["name"], event_id="130", name=shown.name)
        (*_, last) = await upload(desk, exported)
        assert (last.result.unchanged, last.result.imported) == (len(DEFINITIONS), True)
        assert await revision(desk) == 0
        # The first edit does, with all of them.
        changed = await update(desk, EVENT, ["name"], event_id="130", name="Break-in", etag=shown.etag)
        digest = await desk.call(desk.configuration.GetDigest, service.GetDigestRequest())
        assert (digest.revision, digest.digests[-1].count) == (1, len(DEFINITIONS))
        assert len(await ids(desk, EVENT, page_size=1000)) == len(DEFINITIONS)
        assert await ids(desk, EVENT, text="break-in") == ["130"]
        await call(desk, "Delete", EVENT, event_id="131")
        async with refused(Reason.RESOURCE_NOT_FOUND, kind="event", id="131"):
            await call(desk, "Get", EVENT, event_id="131")
    async with running(tmp_path / "r") as desk:
        assert (await call(desk, "Get", EVENT, event_id="130")).event == changed


async def test_b1_the_id_of_an_event_is_its_code_and_stays(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        event = await create(desk, EVENT, sia_code="qq", name="Own")
        assert (event.event_id, event.severity) == ("SIA-QQ", record_pb2.SEVERITY_INFO)
        async with refused(Reason.FIELD_INVALID, field="event.sia_code"):
            await update(desk, EVENT, ["sia_code"], event_id="SIA-QQ", sia_code="qz")
        async with refused(Reason.FIELD_MASK_INVALID, field="contact_id_code"):
            await update(desk, EVENT, ["contact_id_code"], event_id="SIA-QQ", contact_id_code="1BF")
        assert (await update(desk, EVENT, ["sia_code"], event_id="130", sia_code="qq")).event_id == "130"
        async with refused(Reason.FIELD_INVALID, field="event.contact_id_code"):
            await create(desk, EVENT, name="No code")


async def test_b2_a_file_of_events_is_imported_whole_or_not_at_all(tmp_path: Path) -> None:
    header = "contact_id_code,sia_code,sia_restore_code,name,severity,forwarded\n"
    async with running(tmp_path / "r") as desk:
        file = f"{header}1BF,,,Own code,alarm,true\n130,BA,BR,Break-in,alarm,false\n110,FA,FR,Fire alarm,alarm,\n"
        dry, real, again = [
            (await upload(desk, file.encode(), 7, dry_run=dry))[-1].result for dry in (True, False, False)
        ]
        assert (dry.created, dry.updated, dry.unchanged, dry.imported) == (1, 1, 1, False)
        assert (real.created, real.updated, real.unchanged, real.imported) == (1, 1, 1, True)
        assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
        assert await revision(desk) == 1
        assert (await call(desk, "Get", EVENT, event_id="130")).event.forwarded is False

        broken = file + "1CF,,,Fine,alarm,true\n13A,,,\x1b[2J,grave,true\n"
        result = (await upload(desk, broken.encode()))[-1].result
        told = [(wrong.line, wrong.column) for wrong in result.wrong_lines]
        assert told == [(6, "contact_id_code"), (6, "name"), (6, "severity")]
        assert (result.wrong_line_count, result.imported) == (3, False)
        async with refused(Reason.RESOURCE_NOT_FOUND):
            await call(desk, "Get", EVENT, event_id="1CF")
        assert await revision(desk) == 1

        result = (await upload(desk, file.encode(), replace_all=True))[-1].result
        assert (result.unchanged, result.deleted, await revision(desk)) == (3, len(DEFINITIONS) - 2, 2)
        assert await ids(desk, EVENT) == ["110", "130", "1BF"]
        lines = (await download(desk)).decode().splitlines()
        assert lines[3] == "1BF,,,Own code,alarm,true"


async def test_s4_what_is_no_file_of_events_or_comes_out_of_turn_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "r") as desk:
        for data in (b"", b"\x7fELF\0", "naïve".encode("cp1252"), b"code;name\n"):
            async with refused(Reason.IMPORT_INVALID):
                await upload(desk, data)
        options = service.ImportEventsRequest(options=service.ImportEventsRequest.Options())
        for requests in (
            [],
            [service.ImportEventsRequest()],
            [service.ImportEventsRequest(data=b"x")],
            [options, options],
            [options, service.ImportEventsRequest(data=bytes((1 << 20) + 1))],
        ):
            async with refused(Reason.STREAM_PROTOCOL):
                await stream(desk, requests)


async def test_a_long_file_is_read_with_progress_while_other_calls_are_answered(tmp_path: Path) -> None:
    """100,000 lines, more than there are codes: so all but the first of a code are wrong, and nothing is imported."""
    header = b"contact_id_code,sia_code,sia_restore_code,name,severity,forwarded\n"
    line = "{:03d},,,Définition,alarm,true\n"
    data = header + "".join(line.format(number % 1000) for number in range(100_000)).encode()
    async with running(tmp_path / "r") as desk:
        importing = asyncio.create_task(upload(desk, data, 1 << 18))
        answered = 0
        while not importing.done():
            await desk.status()
            answered += 1
        answers = importing.result()
    result = answers[-1].result
    assert (len(result.wrong_lines), result.wrong_line_count) == (1000, 99_000)
    assert result.wrong_lines[0].problem == "defines 000 again, which line 2 does"
    told = [answer.progress.lines for answer in answers[:-1]]
    assert told == sorted(told)
    assert len(told) > 5
    assert told[-1] == 100_001
    assert answered > 5


@pytest.mark.parametrize("kind", [PARTITION, ZONE, CHANNEL], ids=lambda kind: kind.name)
async def test_b1_number_and_device_of_a_record_never_change(tmp_path: Path, kind: Kind) -> None:
    async with running(tmp_path / "r") as desk:
        await site(desk)
        for field in ("number", "device_id"):
            async with refused(Reason.FIELD_MASK_INVALID, field=field):
                await update(desk, kind, [field], **{kind.id_field: "p/1"})
