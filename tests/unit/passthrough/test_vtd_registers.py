"""The IOMMU's registers, as a driver uses them: tables, invalidation by register and by queue, fault events."""

from struct import pack

import pytest

from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pagetable import READ, WRITE, PageTable, TranslationFault
from vmio.passthrough.iommu import interrupts, structures, vtd
from vmio.passthrough.iommu.remapper import Remapper
from vmio.passthrough.iommu.requester import requester_id
from vmio.passthrough.iommu.space import DmaSpace
from vmio.passthrough.iommu.vtd import VtdRegisters

DEVICE = requester_id(0, 3)
QUEUE_ERROR = 1 << 4


class Machine:
    """An IOMMU whose tables a driver has built: one page at IOVA 10000h."""

    def __init__(self, records=1):
        self.memory = memory = HostMemory(4 << 20)
        self.events = []
        self.remapper = Remapper(memory, width=39, fault_records=records)
        self.registers = VtdRegisters(self.remapper, lambda *event: self.events.append(event))
        self.table = PageTable(memory, levels=3)
        self.target = memory.allocate(4)
        self.table.map(0x10000, self.target, 4 * PAGE, READ | WRITE)
        self.root, contexts = memory.allocate(1), memory.allocate(1)
        memory.write(self.root, structures.root_entry(contexts))
        self.context = contexts + 16 * DEVICE
        memory.write(self.context, structures.context_entry(5, self.table.root, 3))
        self.space = DmaSpace(self.remapper, self.registers.interrupts, DEVICE)
        self.queue = memory.allocate(1)
        self.tail = 0

    def get(self, offset, size=4):
        return self.registers.read(offset, size)

    def put(self, offset, value, size=4):
        self.registers.write(offset, size, value)

    def translate(self):
        self.put(vtd.RTADDR, self.root, 8)
        self.put(vtd.GCMD, vtd.SET_ROOT)
        self.put(vtd.GCMD, vtd.TRANSLATE)
        return self

    def queued(self):
        self.put(vtd.IQA, self.queue, 8)
        self.put(vtd.GCMD, vtd.TRANSLATE | vtd.QUEUE)
        return self

    def submit(self, low, high=0):
        self.memory.write(self.queue + self.tail, pack("<QQ", low, high))
        self.tail += 16
        self.put(vtd.IQT, self.tail, 8)

    def fault(self, address=0x50000):
        with pytest.raises(TranslationFault):
            self.space.read(address, 4)


@pytest.fixture
def machine():
    return Machine().translate()


def test_identity_of_qemus_device():
    machine = Machine()
    assert machine.get(vtd.VER) == 0x10
    assert machine.get(vtd.CAP, 8) == 0x00D2_008C_2226_0206 and machine.get(vtd.ECAP, 8) == 0x00F0_0F4A
    assert machine.get(vtd.CAP + 4) == 0x00D2_008C and machine.get(0x800) == 0
    assert machine.get(vtd.VER, 1) == machine.get(vtd.VER, 2) == machine.get(vtd.VER + 1) == 0
    assert machine.get(vtd.VER + 4, 8) == 0x2226_0206_0000_0000     # cut into two dwords
    machine.put(vtd.CAP, 0, 8)
    assert machine.get(vtd.CAP) == 0x2226_0206


def test_status_follows_command(machine):
    assert machine.get(vtd.GSTS) == vtd.TRANSLATE | vtd.SET_ROOT and machine.get(vtd.GCMD) == 0
    machine.space.write(0x10000, b"through")
    assert machine.memory.read(machine.target, 7) == b"through"
    machine.put(vtd.GCMD, 0)
    assert machine.get(vtd.GSTS) == vtd.SET_ROOT
    assert machine.space.read(machine.target, 7) == b"through"     # off: addresses are the machine's own


