"""Who serves a ring that runs: its chains go to the device, and what is under way is noted where the next back end finds it."""

from collections.abc import Iterable
from typing import Any

from vmio.machine.pagetable import TranslationFault
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue import Chain, PackedQueue, SplitQueue

GONE = "the memory for what is under way, or the ring's, is not there any more"


class RingServer:
    """A `Server` of queue `number`, one turn of the ring at a time, so that nobody else waits for ever.

    `notes` is the region of memory shared for what is under way (`sharing/inflight.py`), `again` are chains that were so when a back end before us ended.
    """

    def __init__(self, device: VirtioDevice, number: int, queue: SplitQueue | PackedQueue, notes: Any, again: Iterable[Chain]) -> None:
        self.device, self.number, self.queue, self._notes, self._again = device, number, queue, notes, list(again)

    def kicked(self) -> None:
        """See `Server`."""
        for _ in range(self.queue.size):
            if not self._serve_one():
                return

    def _serve_one(self) -> bool:
        """Hand one chain to the device, and note that it is under way; False if there is none."""
        again = bool(self._again)
        chain = self._again.pop(0) if again else self.queue.take()
        if chain is None:
            return False
        try:
            if self._notes is not None and not again:
                self._notes.taken(chain, self.queue)
        except (EOFError, TranslationFault):
            self.queue.fail(GONE)
        else:
            self.device.handle(self.number, chain)
        return True

    def put(self, chain: Chain, written: int) -> None:
        """See `Server`: it is noted before and behind the answer, so that there is no moment at which it would be given twice or never."""
        if self._notes is None:
            self.queue.put(chain, written)
            return
        try:
            self._notes.answers(chain, self.queue)
            self.queue.put(chain, written)
            self._notes.answered(chain, self.queue)
        except (EOFError, TranslationFault):
            self.queue.fail(GONE)

    def stop(self) -> None:
        """See `Server`: nothing is in its hand between two calls."""
