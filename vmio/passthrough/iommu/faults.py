"""Fault records: what the IOMMU refused, kept for software to read.

A record holds the page, the requester and the reason.  While a requester has a
record that nobody has read, its further faults are dropped; when every
record is taken, the overflow bit says that something was lost.
Source: Intel VT-d specification 7.2 "Non-Recoverable Fault Reporting" (reasons:
7.1.3), 11.4.7.1 "Fault Status Register", 11.4.7.6 "Fault Recording Registers".
"""

from collections.abc import Callable
from enum import IntEnum

from vmio.machine.contracts import State
from vmio.machine.pagetable import TranslationFault


class Reason(IntEnum):
    """Fault reasons of legacy mode and of interrupt remapping, with the specification's numbers."""

    ROOT_NOT_PRESENT = 0x1
    CONTEXT_NOT_PRESENT = 0x2
    CONTEXT_INVALID = 0x3
    BEYOND_WIDTH = 0x4
    WRITE = 0x5
    READ = 0x6
    PAGING_ENTRY_UNREADABLE = 0x7
    ROOT_TABLE_UNREADABLE = 0x8
    CONTEXT_TABLE_UNREADABLE = 0x9
    ROOT_RESERVED = 0xA
    CONTEXT_RESERVED = 0xB
    PAGING_RESERVED = 0xC
    TRANSLATION_TYPE = 0xD
    INTERRUPT_RANGE = 0xE
    IR_REQUEST_RESERVED = 0x20
    IR_INDEX = 0x21
    IR_NOT_PRESENT = 0x22
    IR_TABLE_UNREADABLE = 0x23
    IR_ENTRY_RESERVED = 0x24
    IR_COMPATIBILITY = 0x25
    IR_REQUESTER = 0x26


# Faults that the FPD bit of a context entry keeps out of the records ("qualified" in the specification's table).
QUALIFIED = {Reason.CONTEXT_NOT_PRESENT, Reason.CONTEXT_INVALID, Reason.BEYOND_WIDTH, Reason.WRITE, Reason.READ,
             Reason.PAGING_ENTRY_UNREADABLE, Reason.PAGING_RESERVED, Reason.TRANSLATION_TYPE, Reason.INTERRUPT_RANGE}

OVERFLOW, PENDING, QUEUE_ERROR = 1 << 0, 1 << 1, 1 << 4      # PFO, PPF, IQE of the status register
FAULT, IS_READ = 1 << 63, 1 << 62                            # F and T of a record's high half
# Bits 55:40 hold a PASID if bit 31 is set.  It never is here; QEMU 7.2 shows ones then, drivers don't look.
_NO_PASID = 0xFFFF << 40


class DmaFault(TranslationFault):
    """A DMA or an interrupt that the IOMMU refused.  Carries `reason` and `requester`, too."""

    def __init__(self, requester: int, address: int, access: int, reason: Reason) -> None:
        super().__init__(address, access, reason not in (Reason.WRITE, Reason.READ))
        self.requester, self.reason = requester, reason
        self.args = requester, address, access, reason

    def __str__(self) -> str:
        return f"{super().__str__()} (fault {int(self.reason):#x} {self.reason.name})"


class FaultLog:
    """`records` fault recording registers and the status; `event()` is called when the first record appears."""

    def __init__(self, records: int = 1, event: Callable[[], None] | None = None) -> None:
        if not 1 <= records <= 256:
            raise ValueError(f"fault log: records {records}; 1 to 256")
        self.size, self.event = records, event or (lambda: None)
        self.counts: dict[Reason, int] = {}   # Reason -> how many, recorded or not
        self.reset()

    def reset(self) -> None:
        """Have nothing recorded."""
        self.low, self.high = [0] * self.size, [0] * self.size
        self.next = self.index = 0
        self.overflow = self.queue_error = False
        self.dropped = 0

    @property
    def pending(self) -> bool:
        """A record is waiting to be read (PPF)."""
        return any(high & FAULT for high in self.high)

    @property
    def status(self) -> int:
        """The fault status register: overflow, pending, queue error, index of the first record."""
        return (OVERFLOW * self.overflow | PENDING * self.pending | QUEUE_ERROR * self.queue_error | self.index << 8)

    def report(self, requester: int, address: int, reason: Reason, is_read: bool) -> None:
        """Record a fault of `requester` at `address` (for interrupts: the index in bits 63:48)."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        first = not self.pending
        taken = any(high & FAULT and high & 0xFFFF == requester for high in self.high)
        if self.overflow or taken or self.high[self.next] & FAULT:
            self.dropped += 1
            self.overflow |= not taken
            return
        quiet = self.queue_error     # an event that nobody has served yet; a second one is not sent
        self.low[self.next] = address & ~0xFFF
        self.high[self.next] = FAULT | IS_READ * is_read | _NO_PASID | int(reason) << 32 | requester
        if first:
            self.index = self.next
        self.next = (self.next + 1) % self.size
        if first and not quiet:
            self.event()

    def queue_failed(self) -> None:
        """The invalidation queue stopped at a descriptor that makes no sense (IQE)."""
        quiet = self.overflow or self.pending or self.queue_error
        self.queue_error = True
        if not quiet:
            self.event()

    def clear(self, index: int) -> None:
        """Software has read record `index`."""
        self.high[index] &= ~FAULT

    def taken(self) -> list[tuple[int, int, Reason, str]]:
        """Return the records as (requester, address, Reason, "read" or "write"), oldest first; for a lesson to show."""
        order = [(self.next + i) % self.size for i in range(self.size)]
        return [(self.high[i] & 0xFFFF, self.low[i], Reason(self.high[i] >> 32 & 0xFF),
                 "read" if self.high[i] & IS_READ else "write") for i in order if self.high[i] & FAULT]

    def save(self) -> State:
        """Records, status and counters."""
        return {"low": list(self.low), "high": list(self.high), "next": self.next, "index": self.index,
                "overflow": self.overflow, "queue_error": self.queue_error, "dropped": self.dropped}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.low, self.high = list(state["low"]), list(state["high"])
        for name in ("next", "index", "overflow", "queue_error", "dropped"):
            setattr(self, name, state[name])