@pytest.mark.parametrize("kind,gone", [(1, True), (2, True), (3, True), (0, False)])
def test_iotlb_invalidation_by_register(machine, kind, gone):
    machine.space.read(0x10000, 1)
    machine.table.unmap(0x10000, PAGE)
    machine.put(vtd.IVA, 0x10000, 8)
    machine.put(vtd.IOTLB, 1 << 63 | kind << 60 | 5 << 32, 8)
    assert machine.get(vtd.IOTLB, 8) == kind << 60 | kind << 57 | 5 << 32    # done, and how
    if gone:
        machine.fault(0x10000)
    else:
        machine.space.read(0x10000, 1)


def test_iotlb_invalidation_of_another_domain_or_page(machine):
    machine.space.read(0x10000, 1)
    machine.table.unmap(0x10000, PAGE)
    machine.put(vtd.IVA, 0x11000, 8)
    for command in (2 << 60 | 6 << 32, 3 << 60 | 5 << 32):
        machine.put(vtd.IOTLB, 1 << 63 | command, 8)
    machine.space.read(0x10000, 1)
    machine.put(vtd.IVA, 0x11000 | 19, 8)                       # more than 2^18 pages: not done
    machine.put(vtd.IOTLB, 1 << 63 | 3 << 60 | 5 << 32, 8)
    assert machine.get(vtd.IOTLB + 4) >> 25 & 3 == 0
    machine.space.read(0x10000, 1)


@pytest.mark.parametrize("queued", [False, True])
def test_invalidation_above_4_gib(machine, queued):
    """The address has 64 bits, in IVA and in a descriptor: the page with the same low half stays, and the other goes."""
    low, high = 0x30000, 0x12_0003_0000
    for at in (low, high):
        machine.table.map(at, machine.target, PAGE, READ)
    if queued:
        machine.queued()

    def invalidate(address):
        for at in (low, high):
            machine.space.read(at, 1)
        if queued:
            machine.submit(2 | 3 << 4 | 5 << 16, address)
        else:
            machine.put(vtd.IVA, address, 8)
            machine.put(vtd.IOTLB, 1 << 63 | 3 << 60 | 5 << 32, 8)
        return [entry.address for entry in machine.remapper.iotlb]

    assert invalidate(high) == [low]
    assert invalidate(low) == [high]
    assert sorted(invalidate(high | 1 << 32)) == [low, high]
    machine.table.unmap(high, PAGE)
    invalidate(high)
    machine.fault(high)


def test_context_invalidation(machine):
    machine.space.read(0x10000, 1)
    machine.memory.write(machine.context, bytes(16))
    machine.put(vtd.CCMD + 4, 1 << 31 | 3 << 29)
    machine.put(vtd.CCMD, DEVICE + 8 << 16 | 5)
    machine.space.read(0x11000, 1)                              # another device's was forgotten
    machine.put(vtd.CCMD, 1 << 63 | 3 << 61 | DEVICE << 16 | 5, 8)
    assert machine.get(vtd.CCMD, 8) == 3 << 61 | 3 << 59 | 5
    machine.fault(0x12000)
    assert machine.remapper.faults.taken()[0][2].name == "CONTEXT_NOT_PRESENT"


def test_a_fault_is_recorded_and_cleared(machine):
    machine.fault(0x50000)
    assert machine.get(vtd.FSTS) == 2
    assert machine.get(vtd.FRCD, 8) == 0x50000
    high = machine.get(vtd.FRCD + 8, 8)
    assert high >> 62 == 3 and high & 0xFFFF == DEVICE and high >> 32 & 0xFF == 6
    machine.fault(0x60000)                                      # collapses with the one that waits
    assert machine.get(vtd.FRCD, 8) == 0x50000 and machine.get(vtd.FSTS) == 2
    machine.put(vtd.FRCD + 12, 1 << 31)
    assert machine.get(vtd.FSTS) == 0 and machine.get(vtd.FRCD + 12) >> 31 == 0
    machine.fault(0x60000)
    assert machine.get(vtd.FRCD, 8) == 0x60000


def test_a_second_requesters_fault_overflows(machine):
    machine.fault()
    other = DmaSpace(machine.remapper, machine.registers.interrupts, DEVICE + 1)
    with pytest.raises(TranslationFault):
        other.read(0, 1)
    assert machine.get(vtd.FSTS) == 3
    machine.put(vtd.FRCD + 12, 1 << 31)
    machine.fault()                                             # nothing is recorded until overflow is cleared
    assert machine.get(vtd.FSTS) == 1
    machine.put(vtd.FSTS, 1)
    machine.fault()
    assert machine.get(vtd.FSTS) == 2


