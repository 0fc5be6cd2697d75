"""Interrupt remapping: a device may raise the interrupts it was given, and no others.

A message-signalled interrupt is a write of four bytes to FEExxxxxh.  Without
remapping, address and data say which processor and vector: whoever can make the
device write can raise any vector anywhere.  With it, they hold an index into a
table that only the host writes, and the entry says which requester may use it.
Source: Intel VT-d specification 5.1 "Interrupt Remapping", 9.9 "Interrupt Remapping
Table Entry (IRTE) for Remapped Interrupts", 9.10 (posted interrupts).
"""

import struct

from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import WRITE, TranslationFault
from vmio.passthrough.iommu.faults import DmaFault, Reason

PAIR = struct.Struct("<QQ")
ENTRY_BYTES = 16
REMAPPABLE, SUBHANDLE = 1 << 4, 1 << 3         # of a message's address
POSTED = 1 << 15                               # IRTE: IM
FAULTS_OFF = 1 << 1                            # IRTE: FPD
VERIFY_ID, VERIFY_BUS = 1, 2                   # IRTE: SVT
_IGNORED_FUNCTIONS = (0, 4, 6, 7)              # IRTE: SQ, function bits that need not match


def message(index):
    """(address, data) that a device is told to send for table entry `index`."""
    return 0xFEE0_0000 | (index & 0x7FFF) << 5 | REMAPPABLE | SUBHANDLE | index >> 15 << 2, 0


def compatibility_message(destination, vector):
    """(address, data) as without remapping: APIC id and vector, for anyone to choose (SDM vol. 3A, 11.11)."""
    return 0xFEE0_0000 | destination << 12, vector


def remapped_entry(requester, destination, vector):
    """16 bytes: this requester's message becomes `vector` at APIC id `destination` (xAPIC: bits 47:40)."""
    return PAIR.pack(destination << 40 | vector << 16 | 1, VERIFY_ID << 18 | requester)


def posted_entry(requester, descriptor, vector, urgent=False):
    """16 bytes: this requester's message becomes `vector` in the posted-interrupt descriptor at SPA `descriptor`."""
    return PAIR.pack((descriptor >> 6 & 0x3FF_FFFF) << 38 | vector << 16 | urgent << 14 | POSTED | 1,
                     descriptor >> 32 << 32 | VERIFY_ID << 18 | requester)


class InterruptRemapper:
    """Takes messages, gives `deliver(destination, vector)` or `post(descriptor SPA, vector, urgent)`.

    Off, messages are delivered as written.  On, one in the old format is refused
    unless `compatibility` is set (CFIS, 5.1.4).
    """

    def __init__(self, memory, faults, deliver=None, post=None):
        self.memory, self.faults = memory, faults
        self.deliver = deliver or (lambda destination, vector: None)
        self.post = post or (lambda descriptor, vector, urgent: None)
        self.delivered = self.posted = self.refused = 0
        self.reset()

    def reset(self):
        """Off, no table."""
        self.enabled = self.compatibility = self.wide = False
        self.table = self.entries = 0

    def set_table(self, address, entries, wide=False):
        """The table's SPA and length; `wide`: destinations are 32-bit x2APIC ids."""
        self.table, self.entries, self.wide = address, entries, wide

    def send(self, address, data):
        """Deliver a message as it is written (5.1.2.1 "compatibility format")."""
        self.delivered += 1
        self.deliver(address >> 12 & 0xFF, data & 0xFF)

    def message(self, requester, address, data):
        """A device's write of `data` to `address`.  `DmaFault` and a record if it may not."""
        if not self.enabled:
            self.send(address, data)
            return
        if not address & REMAPPABLE:
            if not self.compatibility:
                self._refuse(requester, address, 0, Reason.IR_COMPATIBILITY)
            self.send(address, data)
            return
        index = address >> 5 & 0x7FFF | (address & 4) << 13
        if address & SUBHANDLE:
            if data >> 16:
                self._refuse(requester, address, index, Reason.IR_REQUEST_RESERVED)
            index += data & 0xFFFF
        low, high = self._entry(requester, address, index)
        vector = low >> 16 & 0xFF
        if low & POSTED:
            self.posted += 1
            self.post(low >> 38 << 6 | high >> 32 << 32, vector, bool(low & 1 << 14))
            return
        self.delivered += 1
        self.deliver(low >> 32 if self.wide else low >> 40 & 0xFF, vector)

    def _entry(self, requester, address, index):
        """The table entry's halves, present, sane, and this requester's."""
        if index >= self.entries:
            self._refuse(requester, address, index, Reason.IR_INDEX)
        try:
            low, high = PAIR.unpack(self.memory.read(self.table + ENTRY_BYTES * index, ENTRY_BYTES))
        except (MemoryFault, TranslationFault):
            self._refuse(requester, address, index, Reason.IR_TABLE_UNREADABLE)
        quiet = bool(low & FAULTS_OFF)
        if not low & 1:
            self._refuse(requester, address, index, Reason.IR_NOT_PRESENT, quiet)
        if low & (0x3F_FF00_30FC if low & POSTED else 0xFF00_7000) or high >> 20 & 0xFFF or (
                not low & POSTED and high >> 32):
            self._refuse(requester, address, index, Reason.IR_ENTRY_RESERVED, quiet)
        owner, ignored, how = high & 0xFFFF, _IGNORED_FUNCTIONS[high >> 16 & 3], high >> 18 & 3
        mine = (how == 0 or how == VERIFY_ID and requester & ~ignored == owner & ~ignored
                or how == VERIFY_BUS and owner & 0xFF <= requester >> 8 <= owner >> 8)
        if not mine:
            self._refuse(requester, address, index, Reason.IR_REQUESTER, quiet)
        return low, high

    def _refuse(self, requester, address, index, reason, quiet=False):
        self.refused += 1
        if not quiet:
            self.faults.report(requester, index << 48, reason, False)
        raise DmaFault(requester, address, WRITE, reason)

    def save(self):
        """Table, size and switches."""
        return {name: getattr(self, name) for name in ("enabled", "compatibility", "wide", "table", "entries")}

    def restore(self, state):
        """Take back what `save` gave."""
        for name, value in state.items():
            setattr(self, name, value)
