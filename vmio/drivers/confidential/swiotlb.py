"""The bounce pool of a confidential guest: data is copied between its private pages and these, which the host may see.

    pool = Swiotlb(sharing, at, 64 << 10, areas=1, rate=cpu.costs.copy_rate)
    bounce = pool.map(cpu, gpa, length)          None: no room now, ask again later
    ... the host reads or writes at `bounce` ...
    pool.unmap(cpu, bounce, to_guest=True)       what the host wrote is copied home

Sizes are Linux's: slots of 2,048 bytes, at most 128 in a row for one mapping (a segment), 64 MiB unless the kernel is told otherwise.
Data keeps its place within a page (StorVSC's "min align mask"), so a buffer at an odd offset takes a slot or two more, and the most
that one mapping is good for is a segment less a page.  What was in the guest's buffer is copied in even for a read: if the host writes
less than it said, the rest comes back as it was, and not as some other request left it in the pool.  Nothing wipes a slot that is free.
Linux: kernel/dma/swiotlb.c (swiotlb_tbl_map_single, swiotlb_find_slots, swiotlb_max_mapping_size), include/linux/swiotlb.h.
"""

from collections.abc import Callable
from typing import NamedTuple

from vmio.drivers.confidential.sharing import Sharing
from vmio.drivers.pages import PAGE
from vmio.hypervisor.contracts import Cpu

SLOT, SEGMENT = 2048, 128                    # bytes; slots
MOST = SLOT * SEGMENT - PAGE                 # bytes of a mapping whose data keeps its place in its page
DEFAULT_KIB = 64 << 10
SEGMENT_KIB = SLOT * SEGMENT >> 10


def check_kib(kib: int, areas: int = 1) -> int:
    """Return the size of a pool; ValueError for one that is no multiple of a segment, or has fewer segments than areas."""
    if kib % SEGMENT_KIB or kib and kib < SEGMENT_KIB * areas:
        raise ValueError(f"bounce pool of {kib} KiB: 0 for none, or a multiple of {SEGMENT_KIB}, one at least for each of {areas} areas")
    return kib


class Mapping(NamedTuple):
    """Slots `first` to `first + slots` hold `length` bytes of the guest's buffer at `gpa`."""

    first: int
    slots: int
    gpa: int
    length: int


class Swiotlb:
    """A pool of `kib` KiB at guest-physical `at` (a multiple of 4,096), shared with the host here and now.

    It is cut into `areas`, rounded up to a power of two, so that each vCPU begins in one of its own; a copy takes a second for `rate`
    bytes.  `used` slots, at most `high`; `full` mappings that found no room; `copied` bytes in both directions.
    ValueError for a size that is no multiple of a segment, 256 KiB, or has fewer of them than areas.
    """

    POINTS = {"moved": "(used slots) when a mapping has come or gone", "refused": "(bytes) of a mapping that finds no room"}
    moved: Callable[[int], None] | None = None
    refused: Callable[[int], None] | None = None

    def __init__(self, sharing: Sharing, at: int, kib: int = DEFAULT_KIB, areas: int = 1, rate: int = 1 << 60) -> None:
        self.areas = 1 << (areas - 1).bit_length()
        check_kib(kib, self.areas)
        self.at, self.size, self.rate = at, kib << 10, rate
        self.slots = self.size // SLOT
        self._segments = [(1 << SEGMENT) - 1] * (self.slots // SEGMENT)      # a bit for each slot that is free
        self._next = [area * len(self._segments) // self.areas for area in range(self.areas)]
        self.mappings: dict[int, Mapping] = {}       # by the bounce address
        self.used = self.high = self.mapped = self.full = self.copied = 0
        sharing.share(range(at // PAGE, (at + self.size) // PAGE))

    def map(self, cpu: Cpu, gpa: int, length: int) -> int | None:
        """Copy `length` bytes at `gpa` into slots, and return where they are; None, counted in `full`, if there is no room.

        ValueError for more than `MOST` bytes: ask for it in parts.
        """
        if not 0 < length <= MOST:
            raise ValueError(f"bounce buffer of {length} bytes; 1 to {MOST}")
        slots = -(-(gpa % SLOT + length) // SLOT)
        first = self._find(slots, gpa // SLOT % 2, cpu.index % self.areas)
        if first is None:
            self.full += 1
            if self.refused is not None:
                self.refused(length)
            return None
        bounce = self.at + first * SLOT + gpa % SLOT
        self.mappings[bounce] = Mapping(first, slots, gpa, length)
        self.mapped += 1
        self.used += slots
        self.high = max(self.high, self.used)
        self._copy(cpu, gpa, bounce, length)
        if self.moved is not None:
            self.moved(self.used)
        return bounce

    def unmap(self, cpu: Cpu, bounce: int, to_guest: bool) -> None:
        """Give the slots back; `to_guest`: first copy what is in them to the buffer that they stand for."""
        first, slots, gpa, length = self.mappings.pop(bounce)
        if to_guest:
            self._copy(cpu, bounce, gpa, length)
        self._segments[first // SEGMENT] |= (1 << slots) - 1 << first % SEGMENT
        self.used -= slots
        if self.moved is not None:
            self.moved(self.used)

    def _copy(self, cpu: Cpu, source: int, target: int, length: int) -> None:
        cpu.write(target, cpu.read(source, length))
        cpu.compute(length * 1_000_000_000 // self.rate)
        self.copied += length

    def _find(self, slots: int, odd: int, area: int) -> int | None:
        """Take so many free slots in a row, the first at an odd or even number, out of one segment; the vCPU's own area first."""
        each = len(self._segments) // self.areas
        for begin in (*range(area, self.areas), *range(area)):
            base, last = begin * each, self._next[begin] - begin * each
            for step in range(each):
                segment = base + (last + step) % each
                fits = _EVEN << odd & _runs(self._segments[segment], slots)
                if fits:
                    first = (fits & -fits).bit_length() - 1
                    self._segments[segment] &= ~((1 << slots) - 1 << first)
                    self._next[begin] = segment
                    return segment * SEGMENT + first
        return None


_EVEN = sum(1 << slot for slot in range(0, SEGMENT, 2))


def _runs(free: int, slots: int) -> int:
    """The bits of `free` at which so many set bits in a row begin."""
    done = 1
    while done < slots:
        step = min(done, slots - done)
        free &= free >> step
        done += step
    return free
