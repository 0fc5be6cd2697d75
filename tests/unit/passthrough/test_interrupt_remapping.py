"""Interrupts of devices: as written, remapped, forged, posted; what each costs in exits."""

from struct import pack

import pytest

from vmio.hardware import edu
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.machine.memory import PAGE, MemoryFault
from vmio.machine.pagetable import READ, TranslationFault
from vmio.modes import Machine
from vmio.passthrough.delivery import ENTRIES, QUOTA, InterruptRouter
from vmio.passthrough.iommu import interrupts
from vmio.passthrough.iommu.faults import Reason
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.posted import OUTSTANDING, PostedDescriptor
from vmio.passthrough.iommu.requester import requester_id

DEVICE, OTHER = requester_id(0, 3), requester_id(0, 4, 1)
VECTOR = 0x41


@pytest.fixture
def host():
    return Machine(memory_mib=32).host


class Room:
    """An IOMMU with an interrupt table, remapping on, and what it delivered."""

    def __init__(self, host, entries=256):
        self.iommu = Iommu(host.memory)
        self.delivered, self.posted = [], []
        self.remapper = self.iommu.interrupts
        self.remapper.deliver = lambda *what: self.delivered.append(what)
        self.remapper.post = lambda *what: self.posted.append(what)
        self.memory, self.table = host.memory, host.memory.allocate(1)
        self.remapper.set_table(self.table, entries)
        self.remapper.enabled = True
        self.space = self.iommu.space(DEVICE)

    def entry(self, index, raw):
        self.memory.write(self.table + 16 * index, raw)

    def refused(self, address, data, reason, space=None):
        with pytest.raises(TranslationFault) as caught:
            (space or self.space).message(address, data)
        assert caught.value.reason is reason and self.delivered == [] and self.posted == []
        for index in range(self.iommu.faults.size):
            self.iommu.faults.clear(index)


@pytest.fixture
def room(host):
    return Room(host)


def test_without_remapping_a_message_is_delivered_as_written(room):
    room.remapper.enabled = False
    room.space.message(*interrupts.compatibility_message(2, VECTOR))
    assert room.delivered == [(2, VECTOR)]


def test_an_entry_says_where_and_which(room):
    room.entry(5, interrupts.remapped_entry(DEVICE, 3, VECTOR))
    room.space.message(*interrupts.message(5))
    address, _ = interrupts.message(0)
    room.space.message(address, 5)              # the data is a subhandle, added to the index
    assert room.delivered == [(3, VECTOR)] * 2 and room.remapper.delivered == 2


def test_the_handle_has_sixteen_bits():
    assert interrupts.message(0x1234) == (0xFEE0_0000 | 0x1234 << 5 | 0x18, 0)
    assert interrupts.message(0x8001) == (0xFEE0_0000 | 1 << 5 | 0x1C, 0)


def test_a_wide_destination(room):
    room.remapper.set_table(room.table, 256, wide=True)
    room.entry(0, pack("<QQ", 0x1234 << 32 | VECTOR << 16 | 1, 0))
    room.space.message(*interrupts.message(0))
    assert room.delivered == [(0x1234, VECTOR)]


def test_forged_messages_are_refused_and_recorded(room):
    room.entry(5, interrupts.remapped_entry(OTHER, 0, VECTOR))
    room.refused(*interrupts.message(5), Reason.IR_REQUESTER)
    room.refused(*interrupts.compatibility_message(0, VECTOR), Reason.IR_COMPATIBILITY)
    room.refused(*interrupts.message(6), Reason.IR_NOT_PRESENT)
    room.refused(*interrupts.message(256), Reason.IR_INDEX)
    room.refused(interrupts.message(0)[0], 0xFFFF, Reason.IR_INDEX)
    room.refused(interrupts.message(0)[0], 1 << 16, Reason.IR_REQUEST_RESERVED)
    room.entry(7, pack("<QQ", VECTOR << 16 | 1 << 24 | 1, 0))
    room.refused(*interrupts.message(7), Reason.IR_ENTRY_RESERVED)
    room.remapper.set_table(1 << 40, 256)
    room.refused(*interrupts.message(0), Reason.IR_TABLE_UNREADABLE)
    assert room.remapper.refused == 8


