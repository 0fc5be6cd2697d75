"""A console by virtio, with one port: bytes in a queue each way, the size of the window, and a register for a last word.

The emergency write needs no queue, no memory and no driver that is up: one store, one character.  Several ports (MULTIPORT) are not offered.
Source: VIRTIO 1.2, 5.3 "Console Device".
"""

from collections.abc import Callable

from vmio.machine.contracts import Memory
from vmio.virtio import console_wire as w
from vmio.virtio import features as f
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue.base import DeviceQueue
from vmio.virtio.queue.chain import Chain

FEATURES = f.RING | w.SIZE | w.EMERG_WRITE
MOST = 1 << 16               # bytes of one buffer, and bytes that wait for the guest at most
NO_SIZE = 80, 25


class Console(VirtioDevice):
    """`sink(bytes)` gets what the guest says; `size` is (columns, rows) of the window."""

    type, lent = w.TYPE, (w.RECEIVE,)

    def __init__(self, memory: Memory, sink: Callable[[bytes], object] | None = None, size: tuple[int, int] = NO_SIZE,
                 sizes: tuple[int, int] = (128, 128), features: int = FEATURES) -> None:
        self.sink, self.size = sink, size
        self.said = self.typed = self.emergencies = 0      # bytes of the guest's, bytes for it, and words of its last
        self._typed = bytearray()                 # what no buffer has been lent for yet
        super().__init__(memory, sizes, features)

    # What the host does.

    def type_text(self, data: bytes) -> int:
        """Type to the guest; returns how many bytes were taken: fewer where it does not read them, none while it has no driver."""
        taken = data[:MOST - len(self._typed)] if w.RECEIVE in self.queues else b""
        self._typed += taken
        self._deliver()
        return len(taken)

    def resize(self, columns: int, rows: int) -> None:
        """The window has another size now.  ValueError for one that can't be."""
        if not (0 < columns < 1 << 16 and 0 < rows < 1 << 16):
            raise ValueError(f"console of {columns} columns and {rows} rows: 1 to 65,535 each")
        self.size = columns, rows
        self.config_changed()

    # What the guest does.

    def config(self) -> bytes:
        """See `VirtioDevice` (5.3.4)."""
        return w.CONFIG.pack(cols=self.size[0], rows=self.size[1], max_nr_ports=1)

    def write_config(self, offset: int, data: bytes) -> None:
        """See `VirtioDevice`: a character in an emergency, whatever the status (5.3.4)."""
        if offset == w.CONFIG.at("emerg_wr")[0]:
            self.emergencies += 1
            self._say(data[:1])

    def kick(self, number: int) -> None:
        """See `VirtioDevice`; there may be buffers for what was typed."""
        super().kick(number)
        if number == w.RECEIVE:
            self._deliver()

    def handle(self, number: int, chain: Chain) -> None:
        """See `VirtioDevice`: bytes that the guest says."""
        if chain.size > MOST:
            self.fail(f"queue {number}: a buffer of {chain.size:,} bytes; {MOST:,} at most")
        else:
            self._say(chain.fetch(0, chain.size) or b"")
        self.done(number, chain, 0)

    def _say(self, data: bytes) -> None:
        self.said += len(data)
        if self.sink is not None and data:
            self.sink(data)

    def _deliver(self) -> None:
        """Fill buffers with what was typed, as far as there are both; if there are too few, ask for a kick, and look again."""
        queue = self.queues.get(w.RECEIVE)
        if queue is None or self.broken is not None:
            return
        queue.awake()
        while self._typed:
            chain = queue.take()
            if chain is not None:
                self._fill(queue, chain)
            elif not queue.rest():
                break
        if queue.must_interrupt():
            self.interrupt(w.RECEIVE)

    def _fill(self, queue: DeviceQueue, chain: Chain) -> None:
        part = bytes(self._typed[:chain.space])
        if not part:
            queue.fail(f"a buffer of {chain.size} readable bytes, for what the device writes")
        elif chain.store(0, part):
            del self._typed[:len(part)]
            self.typed += len(part)
        queue.put(chain, len(part))

    def ended(self) -> None:
        """See `VirtioDevice`: what nobody has read is lost with its reader."""
        self._typed.clear()
