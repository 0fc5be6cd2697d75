"""GPADLs, the host's side: lists of guest pages that the guest lets the host use, checked before anything is touched.

A header, and as many bodies as it takes, carry one buffer of 64-bit words: per
range {byte count, byte offset} and its page numbers.  All of it is a claim by
the guest until `_ranges` has found each page in the guest's own RAM, once.
Public sources: Linux drivers/hv/channel.c (create_gpadl_header), OpenVMM
vm/devices/vmbus/vmbus_server/src/channels.rs.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Record
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE

MAX_PAGES = 1280 * 256   # a guest: 1,280 MB, Hyper-V's cap (Linux Documentation/virt/hyperv/vmbus.rst)
MAX_GPADLS = 4096


class GpadlRefused(Exception):
    """The guest must be told that this GPADL failed."""


class GpadlIgnored(Exception):
    """A message about a GPADL to which no answer makes sense: a wrong one could be taken for another's."""


class Range(NamedTuple):
    """`byte_count` bytes from `byte_offset` of the first page; `pages` are guest page numbers."""

    byte_count: int
    byte_offset: int
    pages: tuple


class Gpadl:
    """One list: `ranges` once it is complete, None while bodies are missing."""

    def __init__(self, handle: int, relid: int, ranges_declared: int, words_declared: int) -> None:
        self.handle, self.relid = handle, relid
        self.ranges_declared, self.words_declared = ranges_declared, words_declared
        self.words: list[int] = []
        self.ranges: list[Range] | None = None

    @property
    def cost(self) -> int:
        """Pages that it may have, by its header."""
        return self.words_declared - self.ranges_declared

    @property
    def whole_pages(self) -> tuple[int, ...] | None:
        """The page numbers, if it is one range of whole pages, as a pair of rings must be; otherwise None."""
        if self.ranges is None or len(self.ranges) != 1:
            return None
        (count, offset, pages), = self.ranges
        return pages if offset == 0 and count == PAGE * len(pages) else None


class GpadlTable:
    """The GPADLs of one guest, by handle."""

    def __init__(self, guest: Guest, max_pages: int = MAX_PAGES, max_gpadls: int = MAX_GPADLS) -> None:
        self._guest, self._max_pages, self._max_gpadls = guest, max_pages, max_gpadls
        self.by_handle: dict[int, Gpadl] = {}
        self.pages = 0
        guest.lent.append(self.lent)

    def header(self, record: Record) -> Gpadl:
        """Begin one.  The `Gpadl`, perhaps complete; `GpadlRefused`, or `GpadlIgnored` for a handle in use."""
        if record.gpadl in self.by_handle:
            raise GpadlIgnored("GPADL handle in use")
        words, rest = divmod(record.range_bytes, 8)
        if rest or record.ranges < 1 or words < 2 * record.ranges:
            raise GpadlRefused("GPADL length and range count disagree")
        gpadl = Gpadl(record.gpadl, record.relid, record.ranges, words)
        if self.pages + gpadl.cost > self._max_pages or len(self.by_handle) >= self._max_gpadls:
            raise GpadlRefused("too much GPADL memory")
        self.by_handle[gpadl.handle] = gpadl
        self.pages += gpadl.cost
        return self._add(gpadl, (record.byte_count | record.byte_offset << 32, *record.pages))

    def body(self, record: Record) -> Gpadl:
        """Go on with one.  As `header`; `error.relid` of a refusal says whose it was."""
        gpadl = self.by_handle.get(record.gpadl)
        if gpadl is None or gpadl.ranges is not None:
            raise GpadlIgnored("body of no GPADL in progress")
        return self._add(gpadl, record.pages)

    def drop(self, gpadl: Gpadl) -> None:
        """Forget one: it was torn down, or was bad."""
        del self.by_handle[gpadl.handle]
        self.pages -= gpadl.cost

    def of(self, relid: int) -> list[Gpadl]:
        """Return the GPADLs of a channel."""
        return [gpadl for gpadl in self.by_handle.values() if gpadl.relid == relid]

    def _add(self, gpadl: Gpadl, words: Sequence[int]) -> Gpadl:
        """Append words, and no more than were announced (a message may be longer than it must be)."""
        gpadl.words += words[:gpadl.words_declared - len(gpadl.words)]
        if len(gpadl.words) == gpadl.words_declared:
            try:
                gpadl.ranges = self._ranges(gpadl)
            except GpadlRefused as error:
                error.relid = gpadl.relid  # type: ignore[attr-defined]
                self.drop(gpadl)
                raise
            gpadl.words = []
        return gpadl

    def _ranges(self, gpadl: Gpadl) -> list[Range]:
        """The words as ranges, each page checked."""
        words, ranges, at = gpadl.words, [], 0
        for _ in range(gpadl.ranges_declared):
            if at >= len(words):
                raise GpadlRefused("GPADL range missing")
            count, offset = words[at] & 0xFFFFFFFF, words[at] >> 32
            pages = -(-(offset + count) // PAGE)
            if count == 0 or offset >= PAGE or at + 1 + pages > len(words):
                raise GpadlRefused("GPADL range of a wrong size")
            ranges.append(Range(count, offset, tuple(words[at + 1:at + 1 + pages])))
            at += 1 + pages
        if at != len(words):
            raise GpadlRefused("GPADL with words left over")
        self.check([page for each in ranges for page in each.pages])
        return ranges

    def check(self, pages: Sequence[int]) -> None:
        """`GpadlRefused` unless every page is the guest's RAM (and not given to the host), none twice, none private or under a page of the hypervisor's."""
        spa = self._guest.backing.spa
        if any(spa(page * PAGE) is None for page in pages):
            raise GpadlRefused("GPADL page outside the guest's RAM")
        isolation = self._guest.isolation
        if isolation is not None and not all(isolation.may(page, READ | WRITE) for page in pages):
            raise GpadlRefused("GPADL page that the guest keeps private")
        different = set(pages)
        if len(different) != len(pages):
            raise GpadlRefused("GPADL page twice")
        if not different.isdisjoint(self._guest.enlightened.overlays.pages()):
            raise GpadlRefused("GPADL page under an overlay")

    def lent(self) -> Iterator[int]:
        """Return the numbers of all pages that the guest lends, an iterator."""
        return (page for gpadl in self.by_handle.values() for each in gpadl.ranges or () for page in each.pages)
