"""A disk of which only the time is modelled: for workloads of many guests, whose bytes nobody looks at.

To the block layer it looks like an `NvmeDriver`; requests take what `MediumTime`
says, in the same order and at the same nanosecond as on the NVMe controller
(a test holds the two side by side), but no command is built and no byte moves.
That is a fifth of the work.
"""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from vmio.host.block import BlockLayer
from vmio.host.physical import MediumTime
from vmio.hypervisor.contracts import Root
from vmio.machine.contracts import Tag


class TimedDisk:
    """A disk of `host` with a queue of `entries`; `layer` is its block layer (`sharing`: its options)."""

    def __init__(self, host: Root, entries: int = 256, **sharing: Any) -> None:
        self._medium = MediumTime(host)
        self.pairs = [SimpleNamespace(entries=entries)]
        self._new: list[tuple[str, int, Tag]] = []
        self._finished: list[tuple[Tag, int]] = []
        self._free = entries - 1
        self.layer = BlockLayer(host, self, **sharing)

    def submit(self, op: str, lba: int, sectors: int, pages: Sequence[int], tag: Tag, pair: int = 0) -> bool:
        """Take a request as `NvmeDriver.submit` does: False if the queue is full."""
        if not self._free:
            return False
        self._free -= 1
        self._new.append((op, sectors, tag))
        return True

    def ring_doorbell(self, pair: int = 0) -> None:
        """Begin what was submitted."""
        new, self._new = self._new, []
        for op, sectors, tag in new:
            self._medium.service("write" if op == "zero" else op, sectors, partial(self._over, tag))

    def _over(self, tag: Tag) -> None:
        self._finished.append((tag, 0))
        self.layer.interrupt(1)

    def reap(self, pair: int = 0) -> list[tuple[Tag, int]]:
        """Return what `NvmeDriver.reap` does; nothing fails here."""
        finished, self._finished = self._finished, []
        self._free += len(finished)
        return finished