def test_the_record_of_a_refused_interrupt(room):
    with pytest.raises(TranslationFault):
        room.space.message(*interrupts.message(0x12))
    assert room.iommu.faults.taken() == [(DEVICE, 0x12 << 48, Reason.IR_NOT_PRESENT, "write")]


def test_an_entry_may_keep_its_faults_quiet(room):
    room.entry(1, pack("<QQ", 2, 0))
    with pytest.raises(TranslationFault):
        room.space.message(*interrupts.message(1))
    assert room.iommu.faults.taken() == []


def test_compatibility_format_by_permission(room):
    room.remapper.compatibility = True
    room.space.message(*interrupts.compatibility_message(1, 0x33))
    assert room.delivered == [(1, 0x33)]


@pytest.mark.parametrize("how,owner,mine", [
    (0, 0x1234, True), (1 << 18, DEVICE, True), (1 << 18 | 3 << 16, DEVICE | 5, True), (1 << 18 | 1 << 16, DEVICE | 1, False),
    (2 << 18, 0x0000, True), (2 << 18, 0x0301, False), (3 << 18, DEVICE, False)])
def test_who_may_use_an_entry(room, how, owner, mine):
    room.entry(0, pack("<QQ", VECTOR << 16 | 1, how | owner))
    if mine:
        room.space.message(*interrupts.message(0))
        assert room.delivered == [(0, VECTOR)]
    else:
        room.refused(*interrupts.message(0), Reason.IR_REQUESTER)


def test_writes_of_another_size_and_reads_are_no_interrupts(room):
    for call in (lambda: room.space.write(0xFEE0_0000, b"12345678"), lambda: room.space.write(0xFEE0_0002, b"1234"),
                 lambda: room.space.read(0xFEE0_0000, 4)):
        with pytest.raises(TranslationFault):
            call()
    assert room.delivered == []


# A device that its guest told to write an interrupt.

def forge(host, remapping):
    """Guest A makes its device write guest B's message.  (interrupts that B got, faults recorded)"""
    victim = host.guest("b", ram_mib=1)
    iommu = Iommu(host.memory)
    attacker = host.guest("a", ram_mib=1)
    domain = iommu.domain()
    domain.map_guest(attacker)
    iommu.attach(DEVICE, domain)
    iommu.enable()
    iommu.interrupts.deliver = lambda destination, vector: victim.cpu.apic.request(vector)
    iommu.interrupts.set_table(host.memory.allocate(1), 256)
    iommu.interrupts.enabled = remapping
    device = edu.Edu(attacker.clock, iommu.space(DEVICE), dma_mask=(1 << 32) - 1)
    address, data = interrupts.compatibility_message(0, 0x99)
    attacker.memory.write(0x1000, data.to_bytes(4, "little"))
    for source, destination, command in ((0x1000, edu.BUFFER, edu.RUN), (edu.BUFFER, address, edu.RUN | edu.TO_MEMORY)):
        for register, value in ((edu.SOURCE, source), (edu.DESTINATION, destination), (edu.COUNT, 4), (edu.COMMAND, command)):
            device.write(register, 8, value)
        attacker.clock.advance_to(attacker.clock.now + edu.DMA_NS)
    return victim.cpu.apic.irr, [reason for _, _, reason, _ in iommu.faults.taken()]


def test_a_forged_interrupt_arrives_without_remapping_and_not_with_it(host):
    assert forge(host, remapping=False) == (1 << 0x99, [])
    assert forge(host, remapping=True) == (0, [Reason.IR_COMPATIBILITY])


# Posted interrupts.

def descriptor(host):
    guest = host.guest(ram_mib=1)
    return guest.cpu, PostedDescriptor(host.memory, host.memory.allocate(1), guest.cpu)


