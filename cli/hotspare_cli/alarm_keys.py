"""How an alarm is named on the command line: by its number in the group, or by its id."""

import re

from hotspare_cli.errors import usage_error


def number_and_id(key: str) -> tuple[int, str]:
    """The number, or the id; 0 and the empty text stand for what it is not. Raises CliError where it is neither."""
    return (int(key), "") if re.fullmatch(r"[0-9]{1,19}", key) else (0, canonical_id(key))


def canonical_id(text: str) -> str:
    """The id of an alarm as servers write it. Raises CliError where it is none."""
    import uuid

    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise usage_error(
            f"{text!r} is neither a number nor the id of an alarm.",
            "An id is a UUID: hotspare alarm list shows them.",
        ) from None
