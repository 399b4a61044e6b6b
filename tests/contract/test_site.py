"""The site of docs/ (`make docs`) is whole: what can be told without building it."""

import posixpath
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.contract.pages import DOCS, PAGES, ROOT, anchor, blocks, headings, links, page
from tools.site_links import (
    PICTURES,
    as_site,
    nav_pages,
    outside_pages,
    site_target,
    site_uri,
    slug,
    title,
    whole_nav,
    with_links,
)
from tools.site_pictures import fence, picture

SITE_PAGES = [path.relative_to(ROOT).as_posix() for path in PAGES if path.is_relative_to(DOCS)]


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml; a function that it names stands for itself by its name."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, name, node: name)
CONFIG = yaml.load(page("mkdocs.yml"), Loader)  # noqa: S506 - a safe loader


def test_every_page_is_in_the_nav_once() -> None:
    named = Counter(nav_pages(whole_nav(CONFIG["nav"])))
    assert [uri for uri, times in named.items() if times > 1] == []
    from_elsewhere = {uri for uri in named if uri.startswith("repository/")}
    assert sorted(set(named) - from_elsewhere) == sorted(site_uri(path) for path in SITE_PAGES)
    assert from_elsewhere <= set(outside_pages()), "a page of the nav that no page leads to"


def test_a_folder_in_the_nav_stands_for_its_pages_its_readme_first() -> None:
    told = whole_nav([{"Decisions": "decisions/"}, "index.md"])
    assert isinstance(told, list)
    first, *others = told[0]["Decisions"]
    assert first == {"Decisions": "decisions/README.md"}
    assert {"0004: What was in hand waits, nothing else does": "decisions/0004-holds.md"} in others
    assert told[1] == "index.md"


def test_every_link_of_the_site_leads_to_a_page_of_it_and_a_heading_there() -> None:
    outside = outside_pages()
    inside = {site_uri(path): as_site(page(path), path, site_uri(path))[0] for path in SITE_PAGES}
    pages = inside | outside
    found = {uri: {anchor(heading) for heading in headings(text)} for uri, text in pages.items()}
    pictures = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*") if path.suffix in PICTURES}
    wrong = []
    for uri, text in pages.items():
        for target in links(text):
            name, _, place = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            to = posixpath.normpath(posixpath.join(posixpath.dirname(uri), name)) if name else uri
            if to not in pages and to not in pictures:
                wrong.append(f"{uri}: {target}")
            elif place and place not in found.get(to, set()):
                wrong.append(f"{uri}: {target}: no such heading")
    assert wrong == []


def test_what_lies_outside_of_docs_has_its_place_on_the_site() -> None:
    assert site_uri("docs/contract.md") == "contract.md"
    assert site_uri("README.md") == "repository/README.md"
    assert site_uri("protos/hotspare/v1") == "repository/protos/hotspare/v1/index.md"
    assert site_uri("protos/hotspare/v1/alarm.proto") == "repository/protos/hotspare/v1/alarm.proto.md"
    assert site_uri("docs/parts.svg") == "parts.svg"
    guide = ("docs/guides/upgrade.md", "guides/upgrade.md")
    assert site_target("../../README.md#the-parts", *guide) == ("../repository/README.md#the-parts", "README.md")
    assert site_target("../contract.md#metadata", *guide) == ("../contract.md#metadata", "docs/contract.md")
    # Lines of a source are no headings.
    assert site_target("../../Makefile#L3", *guide) == ("../repository/Makefile.md", "Makefile")
    assert site_target("https://example.org/x", *guide) == ("https://example.org/x", None)
    assert site_target("#after", *guide) == ("#after", None)


def test_the_readme_leads_back_to_the_pages_of_the_site() -> None:
    readme = outside_pages()["repository/README.md"]
    assert "](../failover.md)" in readme
    assert "](docs/" not in readme


def test_what_stands_in_code_is_no_link() -> None:
    text = "[a](x) `[b](x)` ``c` [d](x)``\n\n```sh\n[e](x)\n```\n\n[`f`](x)\n"
    assert with_links(text, str.upper) == "[a](X) `[b](x)` ``c` [d](x)``\n\n```sh\n[e](x)\n```\n\n[`f`](X)\n"


def test_a_source_is_shown_whole_whatever_fences_it_holds() -> None:
    shown = outside_pages()["repository/protos/hotspare/v1/errors.proto.md"]
    assert page("protos/hotspare/v1/errors.proto").rstrip() in shown
    assert title(shown) == "protos/hotspare/v1/errors.proto"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_anchors_are_the_same_on_the_site_and_in_the_repository(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [slug(heading) for heading in headings(text)] == [anchor(heading) for heading in headings(text)]
    # Of headings that come again the two count in their own ways.
    assert [target for target in links(text) if re.search(r"#.*-\d$", target) and is_numbered(path, target)] == []


def is_numbered(path: Path, target: str) -> bool:
    """Whether a link leads to the second heading of a name, or a later one."""
    name, _, place = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    return file.suffix == ".md" and place not in map(anchor, headings(file.read_text(encoding="utf-8")))


DIAGRAMS = [(path, block) for path in PAGES for block in blocks(path.read_text(encoding="utf-8"), "mermaid")]


@pytest.mark.parametrize("number", range(len(DIAGRAMS)))
def test_every_diagram_can_be_drawn(number: int) -> None:
    path, block = DIAGRAMS[number]
    drawn = picture(block)
    assert drawn is not None, f"{path}: a diagram that tools/site_pictures.py does not know"
    shown = "".join(ElementTree.fromstring(drawn).itertext())
    for label in re.findall(r"(?:>>\w+|Note over \w+): (.+)$|\[([^]]+)\]", block, re.MULTILINE):
        assert "".join(label).strip() in shown


def test_a_diagram_of_another_kind_stays_text() -> None:
    assert picture("pie\n a: 1") is None
    assert picture("sequenceDiagram\nA->>B: nobody said who they are") is None
    assert picture("flowchart TD\na === b") is None
    assert fence("pie <1>", "mermaid", "mermaid", {}, None) == "<pre><code>pie &lt;1&gt;</code></pre>"


def test_the_site_takes_nothing_from_elsewhere() -> None:
    assert CONFIG["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript"} & set(CONFIG)
    assert CONFIG["plugins"] == ["search"]
