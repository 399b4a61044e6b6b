"""The services of a live cloud and receiver under calls with anything in them (S4, S2, A1)."""

from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from hotspare_model.errors import HotspareError, Reason
from tests.fuzz import run
from tests.fuzz.calls import PACKAGE, SERVED, Call, Maker, dump, load, methods, services
from tests.fuzz.live import KNOWN, running
from tests.fuzz.services import TARGET, Course, hunt, replay

FINDS = sorted(run.FINDS.glob(f"{TARGET}-*.json"))


async def test_s4_what_the_fuzzer_found_in_the_services_is_mended(tmp_path: Path) -> None:
    # None so far that calls alone show again.
    assert [(path.stem, await replay(load(path), tmp_path / path.stem)) for path in FINDS] == [
        (path.stem, []) for path in FINDS
    ]


async def test_s4_any_call_is_answered_by_the_contract_and_harms_nobody_else(tmp_path: Path) -> None:
    course = Course()
    async with running(tmp_path) as live:
        find = await hunt(live, Random(20), 100, course)
    assert find is None, find
    assert course.calls == 100
    # It gets behind the doors: not everything is refused at the first look.
    assert course.codes["OK"] > 10
    assert len(course.codes) >= 4


@pytest.mark.full
async def test_s4_thousands_of_calls_are_answered_by_the_contract(tmp_path: Path) -> None:
    course, draw = Course(), Random(21)
    async with running(tmp_path) as live:
        for _ in range(5):
            find = await hunt(live, draw, 400, course)
            assert find is None, find
    assert course.calls == 2000


@pytest.mark.full
async def test_a_defect_of_a_service_is_found_and_kept_as_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Any, request: Any, context: Any) -> Any:
        raise KeyError(request)

    monkeypatch.setattr("hotspare_receiver.services.version.VersionServicer.CheckVersion", broken)
    draw = Random(3)
    async with running(tmp_path) as live:
        found = None
        while found is None:
            found = await hunt(live, draw, 400, Course())
    assert "CheckVersion: INTERNAL" in found.problem
    assert [call.method for call in found.calls] == [f"/{PACKAGE}.VersionService/CheckVersion"]


@pytest.mark.full
async def test_a_server_that_answers_without_a_reason_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreasonable(self: Any, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no")

    async def defective(self: Any, request: Any, context: Any) -> Any:
        raise HotspareError(Reason.STORE_FAILED, "the store failed")

    call = Call("cloud", f"/{PACKAGE}.RoleService/ListMembers", "host", (b"",), True)
    assert await replay([call], tmp_path / "1") == []
    for number, behaviour in enumerate((unreasonable, defective), start=2):
        with monkeypatch.context() as patched:
            patched.setattr("hotspare_cloud.services.role.RoleService.ListMembers", behaviour)
            (problem, *_) = await replay([call], tmp_path / str(number))
        assert problem.startswith(call.method)


def test_every_method_of_the_contract_is_called_with_messages_of_its_own() -> None:
    served = {
        f"/{PACKAGE}.{name}/{method.name}"
        for names in SERVED.values()
        for name in names
        for method in services()[name].methods
    }
    assert served == set(methods())
    maker = Maker(Random(1), KNOWN)
    for path, method in methods().items():
        messages = [maker.message(method.input_type) for _ in range(8)]
        if method.input_type.fields:
            assert len(set(messages)) > 1, path
    some = [maker.call() for _ in range(200)]
    assert len({call.method for call in some}) > 50
    assert any(len(call.frames) > 1 for call in some)


def test_a_find_is_read_as_it_was_kept(tmp_path: Path) -> None:
    maker = Maker(Random(2), KNOWN)
    calls = [maker.call() for _ in range(20)]
    (tmp_path / "find.json").write_text(dump(calls))
    assert load(tmp_path / "find.json") == calls
