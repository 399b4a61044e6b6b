"""Cutting a stream of bytes into DC-09 frames, without I/O."""

import re

from hotspare_model.dc09 import MAX_FRAME
from hotspare_model.dc09_errors import TooLongError

_LF = b"\n"
_EDGE = re.compile(rb"[\r\n]")
_BINARY_HEAD = re.compile(rb'\n..[0-9A-Fa-f]{4}"', re.DOTALL)
_HEAD_LENGTH = 8
"""Bytes after which a binary CRC can be told from one in hex. No frame is shorter."""
_CRC_END = 3
"""Where the two bytes of a binary CRC end; they may be LF or CR."""


class FrameSplitter:
    """Gives the frames, LF to CR, of the bytes that one connection or datagram brings.

    Several frames in one piece, one frame in several, and rubbish between frames are all legal. A frame that
    a new LF interrupts is rubbish too. What comes out has an LF, a CR and something between; `decode` tells
    whether it is a frame.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        """`limit`: bytes of the longest frame taken, LF and CR included; no more than that is ever kept."""
        if limit < _HEAD_LENGTH:
            raise ValueError(f"a limit of {limit} bytes lets no frame pass")
        self._limit = limit
        self._buffer = bytearray()
        self._skipped = 0

    @property
    def skipped(self) -> int:
        """Bytes that belonged to no frame, since the start."""
        return self._skipped

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and not ended."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes, return the frames that they complete, in order.

        Raises TooLongError, with the frames that came before; the frame is dropped, and the splitter goes on
        with the next LF (what came after it in `chunk` is kept for the next call).
        """
        self._buffer += chunk
        frames: list[bytes] = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except TooLongError as error:
            error.frames = tuple(frames)
            raise
        return frames

    def _next(self) -> bytes | None:
        while True:
            start = self._buffer.find(_LF)
            self._skip(len(self._buffer) if start < 0 else start)
            if len(self._buffer) < _HEAD_LENGTH:
                return None
            body = _CRC_END if _BINARY_HEAD.match(self._buffer) else 1
            edge = _EDGE.search(self._buffer, body, self._limit)
            if edge is None:
                self._check_limit()
                return None
            if edge[0] == _LF or edge.end() == len(b"\n\r"):
                self._skip(edge.start())
                continue
            frame = bytes(self._buffer[: edge.end()])
            del self._buffer[: edge.end()]
            return frame

    def _check_limit(self) -> None:
        if len(self._buffer) < self._limit:
            return
        next_start = self._buffer.find(_LF, self._limit)
        self._skip(len(self._buffer) if next_start < 0 else next_start)
        raise TooLongError(self._limit)

    def _skip(self, count: int) -> None:
        del self._buffer[:count]
        self._skipped += count
