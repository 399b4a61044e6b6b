"""Set up .venv from requirements.lock and install this tree into it, editable. Needs nothing but Python.

The Makefile calls it with whatever `python3` is. Its syntax is that of Python 3.6, so that an older one says
what is missing instead of stumbling over the text.
"""

import fcntl
import os
import shutil
import subprocess
import sys

NEEDED = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCK = os.path.join(ROOT, "requirements.lock")
INPUTS = (LOCK, os.path.join(ROOT, "pyproject.toml"), os.path.abspath(__file__))
# Holds the tree's own path: a copied .venv would quietly run the code of the tree it was copied from.
READY = os.path.join(VENV, ".ready")
LOG = os.path.join(VENV, "setup.log")


def check_python() -> None:
    """End with the reason unless this Python can make the environment."""
    if sys.version_info < NEEDED:
        found = ".".join(str(number) for number in sys.version_info[:3])
        sys.exit(
            f"Python 3.11 or newer is needed, and {sys.executable} is {found}.\n"
            "Name another one, for example: make PYTHON=python3.12 ..."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as missing:
        sys.exit(
            f"{sys.executable} lacks its module `{missing.name}`.\n"
            "On Debian and Ubuntu it comes with: apt-get install python3-venv"
        )


def owner() -> str:
    """Return the tree that .venv was made for; "" where there is none, or where its Python is gone."""
    if not os.path.exists(PYTHON) or not os.path.exists(READY):
        return ""
    with open(READY, encoding="utf-8") as ready:
        return ready.read().strip()


def mark_as_ours() -> None:
    """Write down, now, whose .venv it is."""
    with open(READY, "w", encoding="utf-8") as ready:
        ready.write(ROOT + "\n")


def is_ready() -> bool:
    """Say whether .venv is this tree's and newer than all that it is made from."""
    return owner() == ROOT and all(os.path.getmtime(READY) > os.path.getmtime(path) for path in INPUTS)


def run(*command: str) -> None:
    """Run a step quietly; show everything and end if it fails."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    with open(LOG, "a+", encoding="utf-8", errors="replace") as log:
        start = log.tell()
        status = subprocess.call(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        if status:
            log.seek(start)
            sys.exit(f"{log.read()}\nSetting up .venv failed with status {status} at: {' '.join(command)}")


def set_up() -> None:
    """Make .venv, or bring it to what the lock says."""
    if owner() != ROOT:
        shutil.rmtree(VENV, ignore_errors=True)
    if not os.path.exists(PYTHON):
        os.makedirs(VENV, exist_ok=True)
        print("Setting up .venv (once; half a minute with a fast network) ...", flush=True)
        run(sys.executable, "-m", "venv", VENV)
        mark_as_ours()
        # Not ready yet: should a step below fail, the next try keeps what was installed.
        os.utime(READY, (0, 0))
    pip = (PYTHON, "-m", "pip", "install", "--quiet")
    run(*pip, "--require-hashes", "--requirement", LOCK)
    run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "--editable", ROOT)
    mark_as_ours()


def main() -> None:
    """Set up .venv unless it is ready; a second `make` beside this one waits here."""
    check_python()
    with open(LOCK, encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ready():
            set_up()


if __name__ == "__main__":
    main()