def test_a_posted_entry_names_a_descriptor(room, host):
    room.entry(3, interrupts.posted_entry(DEVICE, 0x12_3456_7840, 0x77, urgent=True))
    room.space.message(*interrupts.message(3))
    assert room.posted == [(0x12_3456_7840, 0x77, True)] and room.delivered == [] and room.remapper.posted == 1
    room.posted.clear()
    room.entry(4, pack("<QQ", 1 << 2 | 1 << 15 | 1, 1 << 18 | DEVICE))
    room.refused(*interrupts.message(4), Reason.IR_ENTRY_RESERVED)


def test_without_anybody_to_take_it_an_interrupt_ends_quietly(host):
    """Software may fill the table as it likes: an entry for posting where nobody posts is counted, and harms nobody."""
    iommu = Iommu(host.memory)
    remapper = interrupts.InterruptRemapper(host.memory, iommu.faults)
    table = host.memory.allocate(1)
    host.memory.write(table, interrupts.posted_entry(DEVICE, 0x1000, 0x77) + interrupts.remapped_entry(DEVICE, 0, 0x78))
    remapper.set_table(table, 2)
    remapper.enabled = True
    for index in (0, 1):
        remapper.message(DEVICE, *interrupts.message(index))
    assert (remapper.posted, remapper.delivered, remapper.refused) == (1, 1, 0)


def test_a_new_descriptor_says_how_to_notify(host):
    cpu, mine = descriptor(host)
    assert int.from_bytes(host.memory.read(mine.spa, 64), "little") == 0xF2 << 272       # NV; nothing posted
    other = PostedDescriptor(host.memory, mine.spa + 64, cpu, notification_vector=0x31)
    for _ in range(2):
        other.post(0x55)
    assert int.from_bytes(host.memory.read(other.spa, 64), "little") == 0x31 << 272 and cpu.apic.irr == 1 << 0x55


def test_no_second_notification_while_one_is_on_its_way(host):
    cpu, mine = descriptor(host)
    host.memory.write(mine.spa, (OUTSTANDING | 0xF2 << 272).to_bytes(64, "little"))
    for urgent in (False, True):
        mine.post(0x41, urgent)
    assert (mine.posts, mine.notifications, mine.pending, cpu.apic.irr) == (2, 0, 1 << 0x41, 0)
    mine.take()                                 # it has arrived
    assert cpu.apic.irr == 1 << 0x41
    mine.post(0x42)
    assert mine.notifications == 1 and cpu.apic.irr == 1 << 0x41 | 1 << 0x42


def test_posting_sets_a_bit_and_notifies_once(host):
    cpu, mine = descriptor(host)
    mine.suppress()
    mine.post(0x41)
    mine.post(0x52)
    mine.post(0x41)
    assert mine.pending == 1 << 0x41 | 1 << 0x52 and cpu.apic.irr == 0
    assert int.from_bytes(host.memory.read(mine.spa, 32), "little") == mine.pending   # PIR is the first 256 bits
    mine.post(0x30, urgent=True)                # not held back, and it takes the others along
    assert cpu.apic.irr == 1 << 0x41 | 1 << 0x52 | 1 << 0x30 and mine.pending == 0
    mine.post(0x99)
    mine.suppress(False)
    assert cpu.apic.irr >> 0x99 & 1
    assert (mine.posts, mine.notifications) == (5, 1)
    assert not int.from_bytes(host.memory.read(mine.spa, 64), "little") & OUTSTANDING


def test_exception_vectors_are_not_posted(host):
    cpu, mine = descriptor(host)
    for vector in range(16):
        mine.post(vector)
    assert cpu.apic.irr == 0
    with pytest.raises(ValueError, match="a multiple of 64"):
        PostedDescriptor(host.memory, 100, cpu)


@pytest.mark.parametrize("apic, posted, exits", [
    ("virtualized", True, {}), ("virtualized", False, {"EXTERNAL_INTERRUPT": 1}),
    ("emulated", False, {"EXTERNAL_INTERRUPT": 1, "WRMSR": 1})])
