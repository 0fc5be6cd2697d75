"""Interrupt remapping: a device may raise the interrupts it was given, and no others.

A message-signalled interrupt is a write of four bytes to FEExxxxxh.  Without
remapping, address and data say which processor and vector: whoever can make the
device write can raise any vector anywhere.  With it, they hold an index into a
table that only the host writes, and the entry says which requester may use it.
Source: Intel VT-d specification 5.1 "Interrupt Remapping", 9.9 "Interrupt Remapping
Table Entry (IRTE) for Remapped Interrupts", 9.10 (posted interrupts).
"""

from collections.abc import Callable
from functools import lru_cache

from vmio.machine.bits import BitLayout, bit, bits
from vmio.machine.contracts import Memory, Record, State
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import WRITE, TranslationFault
from vmio.passthrough.iommu.faults import DmaFault, FaultLog, Reason

VERIFY_ID, VERIFY_BUS = 1, 2                   # IRTE: SVT
_PREFIX = bits("prefix", 31, 20, "FEEh")
MSI_ADDRESS = BitLayout("MSI_ADDRESS", 32, _PREFIX, bits("destination", 19, 12, "APIC id"), bit("hint", 3), bit("logical", 2))
REMAPPABLE_ADDRESS = BitLayout(                # 5.1.2.2: handle 14:0 and its bit 15, and whether data is added to it
    "REMAPPABLE_ADDRESS", 32, _PREFIX, bits("handle", 19, 5), bit("remappable", 4), bit("subhandle", 3), bit("handle15", 2))
_ENTRY = (bit("present", 0), bit("faults_off", 1, "FPD"), bits("available", 11, 8, "software's own"),
          bit("posted", 15, "IM"), bits("vector", 23, 16), bits("requester", 79, 64, "SID"),
          bits("ignored", 81, 80, "SQ: function bits that need not match"),
          bits("verify", 83, 82, "SVT", {VERIFY_ID: "id", VERIFY_BUS: "bus"}))
REMAPPED = BitLayout(                          # 9.9
    "IRTE", 128, *_ENTRY, bit("logical", 2), bit("hint", 3), bit("level", 4), bits("delivery", 7, 5),
    bits("destination", 63, 32))
POSTED = BitLayout(                            # 9.10: the descriptor's address is in two parts
    "IRTE_POSTED", 128, *_ENTRY, bit("urgent", 14), bits("descriptor_low", 63, 38, "bits 31:6"),
    bits("descriptor_high", 127, 96))
ENTRY_BYTES = REMAPPED.size
_IS_REMAPPABLE, _HAS_SUBHANDLE = REMAPPABLE_ADDRESS.mask("remappable"), REMAPPABLE_ADDRESS.mask("subhandle")
_IS_POSTED = POSTED.mask("posted")
_IGNORED_FUNCTIONS = (0, 4, 6, 7)              # IRTE: SQ, function bits that need not match


def message(index: int) -> tuple[int, int]:
    """Return (address, data) that a device is told to send for table entry `index`."""
    return REMAPPABLE_ADDRESS.number(prefix=0xFEE, handle=index & 0x7FFF, remappable=1, subhandle=1, handle15=index >> 15), 0


def compatibility_message(destination: int, vector: int) -> tuple[int, int]:
    """Return (address, data) as without remapping: APIC id and vector, for anyone to choose (SDM vol. 3A, 11.11)."""
    return MSI_ADDRESS.number(prefix=0xFEE, destination=destination), vector


def remapped_entry(requester: int, destination: int, vector: int) -> bytes:
    """Return 16 bytes that say: this requester's message becomes `vector` at APIC id `destination` (xAPIC: bits 47:40)."""
    return REMAPPED.pack(present=1, vector=vector, destination=destination << 8, requester=requester, verify=VERIFY_ID)


def posted_entry(requester: int, descriptor: int, vector: int, urgent: bool = False) -> bytes:
    """Return 16 bytes that say: this requester's message becomes `vector` in the posted-interrupt descriptor at SPA `descriptor`."""
    return POSTED.pack(present=1, posted=1, urgent=int(urgent), vector=vector, requester=requester, verify=VERIFY_ID,
                       descriptor_low=descriptor >> 6 & 0x3FF_FFFF, descriptor_high=descriptor >> 32)


# The table is read at each message; what the same bits mean is found out once.


