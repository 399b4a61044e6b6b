"""The console script `hotspare-cloud`. Imports nothing that the plain install lacks."""

from hotspare_cloud.main import main as command
from hotspare_rpc.extras import run_with_extra


def main() -> None:
    """Run it; without the extra `cloud` say what to install."""
    run_with_extra("hotspare-cloud", "cloud", command)
