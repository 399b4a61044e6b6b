"""Reads the pages of the repository, for the tests that hold them to the code."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.site_links import ROOT as ROOT

DOCS = ROOT / "docs"


def _files_of_the_tree() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        # What was made here is no part of the tree; hidden folders hold whole environments.
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _MADE]
        yield from (Path(folder, name) for name in names)


_MADE = ("build", "dist", "node_modules", "__pycache__")
PAGES = sorted(path for path in _files_of_the_tree() if path.suffix == ".md")
"""All Markdown of the repository."""


def page(name: str) -> str:
    """A page by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section {title!r}"
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables, without the heads."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("| ---")
        if line.startswith("| ") and not line.startswith("| ---") and not is_head:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| \n"))]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^(```+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    """The headings of a page, of all levels."""
    return re.findall(r"^#{1,6} (.+)$", without_code(text), re.MULTILINE)


def links(text: str) -> list[str]:
    """The targets of the links of a page, of all kinds."""
    prose = re.sub(r"`[^`\n]*`", "", without_code(text))
    return re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", prose) + re.findall(r"^\[[^]]+\]:\s*(\S+)", prose, re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(path: Path) -> set[str]:
    """All anchors of a page; those of headings that come again are numbered."""
    seen: Counter[str] = Counter()
    found = set()
    for name in map(anchor, headings(path.read_text(encoding="utf-8"))):
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def broken(path: Path) -> list[str]:
    """The relative links of a page that lead nowhere, in the repository."""
    found = []
    for target in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, place = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (place and (file.suffix != ".md" or place not in anchors(file))):
            found.append(target)
    return found
