"""Alarms that carry a number of their own through every format: in their place, partition and zone.

Contact ID has two digits for the partition and three for the zone, whichever format carries it, so that a device's
alarms are numbered from 1 to 99,999 and then anew. Who reads them at the ARC tells by it which alarm came, which is
missing, which came twice and in which order, also where the format has no sequence (Sur-Gard) and where the device was
not told one (DC-09).
"""

NUMBERS = 99_999
"""After which numbers begin anew."""
ZONES = 1000


def place_of(number: int) -> tuple[int, int]:
    """Partition and zone of a device's n-th alarm, counted from 1."""
    return divmod(1 + (number - 1) % NUMBERS, ZONES)


def number_at(partition: int | None, zone: int | None) -> int:
    """The number from 1 to 99,999 that a place stands for; 0 for one that stands for none."""
    number = (partition or 0) * ZONES + (zone or 0)
    return number if number <= NUMBERS else 0
