r"""Markdown as browsers of repositories read it (CommonMark with tables), for the reader of mkdocs, which is older.

Three things differ that the pages use: a list or a table right below a paragraph; what belongs to an item of a list and
is indented by less than four spaces; `\|` in code within a table.
"""

import re
from collections.abc import Iterator

INDENT = "    "

_ITEM = re.compile(r"^( *)(?:[-*]|\d+[.)]) +\S")
_LIST_BEGINS = re.compile(r"^ {0,3}(?:[-*]|1[.)]) +\S")
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})")
_BLOCK = re.compile(r"^ *(?:[-*]|\d+[.)]) |^\||^#|^ *$|^<!--|^ *(?:`{3}|~{3})")


def for_mkdocs(text: str) -> str:
    """The same page, as mkdocs reads it."""
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    fence = ""
    width = 0  # of what the open fence is indented by
    in_list = False
    before = ""
    for number, line in enumerate(lines):
        if fence:
            yield _indented(line, width) if in_list else line
            closed = line.strip()
            fence = "" if closed.startswith(fence) and not closed.strip(fence[0]) else fence
            before = ""
            continue
        if line and not line.startswith(" ") and not _ITEM.match(line) and not before:
            in_list = False
        follows = lines[number + 1] if number + 1 < len(lines) else ""
        is_table = line.startswith("|") and follows.startswith("| ---")
        if (is_table or _LIST_BEGINS.match(line)) and not _BLOCK.match(before) and not in_list:
            yield ""
        in_list = in_list or bool(_ITEM.match(line))
        if found := _FENCE.match(line):
            fence, width = found[2], len(found[1])
        yield _in_table(line) if line.startswith("|") else _indented(line, 0) if in_list else line
        before = line


def _indented(line: str, width: int) -> str:
    """A line that belongs to an item: indented by four where it was by two or three (or by its fence's `width`)."""
    own = len(line) - len(line.lstrip(" "))
    if not line.strip() or own == 0:
        return line
    if width:
        return INDENT + line[min(width, own) :]
    return INDENT + line.lstrip(" ") if own in (2, 3) else line


def _in_table(line: str) -> str:
    return re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), line)
