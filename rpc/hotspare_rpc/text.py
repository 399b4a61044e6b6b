"""Foreign text made fit for one line: of a log, of an error, of a terminal (S4)."""


def printable(text: str, limit: int) -> str:
    """Return `text` with everything that is not printable escaped, and cut to `limit` bytes of UTF-8.

    Control characters, line separators, marks that turn the direction of writing and lone surrogates all
    appear as their escapes, so that what a stranger sent can neither forge a line of a log nor steer a
    terminal.
    """
    # No more than `limit` characters can fit, so the rest of a huge text need not be looked at.
    clean = "".join(_shown(character) for character in text[: limit + 1])
    if len(clean.encode()) <= limit:
        return clean
    cut = clean.encode()[: max(0, limit - 3)].decode(errors="ignore")
    return f"{cut}..."[:limit]


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
