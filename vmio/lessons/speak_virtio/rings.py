"""Small virtqueues in plain memory: a driver's half and a device's half, and what lies between them, drawn from its declarations.

    table = Small("split", indirect=True)
    table.request(16, [512], 1)         a header that the device reads, data and a status that it writes
    print(table.draw())
"""

from collections.abc import Sequence

from vmio.experiments.queueload import BUFFERS, DESCRIPTORS, DEVICE, DRIVER, halves
from vmio.virtio.queue import Chain
from vmio.virtio.queue.driver import QueueFull
from vmio.virtio.queue.wire import AVAILABLE, DESCRIPTOR, EVENT, PACKED, USED_ELEMENT, USED_RING

HEADER, STATUS = 16, 1          # bytes of a disk's request beside its data


class Small:
    """Both halves of a queue of `form` "split" or "packed", `entries` long."""

    def __init__(self, form: str, entries: int = 8, indirect: bool = True, event_idx: bool = True) -> None:
        self.form, self.entries = form, entries
        self.driver, self.device = halves(form, entries, indirect, event_idx)
        self.memory, self._free = self.driver.memory, BUFFERS

    def add(self, readable: Sequence[int], writable: Sequence[int], token: object = None) -> int:
        """Lend a chain of pieces of so many bytes; return the descriptors of the ring that it takes.  `QueueFull`."""
        before = self.driver.free
        self.driver.add([self._piece(size) for size in readable], [self._piece(size) for size in writable], token)
        return before - self.driver.free

    def _piece(self, size: int) -> tuple[int, int]:
        at, self._free = self._free, self._free + (size + 15 & ~15)
        return at, size

    def serve(self, written: int = 0) -> Chain | None:
        """Take the next chain and give it back with so many bytes written; the device's half."""
        chain = self.device.take()
        if chain is not None:
            self.device.put(chain, written)
        return chain

    def draw(self, descriptors: int = 3) -> str:
        """Return what lies in memory: the first descriptors, and both sides' words."""
        layout = PACKED if self.form == "packed" else DESCRIPTOR
        parts = [f"descriptor {n}\n{layout.draw(self.memory.read(DESCRIPTORS + layout.size * n, layout.size))}" for n in range(descriptors)]
        if self.form == "packed":
            parts += [f"the {who}'s events\n{EVENT.draw(self.memory.read(at, EVENT.size))}" for who, at in (("driver", DRIVER), ("device", DEVICE))]
            return "\n\n".join(parts)
        used = self.memory.read(DEVICE, USED_RING.size + USED_ELEMENT.size)
        parts += [f"the driver's ring\n{AVAILABLE.draw(self.memory.read(DRIVER, AVAILABLE.size + 2))}",
                  f"the device's ring\n{USED_RING.draw(used[:USED_RING.size])}\n{USED_ELEMENT.draw(used, USED_RING.size)}"]
        return "\n\n".join(parts)


def slots(form: str, pieces: int, indirect: bool) -> int:
    """Return how many descriptors of the ring a request takes whose data are in so many pieces, by trying."""
    return Small(form, 256, indirect).add([HEADER], [16] * pieces + [STATUS])


def fit(form: str, entries: int, pieces: int, indirect: bool) -> int:
    """Return how many such requests the ring holds at once, by trying."""
    small, count = Small(form, entries, indirect), 0
    try:
        while True:
            small.add([HEADER], [16] * pieces + [STATUS])
            count += 1
    except QueueFull:
        return count
