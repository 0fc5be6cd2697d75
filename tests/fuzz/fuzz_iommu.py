"""The IOMMU: tables, registers, invalidation queue, interrupt remapping; what software wrote is nearly right."""

import struct

from tests.fuzz.engine import number
from vmio import modes
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough.iommu import interrupts, structures
from vmio.passthrough.iommu.remapper import Remapper
from vmio.passthrough.iommu.space import DmaSpace
from vmio.passthrough.iommu.vtd import (
    CCMD,
    FECTL,
    FRCD,
    FSTS,
    GCMD,
    GSTS,
    ICS,
    IECTL,
    IOTLB,
    IQA,
    IQT,
    IRTA,
    IVA,
    QUEUE,
    REMAP_INTERRUPTS,
    RTADDR,
    SET_INTERRUPT_TABLE,
    SET_ROOT,
    TRANSLATE,
    VtdRegisters,
)

# Guest-physical: root, context table, three levels of tables, queue, interrupt table, pages for DMA.
ROOT, CONTEXTS, TOP, MIDDLE, LEAVES, RING, ENTRIES, DATA = (n << 12 for n in (1, 2, 3, 4, 5, 6, 7, 16))
REQUESTER = 0x18
TABLE = (1 << 39) - 4096        # bits of an entry that say where the next table is
MARK = DATA + 0x1E000           # where a wait descriptor of ours reports; no DMA gets there
KINDS = ("dma",) * 8 + ("message",) * 3 + ("queue",) * 3 + ("table",) * 2 + ("register",) * 4 + ("again",)
CANARY = b"iommu canary".ljust(4096, b"!")