def test_the_fault_event_waits_behind_its_mask(machine):
    machine.put(vtd.FEADDR, 0xFEE0_3000)
    machine.put(vtd.FEDATA, 0x51)
    machine.fault()
    assert machine.get(vtd.FECTL) == vtd.MASK | vtd.PENDING and machine.events == []
    machine.put(vtd.FECTL, 0)
    assert machine.get(vtd.FECTL) == 0 and machine.events == [(3, 0x51)]
    machine.put(vtd.FRCD + 12, 1 << 31)
    machine.fault()
    assert machine.events == [(3, 0x51)] * 2


def test_serving_the_fault_takes_the_pending_event_back(machine):
    machine.fault()
    machine.put(vtd.FRCD + 12, 1 << 31)
    machine.put(vtd.FSTS, 0)
    assert machine.get(vtd.FECTL) == vtd.MASK


# The queue.

def test_queued_invalidation(machine):
    machine.queued()
    assert machine.get(vtd.GSTS) & vtd.QUEUE and machine.get(vtd.IQA, 8) == machine.queue
    machine.space.read(0x10000, 1)
    machine.space.read(0x11000, 1)
    machine.table.unmap(0x10000, 2 * PAGE)
    machine.submit(2 | 3 << 4 | 5 << 16, 0x10000)
    machine.fault(0x10000)
    machine.space.read(0x11000, 1)
    machine.submit(2 | 2 << 4 | 5 << 16)
    machine.fault(0x11000)
    machine.submit(1 | 1 << 4)
    assert machine.get(vtd.IQH, 8) == 48 and len(machine.remapper._contexts) == 0


def test_wait_descriptors(machine):
    machine.queued()
    machine.submit(5 | 1 << 5 | 0xCAFE << 32, machine.target)
    assert machine.memory.read(machine.target, 4) == (0xCAFE).to_bytes(4, "little")
    machine.put(vtd.IEADDR, 0xFEE0_0000)
    machine.put(vtd.IEDATA, 0x61)
    machine.put(vtd.IECTL, 0)
    machine.submit(5 | 1 << 4)
    assert machine.events == [(0, 0x61)] and machine.get(vtd.ICS) == 1
    machine.submit(5 | 1 << 4)                                  # one interrupt until it is served
    assert machine.events == [(0, 0x61)]
    machine.put(vtd.ICS, 1)
    machine.put(vtd.IECTL, vtd.MASK)
    machine.submit(5 | 1 << 4)
    assert machine.get(vtd.IECTL) == vtd.MASK | vtd.PENDING
    machine.put(vtd.ICS, 1)
    assert machine.get(vtd.IECTL) == vtd.MASK


@pytest.mark.parametrize("low,high", [(8, 0), (0, 0), (2, 0), (1, 0), (1 | 1 << 4, 1), (5, 0), (2 | 1 << 4 | 1 << 40, 0),
                                      (5 | 1 << 5, 1 << 40), (2 | 3 << 4, 19)])
def test_a_descriptor_that_makes_no_sense_stops_the_queue(machine, low, high):
    machine.queued()
    machine.submit(low, high)
    assert machine.get(vtd.FSTS) == QUEUE_ERROR and machine.get(vtd.IQH, 8) == 0
    machine.memory.write(machine.queue, pack("<QQ", 2 | 1 << 4, 0))
    machine.put(vtd.FSTS, QUEUE_ERROR)
    machine.put(vtd.IQT, 16, 8)
    assert machine.get(vtd.IQH, 8) == 16


def test_a_tail_beyond_the_queue_or_a_queue_beyond_memory(machine):
    machine.queued()
    machine.put(vtd.IQT, 256 * 16, 8)
    assert machine.get(vtd.FSTS) == QUEUE_ERROR
    machine.put(vtd.FSTS, QUEUE_ERROR)
    machine.put(vtd.IQA, 1 << 38, 8)
    machine.put(vtd.GCMD, vtd.TRANSLATE)
    assert machine.get(vtd.GSTS) & vtd.QUEUE                    # not off in the middle of something


