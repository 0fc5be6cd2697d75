"""Pages of the host's own between a guest's buffer and a disk that can't reach it as it lies.

    pages = BouncePages(memory, most=256)
    pages.take(9, then)        then([SPA, ...]) now, or when so many have come back; False if there are never so many
    pages.give_back(spas)

A disk moves whole 32-bit words (NVMe 1.4, 4.3); a guest's buffer may begin at any
byte.  Public source: OpenVMM vm/devices/storage/scsi_buffers, "Alignment and bounce
buffering".  Whoever waits is served in order, so a large request is not overtaken for ever.
"""

from collections import deque

from vmio.machine.memory import OutOfMemory


class BouncePages:
    """At most `most` pages of host `memory`, taken as they are needed and kept for the next request."""

    def __init__(self, memory, most):
        self.memory, self.most = memory, most
        self.made, self._free, self._waiting = [], [], deque()

    def take(self, number, then):
        """Call `then` with `number` pages, as soon as that many are free.  False: the host will never have so many."""
        while len(self.made) < min(self.most, len(self.made) - len(self._free) + number):
            try:
                self.made.append(self.memory.allocate(1))
            except OutOfMemory:
                self.most = len(self.made)
                break
            self._free.append(self.made[-1])
        if number > self.most:
            return False
        self._waiting.append((number, then))
        self._serve()
        return True

    def give_back(self, spas):
        """The request is over; the pages may serve another of the same guest."""
        self._free += spas
        self._serve()

    def _serve(self):
        while self._waiting and self._waiting[0][0] <= len(self._free):
            number, then = self._waiting.popleft()
            taken, self._free = self._free[:number], self._free[number:]
            then(taken)

    def release(self):
        """Give all of them back to the host: the guest is gone."""
        for spa in self.made:
            self.memory.free(spa, 1)
        self.made, self._free = [], []
