"""Ids for alarms: UUIDs of version 7 (RFC 9562, 5.7), ordered by time."""

import os
import time
import uuid


def uuid7(milliseconds: int | None = None, randomness: bytes | None = None) -> str:
    """A new id in canonical text; the arguments, 48 bits of Unix time and 10 bytes, are for tests."""
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    random = os.urandom(10) if randomness is None else randomness
    value = bytearray((moment & (1 << 48) - 1).to_bytes(6, "big") + random)
    value[6] = 0x70 | value[6] & 0x0F
    value[8] = 0x80 | value[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(value)))
