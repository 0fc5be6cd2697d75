"""A disk of which only the time is modelled: for workloads of many guests, whose bytes nobody looks at.

To the block layer it looks like an `NvmeDriver`; requests take what `MediumTime`
says, in the same order and at the same nanosecond as on the NVMe controller
(a test holds the two side by side), but no command is built and no byte moves.
That is a fifth of the work.
"""

from types import SimpleNamespace

from vmio.host.block import BlockLayer
from vmio.host.physical import MediumTime


class TimedDisk:
    """A disk of `host` with a queue of `entries`; `layer` is its block layer (`sharing`: its options)."""

    def __init__(self, host, entries=256, **sharing):
        self._medium = MediumTime(host)
        self.pairs = [SimpleNamespace(entries=entries)]
        self._new, self._finished, self._free = [], [], entries - 1
        self.layer = BlockLayer(host, self, **sharing)

    def submit(self, kind, lba, sectors, pages, tag, pair=0):
        """As `NvmeDriver.submit`: False if the queue is full."""
        if not self._free:
            return False
        self._free -= 1
        self._new.append((kind, sectors, tag))
        return True

    def ring_doorbell(self, pair=0):
        """What was submitted begins."""
        new, self._new = self._new, []
        for kind, sectors, tag in new:
            self._medium.service("write" if kind == "zero" else kind, sectors, lambda tag=tag: self._over(tag))

    def _over(self, tag):
        self._finished.append((tag, 0))
        self.layer.interrupt(1)

    def reap(self, pair=0):
        """As `NvmeDriver.reap`; nothing fails here."""
        finished, self._finished = self._finished, []
        self._free += len(finished)
        return finished