class Machine:
    def __init__(self, dice):
        host = modes.Machine(memory_mib=8).host
        self.guest, self.neighbour = host.guest(ram_mib=1), host.guest(ram_mib=1)
        self.neighbour.memory.write(0, CANARY)
        self.memory, self.raised = self.guest.memory, []
        self.remapper = Remapper(self.memory, width=39, iotlb_entries=dice.choice((1, 4, 64)),
                                 fault_records=dice.choice((1, 4)), hits_fault=dice.random() < 0.5)
        self.chip = VtdRegisters(self.remapper, lambda *what: self.raised.append(what))
        self.space = DmaSpace(self.remapper, self.chip.interrupts, REQUESTER)
        self.set_up()

    def set_up(self):
        """What an honest operating system writes."""
        put = self.memory.write
        put(ROOT, structures.root_entry(CONTEXTS) + bytes(4080))
        put(CONTEXTS, bytes(4096))
        put(CONTEXTS + 16 * REQUESTER, structures.context_entry(5, TOP, 3))
        put(TOP, struct.pack("<Q", MIDDLE | 3) + bytes(4088))
        put(MIDDLE, struct.pack("<Q", LEAVES | 3) + bytes(4088))
        put(LEAVES, b"".join(struct.pack("<Q", DATA + 4096 * n | (1, 3, 3, 2)[n & 3]) for n in range(16)) + bytes(3968))
        put(ENTRIES, interrupts.remapped_entry(REQUESTER, 0, 0x41) * 16 + bytes(3840))
        put(ENTRIES + 4096, interrupts.remapped_entry(REQUESTER, 0, 0x99) * 16)        # no part of the table
        for offset, value in ((RTADDR, ROOT), (IQA, RING), (IQT, 0), (IRTA, ENTRIES | 7)):
            self.chip.write(offset, 8, value)
        self.command = SET_ROOT | SET_INTERRUPT_TABLE | TRANSLATE | REMAP_INTERRUPTS | QUEUE
        self.chip.write(GCMD, 4, self.command)
        self.pristine, self.marks = True, 0

    def queue(self, low, high):
        """One descriptor, and the tail behind it: where the registers say that the queue is, whoever has moved it."""
        chip = self.chip
        address, tail = chip.read(IQA, 8), chip.read(IQT, 8) >> 4
        try:
            self.memory.write((address & ~0xFFF) + 16 * tail, struct.pack("<QQ", low, high))
        except TranslationFault:
            return
        chip.write(IQT, 8, (tail + 1) % (256 << (address & 7)) << 4)

    def forget(self):
        """Let both caches be emptied, by the queue or by the registers; whether that was done, as a wait descriptor tells."""
        chip = self.chip
        if chip.queue.enabled:
            self.marks += 1
            self.memory.write(MARK, bytes(4))
            for low, high in ((1 | 1 << 4, 0), (2 | 1 << 4, 0), (5 | 1 << 5 | self.marks << 32, MARK)):
                self.queue(low, high)
            return int.from_bytes(self.memory.read(MARK, 4), "little") == self.marks
        chip.write(CCMD, 8, 1 << 63 | 1 << 61)
        chip.write(IOTLB, 8, 1 << 63 | 1 << 60)
        return True

    def allowed(self, requester, address, access):
        """Where the tables as they are now let a DMA go, at most: an independent, generous reading.  None: nowhere."""
        if not self.chip.read(GSTS, 4) >> 31:
            return address
        root, _ = self.pair(self.remapper.root + (requester >> 8) * 16)
        low, high = self.pair((root & TABLE) + (requester & 0xFF) * 16)
        if not root & 1 or not low & 1 or low & 0xFF0 or low >> 39:
            return None
        if low >> 2 & 3 == 2:
            return address
        if low >> 2 & 3 or high & 7 != 1 or address >> 39:
            return None
        table = low
        for shift in (30, 21, 12):
            entry, _ = self.pair((table & TABLE) + 8 * (address >> shift & 511))
            if entry & access != access:
                return None
            table = entry
            if entry & 0x80:
                break
        inside = (1 << shift) - 1
        return table & 0xF_FFFF_FFFF_F000 & ~inside | address & inside

    def pair(self, at):
        """16 bytes of a table as two numbers; zeros where there is no memory."""
        try:
            return struct.unpack("<QQ", self.memory.read(at, 16))
        except TranslationFault:
            return 0, 0

    def dma(self, dice):
        """A read and a write of some bytes at one address, by our device or another; what went through was allowed."""
        address = dice.choice((dice.randrange(16 << 12), dice.randrange(32) << 12, 1 << 21, 1 << 39 | 0x1000, number(dice, 39),
                               number(dice, 64), REQUESTER << 52 | 0x1000, 0xFEE0_0000 + dice.randrange(1 << 20)))
        requester = dice.choice((REQUESTER,) * 8 + (REQUESTER ^ 1, 0, number(dice, 16)))
        space, said = DmaSpace(self.remapper, self.chip.interrupts, requester), []
        if dice.random() < 0.5:                     # the same page just before: it may be in the cache
            self.attempt(space.read, address, 1)
        fresh = dice.random() < 0.7 and self.forget()
        length = dice.choice((1, 8, 100, 4096, 9000))
        if fresh:
            length = min(length, 4096 - address % 4096)
            if dice.random() < 0.5:                 # a page that could be taken for the other
                self.attempt(self.space.read, address & (1 << 52) - 1, 1)
        for access in dice.choice(((1,), (2,), (1, 2))):
            goal = self.allowed(requester, address, access) if fresh else None
            reason, got = self.attempt(*((space.write, address, b"d" * length) if access == 2 else (space.read, address, length)))
            if fresh and reason is None and not 0xFEE0_0000 <= address < 0xFEF0_0000:
                assert goal is not None, f"requester {requester:#x} reached {address:#x}"
                assert self.memory.read(goal, length) == (b"d" * length if access == 2 else got)
            said.append(reason)
        return "dma", fresh, *said

    @staticmethod
    def attempt(call, *what):
        """(fault reason or None, result)."""
        try:
            return None, call(*what)
        except TranslationFault as fault:
            return int(getattr(fault, "reason", 0)), None

    def message(self, dice):
        """An interrupt message, ours or another device's; while the table is as it was, only our own entries serve."""
        address, data = interrupts.message(dice.choice((dice.randrange(20), 256 + dice.randrange(4))))
        if dice.random() < 0.3:
            address, data = address ^ 1 << dice.randrange(20), number(dice, 32)
        requester = dice.choice((REQUESTER, REQUESTER, REQUESTER ^ 1, 0))
        before = len(self.raised)
        reason, _ = self.attempt(DmaSpace(self.remapper, self.chip.interrupts, requester).message, address, data)
        if self.pristine:
            assert (0, 0x99) not in self.raised[before:], "an entry after the table's end"
            assert requester == REQUESTER or len(self.raised) == before, "another device's interrupt"
        return "message", reason, len(self.raised) - before

    def step(self, dice, kind):
        chip = self.chip
        if kind == "dma":
            return self.dma(dice)
        if kind == "message":
            return self.message(dice)
        if kind == "queue":
            self.queue(*descriptor(dice))
            return kind, chip.read(FSTS, 4) & 0xFF, chip.read(ICS, 4)
        if kind == "table":
            ours = CONTEXTS + 16 * REQUESTER
            table = dice.choice((ROOT, ours, ours, TOP, MIDDLE, LEAVES, LEAVES, ENTRIES))
            at = table + 8 * dice.randrange(2 if table in (ROOT, ours) else 16)
            value = int.from_bytes(self.memory.read(at, 8), "little")
            value = value ^ 1 << dice.choice((0, 1, dice.randrange(64))) if dice.random() < 0.7 else dice.choice(
                (0, at & ~0xFFF | 3, number(dice, 64)))
            self.memory.write(at, value.to_bytes(8, "little"))
            self.pristine = False
            return kind, table
        if kind == "register":
            return self.register(dice)
        if dice.random() < 0.8:
            chip.reset()
            self.set_up()
        return kind, chip.read(0x1C, 4) >> 22

    def register(self, dice):
        """A store to a register, or a load."""
        chip = self.chip
        offset = dice.choice((GCMD, RTADDR, CCMD, IQA, IQT, IRTA, IOTLB, IVA, FSTS, FECTL, IECTL, ICS, FRCD + 8,
                              dice.randrange(0x240)))
        size = dice.choice((4, 4, 8, 1, 2))
        value = {GCMD: self.command ^ dice.choice((0, 1 << dice.randrange(22, 32))), RTADDR: ROOT, IRTA: ENTRIES | 7,
                 IQA: RING, FSTS: 0x13, FECTL: 0, IECTL: 0, ICS: 1, CCMD: 1 << 63 | dice.randrange(4) << 61,
                 IOTLB: 1 << 63 | dice.randrange(4) << 60 | 5 << 32}.get(offset, number(dice, 64))
        value = value if dice.random() < 0.85 else number(dice, 64)
        if dice.random() < 0.3:
            assert 0 <= chip.read(offset, size) < 1 << 8 * size
            return "load", offset
        chip.write(offset, size, value & (1 << 8 * size) - 1)
        self.pristine = False
        return "store", offset, chip.read(0x1C, 4) >> 22, chip.read(FSTS, 4) & 0x13

    def check(self):
        """Caches, records and queue stay within their sizes."""
        assert len(self.remapper.iotlb) <= self.remapper.iotlb.entries and len(self.remapper._contexts) <= 1 << 16
        assert len(self.remapper.faults.taken()) <= self.remapper.faults.size
        self.raised.clear()

    def end(self):
        """After a reset an honest system finds it working; the neighbour's memory is untouched."""
        state = self.chip.save()
        self.chip.restore(state)
        assert self.chip.save() == state
        self.chip.reset()
        self.set_up()
        self.space.write(0x1010, b"honest")
        assert self.memory.read(DATA + 0x1010, 6) == b"honest" and self.space.read(0x1010, 6) == b"honest"
        self.raised.clear()
        self.space.message(*interrupts.message(3))
        assert len(self.raised) == 1
        self.queue(5 | 1 << 5 | 0x77 << 32, DATA + 0x8000)
        assert self.memory.read(DATA + 0x8000, 1) == b"\x77"
        assert self.neighbour.memory.read(0, 4096) == CANARY
        assert len(self.guest.host.memory.bytes) == self.guest.host.memory.size


def descriptor(dice):
    """An invalidation descriptor, a bit of it wrong now and then."""
    low, high = dice.choice(((1 | 1 << 4, 0), (1 | 3 << 4 | REQUESTER << 32, 0), (2 | 1 << 4, 0), (2 | 2 << 4 | 5 << 16, 0),
                             (2 | 3 << 4 | 5 << 16, 4096 * dice.randrange(16) | dice.randrange(3)), (4, 0), (3, 0),
                             (5 | 1 << 5 | 7 << 32, DATA + 0xF000), (5 | 1 << 4, 0), (5 | 3 << 4, DATA)))
    if dice.random() < 0.1:
        low ^= 1 << dice.randrange(64)
    if dice.random() < 0.1:
        high ^= 1 << dice.randrange(64)
    return low & (1 << 64) - 1, high
