"""The console script `hotspare-receiver`. Imports nothing that the plain install lacks."""

from hotspare_receiver.main import main as command
from hotspare_rpc.extras import run_with_extra


def main() -> None:
    """Run it; without the extra `receiver` say what to install."""
    run_with_extra("hotspare-receiver", "receiver", command)
