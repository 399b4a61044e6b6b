"""The pages of the site from those of the repository: links that lead outside of docs/, anchors, what is in the nav.

In the repository links between pages are relative paths, as its browser follows them; some lead out of docs/, to the
README, the protos or deploy/. On the site what they lead to is below `repository/`: Markdown as a page, other text as
a page with its source, a folder as a page that lists it. So the site is whole, wherever it is served.

Pure but for reading files. `tools/site_hooks.py` plugs it into mkdocs.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# Not that of tools.protos: the environment of mkdocs has no protobuf.
ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
OUTSIDE = "repository"
PICTURES = (".svg", ".png", ".jpg")

_LANGUAGES = {
    ".c": "c", ".cc": "cpp", ".cpp": "cpp", ".go": "go", ".h": "cpp", ".java": "java", ".js": "javascript",
    ".json": "json", ".mjs": "javascript", ".proto": "protobuf", ".py": "python", ".rules": "yaml", ".service": "ini",
    ".sh": "sh", ".timer": "ini", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)`*~*$|(?P<ticks>`+)[^\n]*?(?P=ticks)", re.MULTILINE | re.DOTALL
)


def slug(heading: str, separator: str = "-") -> str:
    """The anchor of a heading, as the browsers of repositories make it; mkdocs is told to take this one."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", separator)


def with_links(text: str, change: Callable[[str], str]) -> str:
    """The Markdown with each target of a link changed. What stands in code is no link."""

    def outside_code() -> Iterator[str]:
        place = 0
        for code in _CODE.finditer(text):
            yield _LINK.sub(lambda link: change(link[1]), text[place : code.start()])
            yield code[0]
            place = code.end()
        yield _LINK.sub(lambda link: change(link[1]), text[place:])

    return "".join(outside_code())


def site_uri(path: str) -> str:
    """Where a file or folder of the repository is on the site."""
    target = ROOT / path
    if target.is_dir():
        own = f"{path}/README.md"
        return site_uri(own) if (ROOT / own).is_file() else f"{OUTSIDE}/{path}/index.md"
    if posixpath.splitext(path)[1] == ".md" or path.endswith(PICTURES):
        return path.removeprefix(f"{DOCS}/") if path.startswith(f"{DOCS}/") else f"{OUTSIDE}/{path}"
    return f"{OUTSIDE}/{path}.md"


def site_target(target: str, page: str, uri: str) -> tuple[str, str | None]:
    """A link of a page of the repository as the site needs it, and the path that it leads to (None: not in the tree).

    `page`: path of the page in the repository; `uri`: where the page is on the site.
    """
    name, _, place = target.partition("#")
    if not name or re.match(r"[a-z]+:", target):
        return target, None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), name))
    if not (ROOT / path).exists():
        return target, None
    found = site_uri(path)
    relative = posixpath.relpath(found, posixpath.dirname(uri) or ".")
    is_page = path.endswith(".md") or (ROOT / path).is_dir()
    return f"{relative}#{place}" if place and is_page else relative, path


def as_site(text: str, page: str, uri: str) -> tuple[str, set[str]]:
    """A page of the repository with the links of the site, and the paths that these lead to."""
    paths: set[str] = set()

    def change(target: str) -> str:
        new, path = site_target(target, page, uri)
        if path is not None:
            paths.add(path)
        return new

    return with_links(text, change), paths


@cache
def outside_pages() -> dict[str, str]:
    """The pages below `repository/` with their Markdown: all that pages of the site lead to, and they themselves."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / DOCS).rglob("*.md"))
    waiting = [path for page in docs for path in as_site(_read(page), page, site_uri(page))[1]]
    pages: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        uri = site_uri(path)
        if not uri.startswith(f"{OUTSIDE}/") or uri in pages or path.endswith(PICTURES):
            continue
        if (ROOT / path).is_dir() and uri.endswith("/README.md"):
            path = f"{path}/README.md"
        text = _text_of(path)
        pages[uri], more = as_site(text, f"{path}/x" if (ROOT / path).is_dir() else path, uri)
        waiting.extend(sorted(more))
    return pages


def _text_of(path: str) -> str:
    target = ROOT / path
    if target.is_dir():
        names = sorted(each.name for each in target.iterdir() if each.is_file() and not each.name.startswith("."))
        return f"# `{path}/`\n\n" + "".join(f"- [`{name}`]({name})\n" for name in names)
    text = _read(path)
    if path.endswith(".md"):
        return text
    fence = "`" * (3 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    language = _LANGUAGES.get(posixpath.splitext(path)[1], "text")
    return f"---\nsearch:\n  exclude: true\n---\n# `{path}`\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def title(text: str) -> str:
    """The first heading of a page, without its marks."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return re.sub(r"[`*]", "", found[1]) if found else ""


def whole_nav(nav: object) -> object:
    """The nav with each folder (an entry that ends with `/`) as the list of its pages, its README first."""
    match nav:
        case list():
            return [whole_nav(entry) for entry in nav]
        case dict():
            return {name: whole_nav(entry) for name, entry in nav.items()}
        case str() if nav.endswith("/"):
            folder = ROOT / DOCS / nav
            pages = sorted(folder.rglob("*.md"), key=lambda path: (path.name != "README.md", path.as_posix()))
            return [
                {title(path.read_text(encoding="utf-8")): path.relative_to(ROOT / DOCS).as_posix()} for path in pages
            ]
        case _:
            return nav


def nav_pages(nav: object) -> list[str]:
    """All pages that a nav names, in its order."""
    match nav:
        case list():
            return [page for entry in nav for page in nav_pages(entry)]
        case dict():
            return [page for entry in nav.values() for page in nav_pages(entry)]
        case _:
            return [str(nav)]
