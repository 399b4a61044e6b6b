"""`make docs` builds the site without a warning, and nothing on it is loaded from elsewhere."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
DEADLINE = 300
"""Seconds: its environment is made at the first time."""


def test_the_site_is_built_without_warnings_and_loads_nothing_from_elsewhere() -> None:
    done = subprocess.run(
        ["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    site = ROOT / "build" / "site"
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "failover.html", "api.html"} <= {page.relative_to(site).as_posix() for page in pages}
    loaded = r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"?(https?:)?//"
    assert [page.name for page in pages if re.search(loaded, page.read_text(encoding="utf-8"))] == []
    assert '<svg class="picture"' in (site / "failover.html").read_text(encoding="utf-8")
