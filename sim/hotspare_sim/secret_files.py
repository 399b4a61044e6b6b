"""Files with secrets: read only where they are well kept (S1)."""

import os
import stat
from pathlib import Path

import click

SHARED = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises ClickException, which never shows what the file holds.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & SHARED:
                raise click.ClickException(f"{path} holds keys and others may read it: chmod 600 {path}")
            return file.read().decode("utf-8")
    except OSError as problem:
        raise click.ClickException(f"cannot read {path}: {problem.strerror or problem}") from problem
    except UnicodeDecodeError:
        raise click.ClickException(f"{path} holds no text") from None
