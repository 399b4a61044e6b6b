"""The example client in C++, built with Debian's packages, against a live system. See harness/clients.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness.builds import built, generated
from tests.acceptance.harness.clients import LiveSystem, goes_through_a_failover, reads_reasons, tries_again
from tools.protos import PROTOS

pytestmark = [pytest.mark.full, pytest.mark.deb]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    folder = tmp_path_factory.mktemp("client-cpp")
    # Not optimized: half the time of the compiler.
    program = built("cpp", folder, "CXXFLAGS=-O0 -Wall -Wextra -Werror", jobs=2)
    with LiveSystem(folder, [program]) as live:
        yield live


def test_o1_f3_a_failover_loses_and_repeats_nothing(live: LiveSystem) -> None:
    goes_through_a_failover(live)


def test_a2_what_passes_is_tried_again(live: LiveSystem) -> None:
    tries_again(live)


def test_s1_errors_are_read_by_their_reason(live: LiveSystem) -> None:
    reads_reasons(live)


def test_the_oldest_generators_take_the_whole_contract(tmp_path: Path) -> None:
    """The examples use but a part of it. Here for Go and Java too: it is one call of protoc."""
    made = generated(tmp_path)
    for path in PROTOS.rglob("*.proto"):
        wanted = {f"{path.stem}.pb.cc", f"{path.stem}.pb.go"}
        if path.stem.endswith("_service"):
            java = "".join(word.capitalize() for word in path.stem.split("_"))
            wanted |= {f"{path.stem}.grpc.pb.cc", f"{path.stem}_grpc.pb.go", f"{java}Grpc.java"}
        assert wanted <= made, wanted - made