@lru_cache(256)
def table_index(address: int) -> int:
    """Return the table index in a remappable message's address."""
    _, handle, _, _, handle15 = REMAPPABLE_ADDRESS.take(address)
    return handle | handle15 << 15


@lru_cache(256)
def _decoded(number: int) -> tuple[Record, int]:
    """(fields of a table entry, its reserved bits that are set)."""
    layout = POSTED if number & _IS_POSTED else REMAPPED
    return layout.take(number), number & layout.reserved


class InterruptRemapper:
    """Takes messages, gives `deliver(destination, vector)` or `post(descriptor SPA, vector, urgent)`.

    Off, messages are delivered as written.  On, one in the old format is refused
    unless `compatibility` is set (CFIS, 5.1.4).
    """

    def __init__(self, memory: Memory, faults: FaultLog, deliver: Callable[[int, int], None] | None = None,
                 post: Callable[..., None] | None = None) -> None:
        self.memory, self.faults = memory, faults
        self.deliver = deliver or (lambda destination, vector: None)
        self.post: Callable[[int, int, bool], None] = post or (lambda descriptor, vector, urgent: None)
        self.delivered = self.posted = self.refused = 0
        self.reset()

    def reset(self) -> None:
        """Be off, without a table."""
        self.enabled = self.compatibility = self.wide = False
        self.table = self.entries = 0

    def set_table(self, address: int, entries: int, wide: bool = False) -> None:
        """Use the table of so many entries at this SPA from now on; `wide`: destinations are 32-bit x2APIC ids."""
        self.table, self.entries, self.wide = address, entries, wide

    def send(self, address: int, data: int) -> None:
        """Deliver a message as it is written (5.1.2.1 "compatibility format")."""
        self.delivered += 1
        self.deliver(address >> 12 & 0xFF, data & 0xFF)

    def message(self, requester: int, address: int, data: int) -> None:
        """Take a device's write of `data` to `address`.  `DmaFault` and a record if it may not."""
        if not self.enabled:
            self.send(address, data)
            return
        if not address & _IS_REMAPPABLE:
            if not self.compatibility:
                self._refuse(requester, address, 0, Reason.IR_COMPATIBILITY)
            self.send(address, data)
            return
        index = table_index(address)
        if address & _HAS_SUBHANDLE:
            if data >> 16:
                self._refuse(requester, address, index, Reason.IR_REQUEST_RESERVED)
            index += data & 0xFFFF
        entry = self._entry(requester, address, index)
        if entry.posted:
            self.posted += 1
            self.post(entry.descriptor_low << 6 | entry.descriptor_high << 32, entry.vector, bool(entry.urgent))
            return
        self.delivered += 1
        self.deliver(entry.destination if self.wide else entry.destination >> 8 & 0xFF, entry.vector)

    def _entry(self, requester: int, address: int, index: int) -> Record:
        """The table entry, present, sane, and this requester's."""
        if index >= self.entries:
            self._refuse(requester, address, index, Reason.IR_INDEX)
        try:
            number = int.from_bytes(self.memory.read(self.table + ENTRY_BYTES * index, ENTRY_BYTES), "little")
        except (MemoryFault, TranslationFault):
            self._refuse(requester, address, index, Reason.IR_TABLE_UNREADABLE)
        entry, reserved = _decoded(number)
        quiet = bool(entry.faults_off)
        if not entry.present:
            self._refuse(requester, address, index, Reason.IR_NOT_PRESENT, quiet)
        if reserved:
            self._refuse(requester, address, index, Reason.IR_ENTRY_RESERVED, quiet)
        owner, ignored, how = entry.requester, _IGNORED_FUNCTIONS[entry.ignored], entry.verify
        mine = (how == 0 or how == VERIFY_ID and requester & ~ignored == owner & ~ignored
                or how == VERIFY_BUS and owner & 0xFF <= requester >> 8 <= owner >> 8)
        if not mine:
            self._refuse(requester, address, index, Reason.IR_REQUESTER, quiet)
        return entry

    def _refuse(self, requester: int, address: int, index: int, reason: Reason, quiet: bool = False) -> None:
        self.refused += 1
        if not quiet:
            self.faults.report(requester, index << 48, reason, False)
        raise DmaFault(requester, address, WRITE, reason)

    def save(self) -> State:
        """Return table, size and switches."""
        return {name: getattr(self, name) for name in ("enabled", "compatibility", "wide", "table", "entries")}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        for name, value in state.items():
            setattr(self, name, value)
