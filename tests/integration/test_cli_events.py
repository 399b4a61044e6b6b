"""`event import` and `event export`: pieces over the wire, wrong lines by number, questions, files."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hotspare.v1.configuration_service_pb2 import ExportEventsResponse, ImportEventsResponse
from hotspare_model.errors import HotspareError, Reason
from tests.integration.test_cli_support import Script, scripted_server

HEADER = b"contact_id_code,sia_code,sia_restore_code,name,severity,forwarded\n"
MIB = 1024 * 1024
Result = ImportEventsResponse.Result


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted_server(tmp_path) as script:
        yield script


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_bytes(HEADER + b"130,BA,BR,Burglary,alarm,yes\n")
    return path


class Importer:
    """Takes imports as a receiver would, and remembers them."""

    def __init__(self, answer: Callable[[Any], Result], steps: int = 0) -> None:
        self._answer = answer
        self._steps = steps
        self.options: list[Any] = []
        self.files: list[bytes] = []
        self.longest = 0

    async def __call__(self, requests: AsyncIterator[Any]) -> AsyncIterator[ImportEventsResponse]:
        data = bytearray()
        first = True
        async for request in requests:
            assert request.WhichOneof("frame") == ("options" if first else "data")
            if first:
                self.options.append(request.options)
            else:
                data += request.data
                self.longest = max(self.longest, len(request.data))
            first = False
        self.files.append(bytes(data))
        for step in range(1, self._steps + 1):
            yield ImportEventsResponse(progress=ImportEventsResponse.Progress(lines=step * 1000))
        yield ImportEventsResponse(result=self._answer(self.options[-1]))


def fine(options: Any) -> Result:
    return Result(
        created=3, updated=1, unchanged=5, deleted=7 if options.replace_all else 0, imported=not options.dry_run
    )


def wrong(_options: Any) -> Result:
    lines = [
        ImportEventsResponse.WrongLine(line=3, column="severity", problem="'bad' is none of alarm, trouble"),
        ImportEventsResponse.WrongLine(line=9, problem="7 cells instead of 6"),
    ]
    return Result(wrong_lines=lines, wrong_line_count=1200)


async def test_a_file_is_sent_whole_in_pieces_after_its_options(server: Script, tmp_path: Path) -> None:
    server.answers["ImportEvents"] = importer = Importer(fine)
    path = tmp_path / "long.csv"
    path.write_bytes(HEADER + b"130,,,Burglary,alarm,yes\n" * 100_000)
    done = await server.run("event", "import", str(path))
    assert done.code == 0, done.err
    assert importer.files == [path.read_bytes()]
    assert importer.longest <= MIB
    assert (importer.options[0].dry_run, importer.options[0].replace_all) == (False, False)
    assert done.out.splitlines()[0].split() == ["Created", "3"]
    assert done.out.endswith("The file was imported.\n")


async def test_a_dry_run_changes_nothing_and_says_so(server: Script, file: Path) -> None:
    server.answers["ImportEvents"] = importer = Importer(fine)
    done = await server.run("event", "import", str(file), "--dry-run", "--replace-all")
    assert done.code == 0
    assert (importer.options[0].dry_run, importer.options[0].replace_all) == (True, True)
    assert "Would be deleted  7" in done.out
    assert done.out.endswith("The file is fine; nothing was changed.\n")


async def test_wrong_lines_are_told_by_number_column_and_reason_and_the_status_is_1(server: Script, file: Path) -> None:
    server.answers["ImportEvents"] = Importer(wrong)
    refused = await server.run("event", "import", str(file))
    assert refused.code == 1
    rows = [line.split(maxsplit=2) for line in refused.out.splitlines()]
    assert ["3", "severity", "'bad' is none of alarm, trouble"] in rows
    assert ["9", "-", "7 cells instead of 6"] in rows
    assert "… and 1,198 more." in refused.out
    assert refused.error_lines()[0] == "1,200 lines are wrong; nothing was imported."


async def test_the_result_as_json_is_that_of_the_contract_also_with_wrong_lines(server: Script, file: Path) -> None:
    server.answers["ImportEvents"] = Importer(fine)
    shown = await server.run("event", "import", str(file), "-o", "json")
    assert shown.json()["result"]["created"] == "3"
    assert shown.json()["result"]["imported"] is True
    server.answers["ImportEvents"] = Importer(wrong)
    refused = await server.run("event", "import", str(file), "-o", "json")
    assert refused.code == 1
    assert refused.json()["result"]["wrong_lines"][0]["line"] == "3"


async def test_x4_replacing_all_tells_how_many_would_be_deleted_and_asks(server: Script, file: Path) -> None:
    server.answers["ImportEvents"] = importer = Importer(fine)
    declined = await server.run_on_terminal("event", "import", str(file), "--replace-all", answer="n\n")
    assert declined.code == 1
    assert "This deletes 7 event definitions that the file does not name. Go on?" in declined.out
    assert [one.dry_run for one in importer.options] == [True]
    done = await server.run_on_terminal("event", "import", str(file), "--replace-all", answer="y\n")
    assert done.code == 0
    assert [one.dry_run for one in importer.options] == [True, True, False]
    assert (await server.run("event", "import", str(file), "--replace-all", "--yes")).code == 0
    assert [one.dry_run for one in importer.options][3:] == [False]


async def test_progress_is_shown_on_a_terminal_and_nowhere_else(server: Script, file: Path) -> None:
    server.answers["ImportEvents"] = Importer(fine, steps=12)
    assert "12,000 lines checked" in (await server.run_on_terminal("event", "import", str(file))).out
    piped = await server.run("event", "import", str(file))
    assert "checked" not in piped.out + piped.err


@pytest.mark.parametrize("name", ["missing.csv", ""])
async def test_a_file_that_cannot_be_read_is_wrong_usage_and_nothing_is_asked(
    server: Script, tmp_path: Path, name: str
) -> None:
    refused = await server.run("event", "import", str(tmp_path / name))
    assert refused.code == 2
    assert server.calls == []


async def test_s4_a_file_that_is_no_csv_is_refused_with_the_reason(server: Script, tmp_path: Path) -> None:
    async def refuse(requests: AsyncIterator[Any]) -> AsyncIterator[ImportEventsResponse]:
        async for _ in requests:
            raise HotspareError(Reason.IMPORT_INVALID, "line 1 is not the header", line="1", problem="no header")
        yield ImportEventsResponse()

    server.answers["ImportEvents"] = refuse
    path = tmp_path / "picture.csv"
    path.write_bytes(bytes(range(256)) * 40_000)
    refused = await server.run("event", "import", str(path))
    assert refused.code == 1
    assert refused.error_lines() == (
        "Line 1 is not the header (IMPORT_INVALID).",
        "Correct the file; nothing of it was imported.",
    )


# --- Export ------------------------------------------------------------------------------------------------


async def pieces(_request: Any) -> AsyncIterator[ExportEventsResponse]:
    yield ExportEventsResponse(data=HEADER)
    yield ExportEventsResponse(data="130,BA,BR,Überfall,alarm,yes\n".encode())


WHOLE = HEADER.decode() + "130,BA,BR,Überfall,alarm,yes\n"


async def test_an_export_goes_to_standard_output_or_into_a_new_file(server: Script, tmp_path: Path) -> None:
    server.answers["ExportEvents"] = pieces
    assert (await server.run("event", "export")).out == WHOLE
    path = tmp_path / "out.csv"
    told = await server.run("event", "export", str(path))
    assert (told.code, path.read_text(encoding="utf-8")) == (0, WHOLE)
    assert f"to {path} ({len(WHOLE.encode())} bytes)" in told.out
    again = await server.run("event", "export", str(path))
    assert again.code == 2
    assert "not overwritten" in again.error_lines()[0]


async def test_an_export_that_breaks_leaves_no_half_file(server: Script, tmp_path: Path) -> None:
    async def breaks(request: Any) -> AsyncIterator[ExportEventsResponse]:
        async for piece in pieces(request):
            yield piece
            raise HotspareError(Reason.SHUTTING_DOWN, "stopping")

    server.answers["ExportEvents"] = breaks
    path = tmp_path / "out.csv"
    broken = await server.run("event", "export", str(path))
    assert broken.code == 3
    assert not path.exists()
