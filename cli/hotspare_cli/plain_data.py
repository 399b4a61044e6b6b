"""Data of the command's own, which no message of the contract holds, as JSON or YAML on stdout."""

import json
import sys
from typing import Any

from hotspare_cli.options import OutputForm


def write(plain: dict[str, Any], form: OutputForm) -> None:
    """Print it. In ASCII, so that nothing in it steers a terminal (S4)."""
    if form is OutputForm.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(plain, sort_keys=False, width=1_000_000))
    else:
        sys.stdout.write(f"{json.dumps(plain, indent=2)}\n")
