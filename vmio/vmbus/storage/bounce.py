"""Pages of the host's own between a guest's buffer and a disk that can't reach it as it lies.

    pages = BouncePages(memory, max_pages=256)
    pages.take(9, then)        then([SPA, ...]) now, or when so many have come back; False if there are never so many
    pages.give_back(spas)

A disk moves whole 32-bit words (NVMe 1.4, 4.3); a guest's buffer may begin at any
byte.  Public source: OpenVMM vm/devices/storage/scsi_buffers, "Alignment and bounce
buffering".  Whoever waits is served in order, so a large request is not overtaken for ever.
"""

from collections import deque
from collections.abc import Callable

from vmio.machine.memory import HostMemory, OutOfMemory


class BouncePages:
    """At most `max_pages` pages of host `memory`, taken as they are needed and kept for the next request."""

    def __init__(self, memory: HostMemory, max_pages: int) -> None:
        self.memory, self.max_pages = memory, max_pages
        self.made: list[int] = []
        self._free: list[int] = []
        self._waiting: deque[tuple[int, Callable[[list[int]], None]]] = deque()

    def take(self, number: int, then: Callable[[list[int]], None]) -> bool:
        """Call `then` with `number` pages, as soon as that many are free.  False: the host will never have so many."""
        while len(self.made) < min(self.max_pages, len(self.made) - len(self._free) + number):
            try:
                self.made.append(self.memory.allocate(1))
            except OutOfMemory:
                self.max_pages = len(self.made)
                break
            self._free.append(self.made[-1])
        if number > self.max_pages:
            return False
        self._waiting.append((number, then))
        self._serve()
        return True

    def give_back(self, spas: list[int]) -> None:
        """The request is over; the pages may serve another of the same guest."""
        self._free += spas
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= len(self._free):
            number, then = self._waiting.popleft()
            taken, self._free = self._free[:number], self._free[number:]
            then(taken)

    def release(self) -> None:
        """Give all of them back to the host: the guest is gone."""
        for spa in self.made:
            self.memory.free(spa, 1)
        self.made, self._free = [], []
