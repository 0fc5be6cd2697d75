"""Who takes chains out of a virtqueue and hands them to its device: here one that does so at once, when the driver kicks.

A host's worker, which takes its time and a core, is `worker.py`.
"""

from typing import Protocol

from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import Chain


class Server(Protocol):
    """Who takes a queue's chains out when the driver has kicked, hands them to the device, and takes them back."""

    def kicked(self) -> None:
        """The driver says that there is something."""

    def put(self, chain: Chain, written: int) -> None:
        """A chain is done."""

    def stop(self) -> None:
        """The queue is gone: take nothing more."""


class Owner(Protocol):
    """A `VirtioDevice`, as who serves a queue of it sees it."""

    queues: dict[int, DeviceQueue]

    def handle(self, number: int, chain: Chain, /) -> None:
        """Carry out a chain."""

    def done(self, number: int, chain: Chain, written: int, /) -> None:
        """Give a chain back."""

    def interrupt(self, number: int, /) -> None:
        """Tell the driver that chains were used."""


class AtOnce:
    """Serves a queue while the driver kicks, until nothing is there; interrupts once for all that was done by then."""

    def __init__(self, device: Owner, number: int) -> None:
        self.device, self.number, self.queue = device, number, device.queues[number]
        self._serving = self._stopped = self._new = False

    def kicked(self) -> None:
        """See `Server`."""
        if self._serving:
            return
        queue, self._serving = self.queue, True
        while not self._stopped:
            queue.awake()
            while not self._stopped and (chain := queue.take()) is not None:
                self.device.handle(self.number, chain)
            if not queue.rest():
                break
        self._serving = False
        self._tell()

    def put(self, chain: Chain, written: int) -> None:
        """See `Server`."""
        self.queue.put(chain, written)
        self._new = True
        if not self._serving:
            self._tell()

    def _tell(self) -> None:
        new, self._new = self._new, False
        if new and not self._stopped and self.queue.must_interrupt():
            self.device.interrupt(self.number)

    def stop(self) -> None:
        """See `Server`."""
        self._stopped = True
