"""How the blocks of the guides are found, run, and held to what they show."""

from pathlib import Path

from tests.acceptance.harness.guides import Block, blocks_of, differs, run_blocks, written

PAGE = """\
# A page

```sh
echo one
```

Some words.

```text
one
```

<!-- ends with 3 -->
```sh
exit 3
```

## Another

```text
no output: a heading lies between
```

```python
pass
```
"""


def test_blocks_know_their_output_and_their_status() -> None:
    first, second = blocks_of(PAGE)
    assert (first.text, first.status, first.shown) == ("echo one\n", 0, "one\n")
    assert (second.text, second.status, second.shown) == ("exit 3\n", 3, None)


def test_blocks_run_in_one_shell_and_stop_at_the_first_that_fails(tmp_path: Path) -> None:
    blocks = [Block("place=here\n"), Block("echo $place; sleep 60 &\n"), Block("false\n"), Block("echo never\n")]
    folder = tmp_path / "trial"
    folder.mkdir()
    run = run_blocks(blocks, folder, deadline=20)
    assert (run.status, run.printed) == (1, ["", "here\n", ""])


def test_a_block_has_to_end_as_the_page_says(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    assert run_blocks([Block("exit 3\n", status=3), Block("echo on\n")], folder, deadline=20).printed == ["", "on\n"]
    other = tmp_path / "other"
    other.mkdir()
    assert run_blocks([Block("true\n", status=3), Block("echo on\n")], other, deadline=20).status != 0


def test_ports_are_free_ones_in_the_run_and_the_pages_own_in_the_output(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    run = run_blocks([Block("echo 127.0.0.1:7440 > at; pwd; cat at\n")], folder, deadline=20)
    assert run.printed == ["/home/you\n127.0.0.1:7440\n"]
    assert (folder / "at").read_text() != "127.0.0.1:7440\n"


def test_what_varies_may_vary_and_nothing_else() -> None:
    shown = "host  2f0c8d57-6e1b-4d0f-8a55-c04b7d9e3318  working  4  1.2 s ago\nstored 10\n"
    printed = "host  93609697-0884-4ab1-b01d-6e98ded0633b  working  5  now\nstored 10\n"
    assert differs(shown, printed) == ""
    assert differs(shown, printed.replace("stored 10", "stored 9"))
    assert differs(shown, printed.replace("working", "standby"))
    assert differs(shown, printed + "one more\n")
    assert differs("…\nstored 10\n", printed) == ""
    assert differs("stored 10\n…\nhost\n", "host\nstored 10\n")


def test_outputs_are_written_where_they_differ() -> None:
    assert written(PAGE, ["two\n", ""]) == PAGE.replace("\none\n```", "\ntwo\n```")
    assert written(PAGE, ["one\n", ""]) == PAGE
