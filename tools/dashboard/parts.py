"""What the panels of several rows have in common."""

from collections.abc import Sequence

GROUP = 'arc_id="$arc_id", sub_account="$sub_account"'
RECEIVER = 'instance="$instance"'
RATE = "[$__rate_interval]"

YES_NO = ((0, "no", "green"), (1, "yes", "red"))
STATUS = ((0, "free", "text"), (1, "offline", "red"), (2, "standby", "blue"), (3, "working", "green"))
SYNC = (
    (0, "free", "text"),
    (1, "unknown", "text"),
    (2, "up_to_date", "green"),
    (3, "uploading", "yellow"),
    (4, "syncing", "yellow"),
    (5, "behind", "orange"),
    (6, "version_differs", "purple"),
    (7, "failed", "red"),
    (8, "diverged", "red"),
)
LINK = ((0, "idle", "text"), (1, "connecting", "yellow"), (2, "up", "green"), (3, "down", "red"))


def by_state(metric: str, label: str, words: Sequence[tuple[float, str, str]], by: str, matchers: str) -> str:
    """One number for a metric that has a series for each state, of which one is 1: the number of that state."""
    states = [(number, word) for number, word, _ in words if number]
    return " + ".join(
        f'{number:g} * sum by ({by}) ({metric}{{{matchers}, {label}="{word}"}})' for number, word in states
    )
