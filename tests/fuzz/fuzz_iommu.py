"""The IOMMU: tables, registers, invalidation queue, interrupt remapping; what software wrote is nearly right."""

import struct

from tests.fuzz.engine import number
from vmio.hypervisor.host import Host
from vmio.machine.pagetable import TranslationFault
from vmio.passthrough import interrupts, structures
from vmio.passthrough.remapper import Remapper
from vmio.passthrough.space import DmaSpace
from vmio.passthrough.vtd import (FECTL, FRCD, FSTS, GCMD, IECTL, IOTLB, IQA, IQT, IRTA, IVA, RTADDR, CCMD, ICS, QUEUE,
                                  REMAP_INTERRUPTS, SET_INTERRUPT_TABLE, SET_ROOT, TRANSLATE, VtdRegisters)

# Guest-physical: root, context table, three levels of tables, queue, interrupt table, pages for DMA.
ROOT, CONTEXTS, TOP, MIDDLE, LEAVES, RING, ENTRIES, DATA = (n << 12 for n in (1, 2, 3, 4, 5, 6, 7, 16))
REQUESTER = 0x18
CANARY = b"iommu canary".ljust(4096, b"!")


class Machine:
    def __init__(self, dice):
        host = Host(memory_mib=8)
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
        for offset, value in ((RTADDR, ROOT), (IQA, RING), (IQT, 0), (IRTA, ENTRIES | 7)):
            self.chip.write(offset, 8, value)
        self.command = SET_ROOT | SET_INTERRUPT_TABLE | TRANSLATE | REMAP_INTERRUPTS | QUEUE
        self.chip.write(GCMD, 4, self.command)
        self.tail = 0

    def queue(self, low, high):
        """One descriptor, and the tail behind it."""
        self.memory.write(RING + 16 * self.tail, struct.pack("<QQ", low, high))
        self.tail = (self.tail + 1) % 256
        self.chip.write(IQT, 8, self.tail << 4)


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


def step(machine, dice):
    chip, what = machine.chip, dice.randrange(20)
    if what < 8:
        address = dice.choice((dice.randrange(16 << 12), dice.randrange(32) << 12, 1 << 21, number(dice, 39), number(dice, 64),
                               0xFEE0_0000 + dice.randrange(1 << 20)))
        length = dice.choice((1, 8, 100, 4096, 9000))
        space = machine.space if dice.random() < 0.9 else DmaSpace(machine.remapper, chip.interrupts, number(dice, 16))
        try:
            if dice.random() < 0.5:
                space.write(address, b"d" * length)
            else:
                assert len(space.read(address, length)) == length
            return ("dma",)
        except TranslationFault as fault:
            return "dma", int(getattr(fault, "reason", 0))
    if what < 10:
        address, data = interrupts.message(dice.randrange(20))
        if dice.random() < 0.3:
            address, data = address ^ 1 << dice.randrange(20), number(dice, 32)
        before = len(machine.raised)
        try:
            machine.space.message(address, data)
            return "message", len(machine.raised) - before
        except TranslationFault as fault:
            return "message", int(getattr(fault, "reason", 0))
    if what < 13:
        machine.queue(*descriptor(dice))
        return "queue", chip.read(FSTS, 4) & 0xFF, chip.read(ICS, 4)
    if what < 14:
        table = dice.choice((ROOT, CONTEXTS + 16 * REQUESTER, CONTEXTS + 16 * REQUESTER, TOP, MIDDLE, LEAVES, LEAVES, ENTRIES))
        at = table + 8 * dice.randrange(2 if table in (ROOT, CONTEXTS + 16 * REQUESTER) else 16)
        value = int.from_bytes(machine.memory.read(at, 8), "little")
        value = value ^ 1 << dice.randrange(64) if dice.random() < 0.7 else dice.choice((0, at & ~0xFFF | 3, number(dice, 64)))
        machine.memory.write(at, value.to_bytes(8, "little"))
        return "table", table
    if what < 19:
        offset = dice.choice((GCMD, RTADDR, CCMD, IQA, IQT, IRTA, IOTLB, IVA, FSTS, FECTL, IECTL, ICS, FRCD + 8,
                              dice.randrange(0x240)))
        size = dice.choice((4, 4, 8, 1, 2))
        value = {GCMD: machine.command ^ dice.choice((0, 1 << dice.randrange(22, 32))), RTADDR: ROOT, IRTA: ENTRIES | 7,
                 IQA: RING, FSTS: 0x13, FECTL: 0, IECTL: 0, ICS: 1, CCMD: 1 << 63 | dice.randrange(4) << 61,
                 IOTLB: 1 << 63 | dice.randrange(4) << 60 | 5 << 32}.get(offset, number(dice, 64))
        value = value if dice.random() < 0.85 else number(dice, 64)
        if dice.random() < 0.3:
            assert 0 <= chip.read(offset, size) < 1 << 8 * size
            return "load", offset
        chip.write(offset, size, value & (1 << 8 * size) - 1)
        return "store", offset, chip.read(0x1C, 4) >> 22, chip.read(FSTS, 4) & 0x13
    if dice.random() < 0.8:
        chip.reset()
        machine.set_up()
    return "again", chip.read(0x1C, 4) >> 22


def life(dice, operations, note):
    machine = Machine(dice)
    for _ in range(operations):
        note(step(machine, dice))
        machine.raised.clear()
        assert len(machine.remapper._contexts) <= 1 << 16 and len(machine.remapper.faults.taken()) <= 4
    state = machine.chip.save()
    machine.chip.restore(state)
    assert machine.chip.save() == state
    machine.chip.reset()
    machine.set_up()
    machine.space.write(0x1010, b"honest")
    assert machine.memory.read(DATA + 0x1010, 6) == b"honest" and machine.space.read(0x1010, 6) == b"honest"
    machine.space.message(*interrupts.message(3))
    assert len(machine.raised) == 1
    machine.queue(5 | 1 << 5 | 0x77 << 32, DATA + 0x8000)
    assert machine.memory.read(DATA + 0x8000, 1) == b"\x77"
    assert machine.neighbour.memory.read(0, 4096) == CANARY
    assert len(machine.guest.host.memory.bytes) == machine.guest.host.memory.size
