"""What can be wrong with a DC-09 frame: one tree, each error with a reason for logs, metrics and events."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hotspare_model.dc09 import Header


class EncodeError(ValueError):
    """What was to be sent does not fit into a DC-09 frame."""


class FrameError(Exception):
    """Bytes from outside are no DC-09 frame that we can take.

    The message never holds keys, and foreign bytes only escaped and cut short (S1, S4).
    """

    reason: ClassVar[str] = "frame"
    """Stable, in lower case; a label of metrics."""

    def __init__(self, message: str, *, header: "Header | None" = None) -> None:
        super().__init__(message)
        self.header = header
        """The header, when the frame was whole up to there: for an answer, or an event about its account."""


class MalformedError(FrameError):
    """The bytes have not the form of a frame."""

    reason = "malformed"


class CrcError(FrameError):
    """The CRC is not that of the body. Such a frame gets no answer."""

    reason = "crc"

    def __init__(self, found: int, computed: int) -> None:
        super().__init__(f"the frame says CRC {found:04X}, its body has {computed:04X}")
        self.found = found
        self.computed = computed


class LengthError(FrameError):
    """The length field is not the length of the body."""

    reason = "length"

    def __init__(self, found: int, actual: int) -> None:
        super().__init__(f"the frame says {found} bytes, its body has {actual}")
        self.found = found
        self.actual = actual


class TooLongError(FrameError):
    """A frame grew over the limit; what was read of it is dropped."""

    reason = "too_long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a frame is longer than {limit} bytes")
        self.limit = limit
        self.frames: tuple[bytes, ...] = ()
        """The whole frames that came before it in the same bytes; they are good and want an answer."""


class TimestampError(FrameError):
    """An encrypted frame without a readable time: it could be a replay, so it can't be taken."""

    reason = "timestamp"


class EncryptedWithoutKeyError(FrameError):
    """The frame is encrypted, and its account has no key here."""

    reason = "encrypted_without_key"


class ClearTextRefusedError(FrameError):
    """The frame is in clear, and its account has a key: anybody could have made it."""

    reason = "clear_text_refused"


class WrongKeyError(FrameError):
    """What came out of the decryption is no DC-09 content: another key, or damage."""

    reason = "wrong_key"
