"""What the servers tell on /metrics."""

import re
import urllib.request
from collections.abc import Iterator

from tests.acceptance.harness.process import Server

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Page:
    """One scrape. Only the lines that are asked for are read: a test polls, and the pages are long."""

    def __init__(self, text: str) -> None:
        self.text = text

    def samples(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Samples with these labels, of `name` as Prometheus sees it (with `_total`)."""
        for line in re.findall(rf"^{name}[ {{].*$", self.text, re.MULTILINE):
            if match := _SAMPLE.fullmatch(line):
                found = dict(_LABEL.findall(match["labels"] or ""))
                if labels.items() <= found.items():
                    yield found, float(match["value"])

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples. AssertionError when there is none."""
        values = [value for _, value in self.samples(name, **labels)]
        assert values, f"no sample {name} {labels}"
        return sum(values)


def scrape(server: Server) -> Page:
    """Read a server's page. Raises OSError when it does not serve."""
    with urllib.request.urlopen(f"http://{server.addresses['metrics']}/metrics", timeout=5) as answer:
        return Page(answer.read().decode())
