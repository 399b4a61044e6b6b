"""Hooks of mkdocs (mkdocs.yml): the pages from outside of docs/, links that lead there, folders in the nav.

Runs in .venv-docs, which has mkdocs; all that can be tested without it is in `tools/site_links.py`.
"""

from typing import Any

from mkdocs.structure.files import File

from tools.site_links import DOCS, OUTSIDE, as_site, outside_pages, whole_nav
from tools.site_markdown import for_mkdocs


def on_config(config: Any) -> Any:
    """Have folders in the nav stand for their pages."""
    config.nav = whole_nav(config.nav)
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add what the pages lead to outside of docs/."""
    for uri, text in outside_pages().items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links of the repository into those of the site, and its Markdown into that of mkdocs."""
    uri = page.file.src_uri
    return for_mkdocs(markdown if uri.startswith(f"{OUTSIDE}/") else as_site(markdown, f"{DOCS}/{uri}", uri)[0])
