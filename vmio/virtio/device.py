"""What all virtio devices have in common: status, features, queues, configuration space, and who is told what.

A transport (`pci.py`, `mmio.py`) gives a driver the registers for it.  A device's own part is a
subclass: `handle(queue number, chain)` for what comes, `config` for what can be read.  Chains
are carried out at once, or by whoever `served_by` has named.  What no honest driver does sets
NEEDS_RESET: `broken` has the sentence, and nothing more happens until the driver resets.

Source: VIRTIO 1.2, 2 "Basic Facilities of a Virtio Device", 3.1 "Device Initialization".
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from vmio.machine.contracts import Memory
from vmio.virtio import features as f
from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import Chain
from vmio.virtio.queue.packed import PackedQueue
from vmio.virtio.queue.split import SplitQueue
from vmio.virtio.server import AtOnce, Server


class Transport(Protocol):
    """How a driver hears of it."""

    def queue_interrupt(self, number: int) -> None:
        """A queue has used chains, and the driver wants to know."""

    def config_interrupt(self) -> None:
        """The configuration, or the status, has changed."""


class Setup:
    """What a driver has said of one queue; `max_size` 0: there is no such queue."""

    __slots__ = ("max_size", "size", "descriptors", "driver", "device", "enabled")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.reset()

    def reset(self) -> None:
        """As after a reset of the device."""
        self.size, self.enabled = self.max_size, False
        self.descriptors = self.driver = self.device = 0


class VirtioDevice:
    """`sizes` are the entries of its queues at most; `features` are offered.  `memory` is what its DMA reaches."""

    POINTS = {"failed": "(sentence) when a driver has done what none may do", "ready": "(features that were agreed on) when a driver is up"}
    failed: Callable[[str], None] | None = None
    ready: Callable[[int], None] | None = None
    type = 0                  # VIRTIO 1.2, 5 "Device Types"
    lent: tuple[int, ...] = ()     # queues whose chains nobody serves: the device takes them itself, when it has something for them

    def __init__(self, memory: Memory, sizes: Sequence[int], features: int) -> None:
        self._memory, self.features = memory, features
        self.setups = [Setup(size) for size in sizes]
        self.transport: Transport | None = None
        self._server_of: Callable[[VirtioDevice, int], Server] = AtOnce
        self.queues: dict[int, DeviceQueue] = {}
        self.servers: dict[int, Server] = {}
        self.kicks = 0
        self._ending: list[DeviceQueue] = []      # queues of before a reset with chains under way
        self._power_on()

    def _power_on(self) -> None:
        self.status = self.agreed = self.generation = 0
        self.broken: str | None = None
        for setup in self.setups:
            setup.reset()

    @property
    def memory(self) -> Memory:
        """What the device's DMA reaches; whoever changes it changes it for all queues."""
        return self._memory

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self._memory = memory
        for queue in self.queues.values():
            queue.memory = memory

    def served_by(self, make: "Callable[[VirtioDevice, int], Server]") -> None:
        """Let `make(device, queue number)` give who serves a queue, whenever one begins."""
        self._server_of = make

    # -- for a subclass ----------------------------------------------------------------------

    def handle(self, number: int, chain: Chain) -> None:
        """Carry out a chain of queue `number`; `done(number, chain, written)` now or later."""
        raise NotImplementedError

    def config(self) -> bytes:
        """Return the configuration space as it is now."""
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver has written to the configuration space; most of it can't be."""

    def accepts(self, agreed: int) -> bool:
        """Return whether the device can work with these features; a subset of those offered, and VERSION_1, they are."""
        return True

    def ended(self) -> None:
        """The device is reset, and what it knew of its driver forgotten."""

    def stopping(self, number: int) -> None:
        """A queue is about to go: `drop` each chain of it that is held, and not under way."""

    # -- status and features (2.1, 2.2) ------------------------------------------------------------

    def read_status(self) -> int:
        """Return the status; while chains of before a reset are still under way, it is not 0 yet, and the driver waits."""
        return self.status if self.status or not self._ending else f.FAILED

    def write_status(self, value: int) -> None:
        """The driver goes a step on, or resets the device with 0; FEATURES_OK sticks only if the features are good."""
        if not value:
            self.reset()
            return
        if self._ending:
            return
        if value & f.FEATURES_OK and not self.status & f.FEATURES_OK and not self._good(self.agreed):
            value &= ~f.FEATURES_OK
        if not (self.status | value) & f.FEATURES_OK:
            value &= ~f.DRIVER_OK            # nothing begins with features that the device has not accepted (3.1.1)
        begins = value & f.DRIVER_OK and not self.status & f.DRIVER_OK
        self.status |= value & 0xFF
        if begins:
            for number, setup in enumerate(self.setups):
                if setup.enabled:
                    self._start(number)
            if self.ready is not None:
                self.ready(self.agreed)

    def agree(self, agreed: int) -> None:
        """The driver wants these features; after FEATURES_OK nothing changes any more."""
        if not self.status & f.FEATURES_OK:
            self.agreed = agreed

    def _good(self, agreed: int) -> bool:
        return not agreed & ~self.features and bool(agreed & f.VERSION_1) and self.accepts(agreed)

    def reset(self) -> None:
        """Forget the driver; chains that are under way are answered to nobody."""
        for number in list(self.queues):
            self._stop(number)
        self._power_on()
        self.ended()

    def fail(self, why: str) -> None:
        """The driver did what none may do: DEVICE_NEEDS_RESET, and word of it if it is up (2.1.2)."""
        if self.broken is not None:
            return
        self.broken = why
        self.status |= f.NEEDS_RESET
        if self.failed is not None:
            self.failed(why)
        if self.status & f.DRIVER_OK and self.transport is not None:
            self.transport.config_interrupt()

    # -- queues ------------------------------------------------------------------------------

    def enable(self, number: int) -> None:
        """The driver has set up a queue, and wants it; one that is not there stays so."""
        if number >= len(self.setups):
            return
        setup = self.setups[number]
        if not setup.enabled and setup.max_size:
            setup.enabled = True
            if self.status & f.DRIVER_OK:
                self._start(number)

    def reset_queue(self, number: int) -> None:
        """The driver takes one queue back (2.6.1)."""
        if number in self.queues:
            self._stop(number)
        self.setups[number].reset()

    def _start(self, number: int) -> None:
        """Make the queue that the driver has described; a size that none can have breaks the device."""
        setup, kind = self.setups[number], PackedQueue if self.agreed & f.RING_PACKED else SplitQueue
        try:
            queue = kind(self.memory, setup.size, setup.descriptors, setup.driver, setup.device,
                         indirect=bool(self.agreed & f.INDIRECT_DESC), event_idx=bool(self.agreed & f.EVENT_IDX),
                         in_order=bool(self.agreed & f.IN_ORDER), on_broken=lambda why: self.fail(f"queue {number}: {why}"))
        except ValueError as error:
            self.fail(f"queue {number}: {error}")
            return
        self.queues[number] = queue
        if number not in self.lent:
            self.servers[number] = self._server_of(self, number)

    def _stop(self, number: int) -> None:
        queue = self.queues.pop(number)
        if number in self.servers:
            self.servers.pop(number).stop()
        self.stopping(number)
        if queue.abandon():
            self._ending.append(queue)

    def kick(self, number: int) -> None:
        """The driver has made chains available; before DRIVER_OK, and in a queue that is not there, nobody looks (3.1.2)."""
        self.kicks += 1
        server = self.servers.get(number)
        if server is not None and self.broken is None:
            server.kicked()

    def interrupt(self, number: int) -> None:
        """Tell the driver that a queue has used chains."""
        if self.transport is not None:
            self.transport.queue_interrupt(number)

    def done(self, number: int, chain: Chain, written: int) -> None:
        """Give a chain of queue `number` back; one of a queue that is gone is answered to nobody."""
        queue = chain.queue
        if queue is self.queues.get(number):
            self.servers[number].put(chain, written)
        elif queue in self._ending and not queue.drop():
            self._ending.remove(queue)

    # -- configuration space (2.5) -----------------------------------------------------------------

    def read_config(self, offset: int, size: int) -> int:
        """Return `size` bytes of the configuration space; all ones for what does not lie in it whole, as where nobody answers."""
        data = self.config()[offset:offset + size]
        return int.from_bytes(data if len(data) == size else b"\xff" * size, "little")

    def config_changed(self) -> None:
        """Say that the configuration space has changed, if a driver is there to hear it (2.5.1)."""
        self.generation = self.generation + 1 & 0xFF
        if self.status & f.DRIVER_OK and self.transport is not None:
            self.transport.config_interrupt()
