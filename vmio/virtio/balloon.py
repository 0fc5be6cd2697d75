"""A balloon by virtio: the host says how many pages it wants, the guest names those that it gives, and those that it has again.

Pages that were given leave the guest's second-level table at once (`vmio/hypervisor/given.py`), so a driver that would use them again
before it has said so is none that we can work with: MUST_TELL_HOST is asked for.  A deflation for which the host has no frames waits until `settle` finds some.
Source: VIRTIO 1.2, 5.5 "Traditional Memory Balloon Device"; statistics as in Linux drivers/virtio/virtio_balloon.c (update_balloon_stats).
"""

from collections.abc import Callable
from struct import iter_unpack

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.given import GivenPages
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Memory
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.pageruns import PageRuns
from vmio.virtio import balloon_wire as w
from vmio.virtio import features as f
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue.chain import Chain

FEATURES = f.RING | w.MUST_TELL_HOST | w.STATS_VQ
MOST_NUMBERS = 1024          # pages that one buffer may name: Linux's has 256
MOST_STATS = 64              # entries of one buffer; Linux sends 10


class Balloon(VirtioDevice):
    """The memory of `guest`.  `wanted` is how many pages the host would like to have, `given` are those that it has, `stats` {tag: value} the last ones."""

    POINTS = VirtioDevice.POINTS | {"moved": "(pages that the host has now) the guest has given some, or has some again",
                                    "reported": "(stats) the guest has sent its statistics"}
    moved: Callable[[int], None] | None = None
    reported: Callable[[dict[int, int]], None] | None = None
    type = w.TYPE

    def __init__(self, memory: Memory, host: Root, guest: Guest, sizes: tuple[int, int, int] = (128, 128, 128), features: int = FEATURES) -> None:
        self.guest, self.given = guest, GivenPages(host, guest)
        self.wanted = self.actual = 0
        self.stats: dict[int, int] = {}
        self._held: list[Chain] = []              # deflations that wait for frames of the host's
        self._stats: Chain | None = None          # the statistics' buffer: given back, it asks for new ones
        super().__init__(memory, sizes, features)

    @property
    def assigned(self) -> int:
        """How many pages the guest has now."""
        return self.guest.backing.bytes // PAGE

    # What the host asks.

    def want(self, pages: int) -> None:
        """Ask the guest for so many pages in all, 0 for none; it gives them, or takes them back, in its own time.  ValueError for more than it began with."""
        total = self.assigned + self.given.total
        if not 0 <= pages <= total:
            raise ValueError(f"guest {self.guest.name}: {pages} pages wanted; 0 to the {total} that it began with")
        if pages > self.given.total:
            self.guest.check_takeable()
        self.settle()
        if pages != self.wanted:
            self.wanted = pages
            self.config_changed()

    def ask_stats(self) -> bool:
        """Give the statistics' buffer back, which asks for new ones (5.5.6.3); False while the driver has lent none."""
        chain, self._stats = self._stats, None
        if chain is not None:
            self.done(w.STATS, chain, 0)
        return chain is not None

    def settle(self) -> None:
        """Answer deflations that waited for frames, as far as there are some now."""
        held, self._held = self._held, []
        for chain in held:
            self.handle(w.DEFLATE, chain)

    # What the guest says.

    def config(self) -> bytes:
        """See `VirtioDevice` (5.5.4)."""
        return w.CONFIG.pack(num_pages=self.wanted, actual=self.actual)

    def write_config(self, offset: int, data: bytes) -> None:
        """See `VirtioDevice`: the driver says how many pages it has given.  Nobody relies on it: `given` is counted."""
        at, size = w.CONFIG.at("actual")
        if (offset, len(data)) == (at, size):
            self.actual = int.from_bytes(data, "little")

    def accepts(self, agreed: int) -> bool:
        """See `VirtioDevice`: a driver must say that it takes pages back before it uses them."""
        return bool(agreed & w.MUST_TELL_HOST)

    def handle(self, number: int, chain: Chain) -> None:
        """See `VirtioDevice`: page numbers (5.5.6), or statistics, whose buffer is kept until the host wants others."""
        try:
            if number == w.STATS:
                self._report(chain)
            elif not self._move(number, chain):
                self._held.append(chain)
                return
        except ValueError as error:
            self.fail(f"queue {number}: {error}")
        if chain is not self._stats:
            self.done(number, chain, 0)

    def _move(self, number: int, chain: Chain) -> bool:
        """Take the pages that a buffer names, or give them back; False: the host has no frames for them.  ValueError for what can't be."""
        runs = PageRuns((page, 1) for page, in iter_unpack("<I", self._entries(chain, w.PAGE_NUMBER, MOST_NUMBERS))).runs
        if number == w.INFLATE:
            self.given.check(runs)
            for first, count in runs:
                self.given.give(first, count)
        else:
            for first, count in runs:
                if not self._has(first, count):
                    raise ValueError(f"pages {first:#x}, {count} of them, taken back: not all were given")
            try:
                self.given.back(runs)
            except OutOfMemory:
                return False
        if self.moved is not None:
            self.moved(self.given.total)
        return True

    def _report(self, chain: Chain) -> None:
        """Read statistics; of a driver that lends another buffer before it had the last one back, the last one goes back."""
        self.stats = dict(w.STAT.struct.iter_unpack(self._entries(chain, w.STAT.size, MOST_STATS)))
        before, self._stats = self._stats, chain
        if before is not None:
            self.done(w.STATS, before, 0)
        if self.reported is not None:
            self.reported(self.stats)

    @staticmethod
    def _entries(chain: Chain, size: int, most: int) -> bytes:
        """The bytes of a buffer of 1 to `most` entries of `size` bytes; none where memory refuses, which has broken the queue."""
        data = chain.fetch(0, most * size + 1)
        if data is not None and not (0 < len(data) <= most * size and not len(data) % size):
            raise ValueError(f"a buffer of {chain.size:,} bytes; {size} for each of 1 to {most:,} entries")
        return data or b""

    def _has(self, first: int, count: int) -> bool:
        """Whether the host has all of these."""
        return any(start <= first and first + count <= start + size for start, size in self.given.runs)

    def ended(self) -> None:
        """See `VirtioDevice`: a driver that begins anew believes to have all its memory."""
        self.actual, self.stats = 0, {}
        self.given.back_all()

    def stopping(self, number: int) -> None:
        """See `VirtioDevice`."""
        if number == w.DEFLATE:
            for chain in self._held:
                chain.queue.drop()
            self._held = []
        elif number == w.STATS and self._stats is not None:
            self._stats.queue.drop()
            self._stats = None
