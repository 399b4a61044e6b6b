"""Release strings: which of two is newer (V2), and whether a client works with a server (V3).

They are ordered as Python's packages are (https://packaging.python.org/en/latest/specifications/version-specifiers/).
A string of another form, as a build of somebody's own may have, equals itself and is neither older nor newer.
"""

from enum import Enum

from packaging.version import InvalidVersion, Version

CONTRACT_MAJOR = 1
"""Major version of the contract: that of the package `hotspare.v1`."""

LONGEST_RELEASE = 64
"""Characters of a release string at most."""


class Order(Enum):
    """How a release stands to another one."""

    SAME = "same"
    """Character by character: what V1 asks of a spare."""
    EQUAL = "equal"
    """The same release in another spelling, as 1.0 and 1.0.0."""
    OLDER = "older"
    NEWER = "newer"
    UNKNOWN = "unknown"
    """Another one, and nobody can tell which came first."""


def compare(one: str, other: str) -> Order:
    """How `one` stands to `other`."""
    if one == other:
        return Order.SAME
    ours, theirs = _parsed(one), _parsed(other)
    if ours is None or theirs is None:
        return Order.UNKNOWN
    if ours == theirs:
        return Order.EQUAL
    return Order.OLDER if ours < theirs else Order.NEWER


def incompatibility(client: str, server: str) -> str:
    """Why a client does not work with a server, in words; empty where it does: with the same major version.

    A client that names no release is taken as one of the contract's major version, which it has to be to ask.
    """
    if not client:
        return ""
    asked, here = _parsed(client), _parsed(server)
    if asked is None:
        return "the version that was named is no release"
    if here is not None and asked.major != here.major:
        return f"a client of major version {asked.major} does not work with a server of {here.major}"
    return ""


def _parsed(release: str) -> Version | None:
    # Foreign text: a number of thousands of digits is no version, and would cost time.
    if len(release) > LONGEST_RELEASE:
        return None
    try:
        return Version(release)
    except InvalidVersion:
        return None
