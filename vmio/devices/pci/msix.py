"""MSI-X: a table of messages in the device's own memory, one a vector.

Vector control bit 0 masks a vector, the capability's function mask all of
them; a masked vector's message is kept as a pending bit and leaves when the
mask goes.  Source: PCI Local Bus Specification 3.0, 6.8.2 "MSI-X Capability and
Table Structures".
"""

from collections.abc import Callable

from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.capabilities import Sender
from vmio.devices.pci.wire import MASKED, MSIX, MSIX_ENABLE, MSIX_ENTRY, MSIX_FUNCTION_MASK, MSIX_ID
from vmio.machine.contracts import State

ENTRY_BYTES = MSIX_ENTRY.size
CONTROL, _ = MSIX_ENTRY.at("control")
_MESSAGE = MSIX_ENTRY.only("address", "data")


class Msix:
    """`vectors` table entries; `send(vector)` is called for each message that leaves.

    `message(vector)` is the (address, data) that software put in the table.
    """

    def __init__(self, vectors: int, send: Callable[[int], None]) -> None:
        self.vectors, self.send = vectors, send
        self.enabled = self.function_masked = False
        self.reset()

    def reset(self) -> None:
        """All vectors masked, nothing pending, off (6.8.2.9)."""
        self.table = bytearray(ENTRY_BYTES * self.vectors)
        self.table[CONTROL::ENTRY_BYTES] = b"\1" * self.vectors
        self.pending = 0
        self.enabled = self.function_masked = False

    def unmask_all(self) -> None:
        """What a driver does first: enable MSI-X and let every vector through."""
        self.table[CONTROL::ENTRY_BYTES] = bytes(self.vectors)
        self.control(True, False)

    def control(self, enabled: bool, function_masked: bool) -> None:
        """Message control bits 15 and 14 were written."""
        self.enabled, self.function_masked = enabled, function_masked
        self._release()

    def notify(self, vector: int) -> None:
        """The device has something to say on `vector`."""
        if self.function_masked or self.table[vector * ENTRY_BYTES + CONTROL] & MASKED:
            self.pending |= 1 << vector
        else:
            self.send(vector)

    def withdraw(self, vector: int) -> None:
        """What was pending on `vector` has been seen to."""
        self.pending &= ~(1 << vector)

    def message(self, vector: int) -> tuple[int, int]:
        """(address, data) of a vector's message."""
        return _MESSAGE.unpack_from(self.table, vector * ENTRY_BYTES)

    def read_table(self, offset: int, size: int) -> int:
        """Table bytes; past the end there are none (0)."""
        return int.from_bytes(self.table[offset:offset + size], "little")

    def write_table(self, offset: int, size: int, value: int) -> None:
        """Store in the table; unmasking lets a pending message go."""
        end = min(offset + size, len(self.table))
        if offset < end:
            self.table[offset:end] = value.to_bytes(size, "little")[:end - offset]
            self._release()

    def read_pending(self, offset: int, size: int) -> int:
        """Return the pending bit array."""
        return self.pending >> 8 * offset & (1 << 8 * size) - 1

    def _release(self) -> None:
        if not self.enabled or self.function_masked or not self.pending:
            return
        for vector in range(self.vectors):
            if self.pending >> vector & 1 and not self.table[vector * ENTRY_BYTES + CONTROL] & MASKED:
                self.pending &= ~(1 << vector)
                self.send(vector)

    def save(self) -> State:
        """Table, pending bits and control."""
        return {"table": self.table.hex(), "pending": self.pending, "enabled": self.enabled,
                "function_masked": self.function_masked}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.table = bytearray.fromhex(state["table"])
        self.pending, self.enabled = state["pending"], state["enabled"]
        self.function_masked = state["function_masked"]


class MsixCapability(Capability):
    """How software finds the tables of `msix` (an `Msix`), and switches it on: (BAR index, offset) of `table` and `pending`."""

    def __init__(self, msix: Msix, table: tuple[int, int], pending: tuple[int, int], at: int | None = None) -> None:
        (bar, offset), (pending_bar, pending_offset) = table, pending
        super().__init__(MSIX_ID, MSIX.size, [(*MSIX.at("control"), msix.vectors - 1), (*MSIX.at("table"), offset | bar),
                                              (*MSIX.at("pending"), pending_offset | pending_bar)],
                         [(*MSIX.at("control"), MSIX_ENABLE | MSIX_FUNCTION_MASK)], at)
        self.msix, self.vectors = msix, msix.vectors

    def joined(self, function: Sender) -> None:
        """Messages of the table are the function's from now on."""
        super().joined(function)
        self.msix.send = lambda vector: function.message(*self.msix.message(vector))

    def obey(self) -> None:
        """Message control says whether, and whether now."""
        control = self.get(*MSIX.at("control"))
        self.msix.control(bool(control & MSIX_ENABLE), bool(control & MSIX_FUNCTION_MASK))

    def tables(self) -> list[tuple[int, int, int]]:
        """Return the table and the pending bits, eight bytes for 64 vectors."""
        table, pending = self.get(*MSIX.at("table")), self.get(*MSIX.at("pending"))
        return [(table & 7, table & ~7, ENTRY_BYTES * self.vectors), (pending & 7, pending & ~7, 8 * -(-self.vectors // 64))]
