"""Intel's table: how long a virtual function of the 82576 is to hold its interrupts back, from what the last interrupt brought.

Three ranges, each with a value of the register EITR, and one to begin with.  An interrupt that brought few packets with many bytes, or many
bytes at all, leads towards bulk, where interrupts are few; small and few packets lead towards the lowest latency.  On its way to fewer
interrupts a driver takes steps of a quarter.

    range      interrupts/s    EITR
    lowest           70,000      56
    low              20,000     196
    bulk              4,000     980
    at first         ~8,000     488

This is a table, where `dim.py` is a climb: it knows what traffic looks like, and does not look at what its choice brought.  In Linux 6.1 the loop
is not closed: igbvf_set_itr hands the register's value to igbvf_update_itr where a range is wanted, and 488 is none of the three, so a virtual
function stays at 488 whatever comes.  `Moderation(as_linux=True)` does the same.
Source: Linux 6.1, drivers/net/ethernet/intel/igbvf: netdev.c (igbvf_update_itr, igbvf_range_to_itr, igbvf_set_itr), igbvf.h (IGBVF_*_ITR).
"""

from enum import IntEnum

START = 488


class Range(IntEnum):
    """Which kind of traffic there is."""

    LOWEST = 0
    LOW = 1
    BULK = 2


VALUES = {Range.LOWEST: 56, Range.LOW: 196, Range.BULK: 980}


def next_range(now: int, packets: int, size: int) -> int:
    """Return the range after an interrupt that brought so many packets with `size` bytes in all; what is no range, and no packets, change nothing."""
    if not packets:
        return now
    each = size // packets
    if now == Range.LOWEST:
        if each > 8000:
            return Range.BULK
        return Range.LOW if packets < 5 and size > 512 else now
    if now == Range.LOW:
        if size > 10_000:
            if each > 1200 or packets < 10:
                return Range.BULK
            return Range.LOWEST if packets > 35 else now
        if each > 2000:
            return Range.BULK
        return Range.LOWEST if packets <= 2 and size < 512 else now
    if now == Range.BULK:
        few = size < 6000 or size > 25_000 and packets > 35
        return Range.LOW if few else now
    return now


def eased(value: int, wanted: int) -> int:
    """Return the next value of EITR on the way to the one that is wanted: upwards by a quarter of it, downwards at once."""
    return min(value + wanted // 4, wanted) if wanted > value else wanted


class Moderation:
    """One ring's: `value` is what EITR holds.  `lowest`: the range of the lowest latency may be used (Linux's setting 1, not 3)."""

    def __init__(self, lowest: bool = True, as_linux: bool = False) -> None:
        self.value = START
        self.range: int = Range.LOW
        self._lowest, self._as_linux = lowest, as_linux

    def interrupt(self, packets: int, size: int) -> int:
        """Take what an interrupt brought; the value of EITR from now on."""
        self.range = next_range(self.value if self._as_linux else self.range, packets, size)
        if self.range == Range.LOWEST and not self._lowest:
            self.range = Range.LOW
        wanted = START if self.range not in tuple(Range) else VALUES[Range(self.range)]
        self.value = eased(self.value, wanted)
        return self.value
