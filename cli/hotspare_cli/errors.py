"""How a command fails: what went wrong, what to do, and the exit status."""

from enum import IntEnum

from hotspare_model.errors import HotspareError, Reason


class ExitCode(IntEnum):
    """Exit statuses of `hotspare`."""

    FINE = 0
    REFUSED = 1
    USAGE = 2
    NO_ANSWER = 3
    NOT_HEALTHY = 4
    NOT_FOUND = 5
    INTERRUPTED = 130


class CliError(Exception):
    """A command ends here: one line `what` happened, one line what to do, `hint`; both without a secret."""

    def __init__(
        self,
        what: str,
        hint: str = "",
        *,
        exit_code: ExitCode = ExitCode.REFUSED,
        answer: HotspareError | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.exit_code = exit_code
        self._answer = answer

    @property
    def reason(self) -> Reason | None:
        """The server's reason, where it gave one of the contract."""
        return self._answer.reason if self._answer is not None else None

    @property
    def clears(self) -> str | None:
        """What the call would clear, where it was refused only because nobody had confirmed that (X4)."""
        if self._answer is None or self._answer.reason is not Reason.CONFIRMATION_REQUIRED:
            return None
        return self._answer.metadata.get("clears") or "what came with its role"


def usage_error(what: str, hint: str) -> CliError:
    """The error for what the command line or a local file got wrong, before a server was asked."""
    return CliError(what, hint, exit_code=ExitCode.USAGE)
