"""The sequence number of an alarm on the wire to the ARC (A6)."""

WIRE_SEQUENCES = 9999
"""How many sequence numbers DC-09 has: 0001 to 9999. 0000 belongs to supervision and to NAK."""


def wire_sequence(n: int) -> int:
    """Return the DC-09 sequence number of the alarm that the cloud numbered `n` within its account number.

    It follows from `n` alone, so every receiver sends the same alarm under the same sequence (A6).
    Formula: 1 + (n - 1) mod 9999, which is 1 to 9999.

    Raises ValueError when `n` is below 1: the cloud numbers from 1.
    """
    if n < 1:
        raise ValueError(f"alarms of an account number are numbered from 1, got {n}")
    return 1 + (n - 1) % WIRE_SEQUENCES