@pytest.mark.parametrize("masked", (False, True))
def test_exits_of_one_interrupt(apic, posted, exits, masked):
    """A device interrupts a guest that computes: injected, it stops the guest, even one that takes no interrupts now."""
    host = Machine(memory_mib=16, apic=apic).host
    room = Room(host)
    guest = host.guest(ram_mib=1)
    cpu, seen = guest.cpu, []
    if posted:
        mine = PostedDescriptor(host.memory, host.memory.allocate(1), cpu)
        room.remapper.post = lambda spa, vector, urgent: mine.post(vector, urgent)
        room.entry(0, interrupts.posted_entry(DEVICE, mine.spa, VECTOR))
    else:
        room.remapper.deliver = lambda destination, vector: cpu.apic.request(VECTOR, by_host=True)
        room.entry(0, interrupts.remapped_entry(DEVICE, 0, 0xE0))

    def handler(cpu):
        seen.append(cpu.now)
        cpu.wrmsr(X2APIC_EOI, 0)
    cpu.on_interrupt(VECTOR, handler)
    guest.clock.call_at(1000, lambda: room.space.message(*interrupts.message(0)))
    if masked:
        cpu.cli()
    host.run((cpu, lambda cpu: (cpu.compute(5000), cpu.sti())))
    windows = {"INTERRUPT_WINDOW": 1} if masked and apic == "emulated" else {}
    assert len(seen) == 1 and dict(cpu.exits.by_reason()) == exits | windows
    assert cpu.apic.isr == 0 and cpu.now == 5000 + cpu.exits.ns
    assert seen[0] >= 1000


def test_memory_that_is_not_there(host):
    """A domain whose table leads out of memory faults as the others do; the host's own memory says so, too."""
    iommu = Iommu(host.memory)
    domain = iommu.domain()
    domain.map(0x1000, PAGE, PAGE, READ)
    iommu.attach(DEVICE, domain)
    with pytest.raises(TranslationFault):
        iommu.space(DEVICE).read(host.memory.size, 1)
    with pytest.raises(MemoryFault):
        host.memory.read(host.memory.size, 1)


# The host's table, which its guests share.

def test_a_guest_has_a_quota_of_the_table(host):
    router = InterruptRouter(host, Iommu(host.memory))
    greedy, modest = host.guest(ram_mib=1), host.guest(ram_mib=1)
    mine = [router.create(DEVICE + n % 4, greedy.cpu, VECTOR, posted=n % 2 == 0) for n in range(QUOTA)]
    for requester in (DEVICE, OTHER):
        with pytest.raises(ValueError, match=f"guest0 has {QUOTA} entries"):
            router.create(requester, greedy.cpu, VECTOR)
    router.create(OTHER, modest.cpu, VECTOR)
    assert router.delete(DEVICE, *mine[0])
    router.create(OTHER, greedy.cpu, VECTOR)                # any of its devices may have what it gave back
    with pytest.raises(ValueError, match="has 80 entries"):
        router.create(OTHER, greedy.cpu, VECTOR)
    for n in range(4):
        router.delete_all(DEVICE + n)
    router.create(DEVICE, greedy.cpu, VECTOR)
    assert len(router.owners) == 3


def test_nothing_is_posted_to_an_apic_that_is_emulated():
    host = Machine(memory_mib=16, apic="emulated").host
    router, guest = InterruptRouter(host, Iommu(host.memory)), host.guest(ram_mib=1)
    with pytest.raises(ValueError, match="posted to guest0; the host's APIC is emulated: only a virtualized one takes them"):
        router.create(DEVICE, guest.cpu, VECTOR, posted=True)
    assert not router.owners
    router.create(DEVICE, guest.cpu, VECTOR)


def test_the_host_has_no_quota_and_the_table_an_end(host):
    router = InterruptRouter(host, Iommu(host.memory), quota=ENTRIES + 1)
    guest = host.guest(ram_mib=1)
    for _ in range(ENTRIES - 100):
        router.create_for(OTHER, lambda: None)
    for _ in range(100):
        router.create(DEVICE, guest.cpu, VECTOR)
    for create in (lambda: router.create(DEVICE, guest.cpu, VECTOR), lambda: router.create_for(OTHER, lambda: None)):
        with pytest.raises(ValueError, match="all 256 entries"):
            create()
    router.delete_all(OTHER)
    router.create_for(OTHER, lambda: None)