def test_register_invalidation_is_off_beside_the_queue(machine):
    machine.queued()
    machine.put(vtd.IOTLB, 1 << 63 | 1 << 60, 8)
    machine.put(vtd.CCMD, 1 << 63 | 1 << 61, 8)
    assert machine.get(vtd.IOTLB + 4) >> 31 == machine.get(vtd.CCMD + 4) >> 31 == 1
    machine.submit(5 | 1 << 5, machine.target)
    machine.put(vtd.GCMD, vtd.TRANSLATE)
    assert not machine.get(vtd.GSTS) & vtd.QUEUE and machine.get(vtd.IQH, 8) == 0


def test_save_restore_reset(machine):
    machine.queued()
    machine.fault()
    machine.submit(2 | 1 << 4)
    state = machine.registers.save()
    machine.registers.reset()
    assert machine.get(vtd.GSTS) == 0 and machine.get(vtd.FECTL) == vtd.MASK and machine.get(vtd.FSTS) == 0
    machine.registers.restore(state)
    assert machine.registers.save() == state
    assert machine.get(vtd.GSTS) == vtd.TRANSLATE | vtd.SET_ROOT | vtd.QUEUE and machine.get(vtd.FSTS) == 2
    machine.space.write(0x10000, b"again")


def test_several_records():
    machine = Machine(records=4).translate()
    for n in range(5):
        with pytest.raises(TranslationFault):
            DmaSpace(machine.remapper, machine.registers.interrupts, DEVICE + 1 + n).read(n << 12, 1)
    assert machine.get(vtd.CAP, 8) >> 40 & 0xFF == 3
    assert [machine.get(vtd.FRCD + 16 * n, 8) for n in range(4)] == [0, 0x1000, 0x2000, 0x3000]
    assert machine.get(vtd.FSTS) == 3


def test_the_queue_may_be_filled_before_it_is_on(machine):
    machine.memory.write(machine.queue, pack("<QQ", 5 | 1 << 5 | 7 << 32, machine.target))
    machine.put(vtd.IQT, 16, 8)
    machine.queued()
    assert machine.memory.read(machine.target, 1) == b"\7"
    machine.put(vtd.IQA, 1 << 38, 8)                            # a queue where there is no memory
    machine.put(vtd.GCMD, vtd.TRANSLATE)
    machine.put(vtd.GCMD, vtd.TRANSLATE | vtd.QUEUE)
    assert machine.get(vtd.IQA + 4) == 1 << 6 and machine.get(vtd.FSTS) == QUEUE_ERROR


def test_interrupt_remapping_by_register(machine):
    table = machine.memory.allocate(1)
    machine.memory.write(table + 16 * 3, interrupts.remapped_entry(DEVICE, 2, 0x44))
    machine.put(vtd.IRTA, table | 1, 8)
    machine.put(vtd.GCMD, vtd.TRANSLATE | vtd.SET_INTERRUPT_TABLE)
    machine.put(vtd.GCMD, vtd.TRANSLATE | vtd.REMAP_INTERRUPTS)
    assert machine.get(vtd.GSTS) == vtd.TRANSLATE | vtd.SET_ROOT | vtd.SET_INTERRUPT_TABLE | vtd.REMAP_INTERRUPTS
    machine.space.message(*interrupts.message(3))
    assert machine.events == [(2, 0x44)] and machine.registers.interrupts.entries == 4
    with pytest.raises(TranslationFault):
        machine.space.message(*interrupts.compatibility_message(1, 0x55))
    assert machine.get(vtd.FRCD + 12) & 0xFF == 0x25
    machine.put(vtd.GCMD, vtd.TRANSLATE | vtd.REMAP_INTERRUPTS | vtd.COMPATIBILITY)
    machine.space.message(*interrupts.compatibility_message(1, 0x55))
    assert machine.events == [(2, 0x44), (1, 0x55)] and machine.get(vtd.GSTS) & vtd.COMPATIBILITY
