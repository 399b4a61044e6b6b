"""The example client in Java, built with Debian's packages, against a live system. See harness/clients.py."""

from collections.abc import Iterator

import pytest

from tests.acceptance.harness.builds import built
from tests.acceptance.harness.clients import LiveSystem, goes_through_a_failover, reads_reasons, tries_again

pytestmark = [pytest.mark.full, pytest.mark.deb]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    folder = tmp_path_factory.mktemp("client-java")
    # A JVM that starts quickly, for programs that end soon.
    quick = "JAVA_OPTIONS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    program = built("java", folder, "JAVACFLAGS=-Xlint:all,-path -Werror")
    with LiveSystem(folder, ["/usr/bin/env", quick, program]) as live:
        yield live


def test_o1_f3_a_failover_loses_and_repeats_nothing(live: LiveSystem) -> None:
    goes_through_a_failover(live)


def test_a2_what_passes_is_tried_again(live: LiveSystem) -> None:
    tries_again(live)


def test_s1_errors_are_read_by_their_reason(live: LiveSystem) -> None:
    reads_reasons(live)
