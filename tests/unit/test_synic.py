"""CPUID leaves, synthetic MSRs, the hypercall page, the two hypercalls, and SynIC's delivery rules."""

import pytest

from vmio.drivers import synic
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import Host
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import MessagePort, enable_enlightenments
from vmio.hypervisor.hyperv.synic import QUEUE

PAGE_H, PAGE_M, PAGE_E, INPUT = 0x10_0000, 0x10_1000, 0x10_2000, 0x10_3000
VECTOR = 0xF3


def machine(vcpus=1, **host):
    guest = Host(**host).guest(ram_mib=4, vcpus=vcpus)
    return guest.cpu, enable_enlightenments(guest)


def ready(vcpus=1, flags=0, **options):
    """A guest with everything on and SINT2 unmasked on every vCPU (its pages one after the other)."""
    cpu, hv = machine(vcpus, **options)
    cpu.wrmsr(tlfs.GUEST_OS_ID, 0x8100 << 48)
    cpu.wrmsr(tlfs.HYPERCALL, PAGE_H | 1)
    for n, each in enumerate(cpu.guest.vcpus):
        each.wrmsr(tlfs.SIMP, PAGE_M + 0x10000 * n | 1)
        each.wrmsr(tlfs.SIEFP, PAGE_E + 0x10000 * n | 1)
        each.wrmsr(tlfs.SINT0 + 2, VECTOR | flags)
        each.wrmsr(tlfs.SCONTROL, 1)
    return cpu, hv


def slot(cpu, sint=2):
    return tlfs.MESSAGE.parse(cpu.read(PAGE_M + 256 * sint, 256))


def post(cpu, connection=1, message_type=1, payload=b"hello", size=None, reserved=0, gpa=INPUT, control=0x5C):
    size = len(payload) if size is None else size
    cpu.write(INPUT, tlfs.POST_INPUT.pack(connection_id=connection, reserved=reserved, message_type=message_type,
                                          size=size, payload=payload.ljust(240, b"\0")))
    return cpu.hypercall(control, gpa)


def test_cpuid_leaves_are_what_a_driver_asks_for():
    cpu, _ = machine(vcpus=3)
    highest, *name = cpu.cpuid(0x4000_0000)
    assert highest == 0x4000_0006
    assert b"".join(r.to_bytes(4, "little") for r in name) == b"Microsoft Hv"
    assert cpu.cpuid(0x4000_0001)[0] == 0x31237648
    assert cpu.cpuid(0x4000_0003) == (0x76, 0x30, 0, 0)
    assert cpu.cpuid(0x4000_0004)[0] == 0x220
    assert cpu.cpuid(0x4000_0005)[:2] == (3, 3)
    assert cpu.cpuid(0x4000_0006) == (0, 0, 0, 0)
    assert cpu.cpuid(1)[2] >> 31 == 1
    assert machine(apic="emulated")[0].cpuid(0x4000_0004)[0] == 0x28


def test_enlightening_twice_is_refused():
    cpu, _ = machine()
    with pytest.raises(ValueError, match="already"):
        enable_enlightenments(cpu.guest)


def test_the_hypercall_page_needs_a_guest_os_id():
    cpu, _ = machine()
    cpu.write(PAGE_H, b"mine")
    cpu.wrmsr(tlfs.HYPERCALL, PAGE_H | 1)
    assert cpu.rdmsr(tlfs.HYPERCALL) == PAGE_H
    assert cpu.read(PAGE_H, 4) == b"mine"
    cpu.wrmsr(tlfs.GUEST_OS_ID, 5)
    cpu.wrmsr(tlfs.HYPERCALL, PAGE_H | 1)
    assert cpu.read(PAGE_H, 5) == bytes.fromhex("0f01c1c3cc")
    cpu.store(PAGE_H, 4, 0x12345678)   # read and execute only: an exit, and nothing changes
    assert cpu.read(PAGE_H, 4) == bytes.fromhex("0f01c1c3")
    cpu.wrmsr(tlfs.GUEST_OS_ID, 0)
    assert cpu.rdmsr(tlfs.HYPERCALL) == PAGE_H
    assert cpu.read(PAGE_H, 4) == b"mine"


def test_a_locked_hypercall_page_stays():
    cpu, hv = machine()
    cpu.wrmsr(tlfs.GUEST_OS_ID, 5)
    cpu.wrmsr(tlfs.HYPERCALL, PAGE_H | 3)
    with pytest.raises(GuestFault, match="locked"):
        cpu.wrmsr(tlfs.HYPERCALL, 0)
    hv.reset()
    cpu.wrmsr(tlfs.HYPERCALL, 0)


@pytest.mark.parametrize("msr", [tlfs.HYPERCALL, tlfs.SIMP, tlfs.SIEFP])
def test_pages_outside_ram_are_a_fault(msr):
    cpu, _ = machine()
    cpu.wrmsr(tlfs.GUEST_OS_ID, 5)
    for page in (4 << 20, 1 << 40, 0xFFFF_FFFF_FFFF_F000):
        with pytest.raises(GuestFault, match="#GP"):
            cpu.wrmsr(msr, page | 1)
        assert cpu.rdmsr(msr) == 0


@pytest.mark.parametrize("msr, value", [
    (tlfs.SVERSION, 1), (tlfs.TIME_REF_COUNT, 0), (tlfs.VP_INDEX, 0), (tlfs.SINT0 + 5, 15), (0x4000_0003, 1)])
def test_writes_that_fault(msr, value):
    cpu, _ = machine()
    with pytest.raises(GuestFault, match="#GP"):
        cpu.wrmsr(msr, value)


def test_values_after_reset_and_what_reads_back():
    cpu, _ = machine()
    assert [cpu.rdmsr(tlfs.SINT0 + n) for n in range(16)] == [0x10000] * 16
    assert cpu.rdmsr(tlfs.SVERSION) == 1
    assert cpu.rdmsr(tlfs.EOM) == cpu.rdmsr(tlfs.SCONTROL) == cpu.rdmsr(tlfs.SIMP) == 0
    with pytest.raises(GuestFault):
        cpu.rdmsr(tlfs.EOI)
    cpu.wrmsr(tlfs.SINT0 + 5, 0x10000 | 3)   # a masked vector may be anything
    assert cpu.rdmsr(tlfs.SINT0 + 5) == 0x10003


def test_overlay_pages_hide_ram_and_give_it_back():
    cpu, hv = ready()
    cpu.write(PAGE_M, b"in the overlay")
    other = PAGE_M + 0x5000
    cpu.write(other, b"ram")
    cpu.wrmsr(tlfs.SIMP, other | 1)          # moves with its content
    assert cpu.read(other, 14) == b"in the overlay"
    assert cpu.read(PAGE_M, 14) == bytes(14)
    cpu.wrmsr(tlfs.SIEFP, other | 1)         # two at one address: the later one is seen
    assert cpu.read(other, 3) == bytes(3)
    cpu.wrmsr(tlfs.SIEFP, 0)
    assert cpu.read(other, 14) == b"in the overlay"
    assert hv.overlays.covers(other)
    cpu.wrmsr(tlfs.SIMP, 0)
    assert cpu.read(other, 3) == b"ram"
    assert not hv.overlays.covers(other)


def test_statuses_of_post_message():
    cpu, hv = ready()
    arrived = []
    hv.message_ports[1] = MessagePort(arrived.append)
    hv.event_ports[7] = arrived.append
    assert post(cpu, connection=9) == post(cpu, connection=7) == post(cpu, connection=1 << 24 | 1) == 0x12
    assert post(cpu, size=241) == post(cpu, message_type=0) == post(cpu, message_type=1 << 31) == 0x05
    assert post(cpu, reserved=1) == 0x05
    assert post(cpu, gpa=INPUT + 4) == 4                   # not aligned
    assert post(cpu, gpa=INPUT + 0x1000 - 248) == 4        # crosses a page
    assert post(cpu, gpa=4 << 20) == post(cpu, gpa=1 << 60) == 4   # not RAM
    for bits in (1 << 16, 1 << 17, 1 << 27, 1 << 31, 1 << 32, 1 << 44, 1 << 48, 1 << 63):
        assert post(cpu, control=0x5C | bits) == 3
    assert not arrived
    for _ in range(16):
        assert post(cpu) == 0
    assert post(cpu) == 0x13
    assert len(arrived) == 16
    assert [m[1:] for m in hv.message_ports[1].queue] == [(1, 1, b"hello")] * 16
    assert cpu.hypercall(0x5E) == cpu.hypercall(0x7E) == 2


def test_statuses_of_signal_event_fast_and_slow():
    cpu, hv = ready()
    times = []
    hv.event_ports[0x2001] = times.append
    hv.message_ports[1] = MessagePort(times.append)
    assert cpu.hypercall(0x1005D, 0x2001) == 0
    cpu.write(INPUT, (0x2001).to_bytes(8, "little"))
    assert cpu.hypercall(0x5D, INPUT) == 0
    assert len(times) == 2 and times[0] < times[1] == cpu.now
    assert cpu.hypercall(0x1005D, 0x2002) == cpu.hypercall(0x1005D, 1) == 0x12
    assert cpu.hypercall(0x1005D, 1 << 32 | 0x2001) == 5   # flag 1 of a port with one flag
    assert cpu.hypercall(0x1005D, 1 << 48 | 0x2001) == 5
    assert cpu.hypercall(0x1005D | 1 << 32, 0x2001) == 3
    assert cpu.hypercall(0x5D, INPUT + 1) == 4
    assert len(times) == 2
    rows = {row.address: row.count for row in cpu.exits.rows if row.reason == "VMCALL"}
    assert rows == {0x5D: 8}


def test_a_hypercall_before_the_page_is_a_fault():
    cpu, _ = machine()
    with pytest.raises(GuestFault, match="#UD"):
        cpu.hypercall(0x1005D, 1)


def test_two_messages_back_to_back_the_second_after_eom():
    cpu, hv = ready()
    taken = []
    cpu.on_interrupt(VECTOR, lambda cpu: (taken.append(slot(cpu).payload[0]), cpu.wrmsr(tlfs.EOI, 0)))
    synic = hv.synics[0]
    assert synic.post(2, 1, b"\x01") and synic.post(2, 1, b"\x02") and synic.post(2, 1, b"\x03")
    first = slot(cpu)
    assert (first.message_type, first.size, first.flags, first.payload[0]) == (1, 1, 1, 1)
    cpu.attend()
    assert slot(cpu) == first                # still in the slot: the guest has not freed it
    cpu.store(PAGE_M + 512, 4, 0)
    cpu.wrmsr(tlfs.EOM, 0)
    assert slot(cpu).payload[0] == 2 and slot(cpu).flags == 1
    cpu.attend()
    cpu.store(PAGE_M + 512, 4, 0)
    cpu.wrmsr(tlfs.EOM, 0)
    assert slot(cpu).payload[0] == 3 and slot(cpu).flags == 0   # nothing waits any more
    cpu.attend()
    assert taken == [1, 2, 3]
    assert (synic.delivered, synic.waited) == (3, 2)


def test_the_eoi_of_the_vector_delivers_too():
    cpu, hv = ready()
    seen = []

    def handler(cpu):
        seen.append(slot(cpu).payload[0])
        cpu.store(PAGE_M + 512, 4, 0)
        cpu.wrmsr(tlfs.EOI, 0)               # and no EOM

    cpu.on_interrupt(VECTOR, handler)
    hv.synics[0].post(2, 1, b"\x01")
    hv.synics[0].post(2, 1, b"\x02")
    cpu.attend()
    assert seen == [1, 2]


def test_the_queue_is_bounded_and_tells_of_room():
    cpu, hv = ready()
    synic, room = hv.synics[0], []
    synic.room = lambda when: room.append(len(synic.queues[2]))
    sent = 0
    while synic.post(2, 1, bytes([sent])):
        sent += 1
    assert sent == QUEUE + 1                 # one in the slot
    room.clear()
    cpu.store(PAGE_M + 512, 4, 0)
    cpu.wrmsr(tlfs.EOM, 0)
    assert room == [QUEUE - 1]


def test_messages_wait_for_the_synic_and_its_page():
    cpu, hv = ready()
    cpu.cli()
    cpu.wrmsr(tlfs.SCONTROL, 0)
    cpu.wrmsr(tlfs.SIMP, PAGE_M)
    hv.synics[0].post(2, 1, b"x")
    cpu.wrmsr(tlfs.SCONTROL, 1)
    assert not cpu.apic.irr
    cpu.wrmsr(tlfs.SIMP, PAGE_M | 1)
    assert cpu.apic.irr == 1 << VECTOR
    assert slot(cpu).payload[:1] == b"x"


def test_masked_and_polled_sints_get_the_message_but_no_interrupt():
    for bits in (tlfs.MASKED, tlfs.POLLING):
        cpu, hv = ready(flags=bits)
        hv.synics[0].post(2, 1, b"x")
        assert hv.synics[0].signal(2, 9) == 0
        assert slot(cpu).message_type == 1 and cpu.load(PAGE_E + 512 + 1, 1) == 2
        assert not cpu.apic.irr


def test_an_event_flag_interrupts_only_from_0_to_1():
    cpu, hv = ready()
    hits = []
    cpu.on_interrupt(VECTOR, lambda cpu: (hits.append(cpu.read(PAGE_E + 512, 256)), cpu.wrmsr(tlfs.EOI, 0)))
    synic = hv.synics[0]
    assert synic.signal(2, 2047) == 0
    cpu.attend()
    assert hits[0][255] == 0x80 and sum(hits[0]) == 0x80
    assert synic.signal(2, 2047) == 0
    cpu.attend()
    assert len(hits) == 1 and (synic.events, synic.merged) == (1, 1)
    cpu.store(PAGE_E + 512 + 255, 1, 0)
    synic.signal(2, 2047)
    cpu.attend()
    assert len(hits) == 2
    cpu.wrmsr(tlfs.SIEFP, PAGE_E)
    assert synic.signal(2, 1) == 0x18


def test_auto_eoi_leaves_nothing_in_service():
    cpu, hv = ready(flags=tlfs.AUTO_EOI, apic="emulated")
    hits = []
    cpu.on_interrupt(VECTOR, lambda cpu: (hits.append(1), cpu.store(PAGE_E + 512, 1, 0)))
    for _ in range(3):
        hv.synics[0].signal(2, 1)
        cpu.attend()
    assert hits == [1, 1, 1] and cpu.apic.isr == 0
    cpu.wrmsr(tlfs.SINT0 + 2, VECTOR)
    assert not cpu.auto_eoi


def test_each_vcpu_has_its_own():
    cpu, hv = ready(vcpus=2)
    hv.synics[1].post(2, 1, b"one")
    assert slot(cpu).message_type == 0
    assert cpu.read(PAGE_M + 0x10000 + 512 + 16, 3) == b"one"
    assert cpu.guest.vcpus[1].apic.irr and not cpu.apic.irr


def test_a_destroyed_guest_leaves_no_page_behind():
    host = Host()
    before = None
    for _ in range(3):
        guest = host.guest(ram_mib=4, vcpus=2)
        enable_enlightenments(guest)
        guest.vcpus[0].wrmsr(tlfs.SIMP, PAGE_M | 1)
        guest.destroy()
        used = host.memory._next
        assert before in (None, used)
        before = used


# The VP assist page, and ends of interrupt.

ASSIST = 0x4000_0073


def test_the_vp_assist_page_lies_over_ram_and_wants_each_eoi():
    """Linux's hv_cpu_init writes it on each CPU without asking for a feature bit."""
    cpu, hv = machine(vcpus=2)
    second = cpu.guest.vcpus[1]
    cpu.write(0x10_7000, b"mine")
    assert cpu.rdmsr(ASSIST) == second.rdmsr(ASSIST) == 0
    cpu.wrmsr(ASSIST, 0x10_7001)
    assert cpu.rdmsr(ASSIST) == 0x10_7001 and second.rdmsr(ASSIST) == 0
    assert cpu.read(0x10_7000, 4096) == bytes(4096)           # bit 0 of the first word: "No EOI required"
    cpu.store(0x10_7000, 4, 7)
    second.wrmsr(ASSIST, 0x10_9FFF)
    assert second.rdmsr(ASSIST) == 0x10_9FFF and second.read(0x10_9000, 4) == bytes(4)
    cpu.wrmsr(ASSIST, 0x10_8001)                              # moved: its bytes come along, RAM is seen again
    assert cpu.load(0x10_8000, 4) == 7 and cpu.read(0x10_7000, 4) == b"mine"
    cpu.wrmsr(ASSIST, 0x10_8000)
    assert cpu.rdmsr(ASSIST) == 0x10_8000 and cpu.load(0x10_8000, 4) == 0 and not hv.overlays.covers(0x10_8000)
    for beyond in (0x40_0001, 1 << 63 | 1):
        with pytest.raises(GuestFault, match="#GP, VP assist page"):
            cpu.wrmsr(ASSIST, beyond)
    assert cpu.rdmsr(ASSIST) == 0x10_8000
    hv.reset()
    assert second.rdmsr(ASSIST) == 0 and not hv.overlays.covers(0x10_9000)


def test_a_page_that_there_is_no_memory_for_is_a_fault_of_the_guest():
    cpu, hv = machine()
    memory = cpu.guest.host.memory
    while memory.free_pages:
        memory.allocate(1)
    with pytest.raises(GuestFault, match="#GP, VP assist page: host memory"):
        cpu.wrmsr(ASSIST, 0x10_7001)
    with pytest.raises(GuestFault, match="#GP, SIMP: page at 0x101000: host memory"):
        cpu.wrmsr(tlfs.SIMP, PAGE_M | 1)
    assert cpu.rdmsr(ASSIST) == cpu.rdmsr(tlfs.SIMP) == 0 and not hv.overlays.covers(PAGE_M)
    assert cpu.load(PAGE_M, 4) == 0


def test_ends_of_interrupt_with_reserved_bits():
    cpu, hv = ready()
    cpu.apic.isr = 1 << 0x40
    for msr, value in ((tlfs.EOI, 1 << 32), (tlfs.EOI, 1 << 63), (0x80B, 1), (0x80B, 1 << 40)):
        with pytest.raises(GuestFault, match="#GP"):
            cpu.wrmsr(msr, value)
        assert cpu.apic.isr == 1 << 0x40
    cpu.wrmsr(tlfs.EOI, 0xFFFF_FFFF)
    assert cpu.apic.isr == 0


@pytest.mark.parametrize("apic, exits", (("virtualized", {}), ("emulated", {"EXTERNAL_INTERRUPT": 1})))
def test_exits_of_a_synthetic_interrupt(apic, exits):
    """A virtualized APIC delivers and ends it; an emulated one stops the vCPU, and AutoEOI spares the end."""
    cpu, hv = ready(apic=apic)
    assert cpu.cpuid(1)[2] >> 21 & 1 and cpu.virtual_apic == (apic == "virtualized")
    hints, pages = synic.detect(cpu), GuestPages(0x20_0000, 0x21_0000)
    synic.GuestSynic(cpu, PAGE_M, PAGE_E, hints, lambda cpu, flag: None, lambda *_: None, synic.EndOfInterrupt(hints, pages))
    before = cpu.exits.by_reason()
    hv.synics[0].signal(2, 7)
    cpu.interrupted()
    assert cpu.exits.by_reason() - before == exits and cpu.apic.isr == 0 and cpu.interrupts == 1


# EOI assist: TLFS, "EOI Assist".

def assisted(vector=0x40, handler=lambda cpu: None, **host):
    """A guest whose vectors 40h to 43h run `handler` and then end the interrupt as the driver does."""
    cpu, hv = machine(**host)
    eoi = synic.EndOfInterrupt(synic.detect(cpu), GuestPages(0x20_0000, 0x21_0000))
    eoi.add_cpu(cpu)
    for n in range(4):
        cpu.on_interrupt(vector + n, lambda cpu: (handler(cpu), eoi(cpu)))
    return cpu, eoi


def exits_of(cpu, do):
    before = cpu.exits.by_reason()
    do()
    cpu.interrupted()
    return dict(cpu.exits.by_reason() - before)


def test_an_interrupt_that_nothing_waits_behind_needs_no_end():
    cpu, _ = assisted(apic="emulated")
    for n in range(3):
        assert exits_of(cpu, lambda: cpu.apic.request(0x40)) == {"EXTERNAL_INTERRUPT": 1}
        assert cpu.load(0x20_0000, 4) == 0 and cpu.interrupts == n + 1
    assert cpu.apic.isr == 1 << 0x40                         # until the hypervisor looks
    assert exits_of(cpu, lambda: cpu.apic.request(0x30)) == {"EXTERNAL_INTERRUPT": 1} and cpu.apic.isr == 1 << 0x30


def test_what_waits_behind_an_interrupt_makes_its_end_an_exit():
    cpu, _ = assisted(apic="emulated")
    assert exits_of(cpu, lambda: (cpu.cli(), cpu.apic.request(0x40), cpu.apic.request(0x41), setattr(cpu, "interrupts_enabled", True))) \
        == {"EXTERNAL_INTERRUPT": 1, "WRMSR": 1}             # 41h first: 40h waits; then 40h alone
    assert cpu.interrupts == 2
    seen = []
    cpu, _ = assisted(handler=lambda cpu: seen.append(1) or (len(seen) == 1 and cpu.apic.request(0x40)), apic="emulated")
    assert exits_of(cpu, lambda: cpu.apic.request(0x42)) == {"EXTERNAL_INTERRUPT": 1, "WRMSR": 1} and len(seen) == 2


def test_no_assist_where_the_processor_ends_interrupts():
    cpu, _ = assisted()
    assert exits_of(cpu, lambda: (cpu.apic.request(0x40))) == {} and cpu.apic.isr == 0 and cpu.rdmsr(ASSIST) == 0
    cpu.wrmsr(ASSIST, 0x20_0001)
    cpu.on_interrupt(0x40, lambda cpu: None)
    cpu.apic.request(0x40)
    cpu.attend()
    assert cpu.load(0x20_0000, 4) == 0 and cpu.apic.isr == 1 << 0x40


def test_an_assist_page_that_goes_leaves_the_interrupt_in_service():
    cpu, eoi = assisted(handler=lambda cpu: eoi.remove_cpu(cpu), apic="emulated")
    cpu.apic.request(0x40)
    cpu.attend()
    assert cpu.apic.isr == 0 and cpu.rdmsr(ASSIST) == 0      # it was ended by the MSR then
    assert cpu.apic.assist is None


# ICR and TPR.

def test_icr_sends_to_one_to_itself_to_all_and_to_the_others():
    cpu, _ = machine(vcpus=3)
    cpu.cli()
    for value, to in ((1 << 56 | 0x50, [1]), (1 << 18 | 0x51, [0]), (2 << 18 | 0x52, [0, 1, 2]), (3 << 18 | 0x53, [1, 2]),
                      (2 << 18 | 0xF, []), (2 << 18 | 0x500 | 0x54, []), (7 << 56 | 0x55, []), (1 << 56 | 1 << 11 | 0x56, [])):
        cpu.wrmsr(tlfs.ICR, value)
        assert cpu.rdmsr(tlfs.ICR) == value
        assert [each.index for each in cpu.guest.vcpus if each.apic.irr >> (value & 0xFF) & 1] == to, hex(value)


def test_the_task_priority_holds_back():
    cpu, hv = machine()
    with pytest.raises(GuestFault, match="#GP, TPR: 0x100"):
        cpu.wrmsr(tlfs.TPR, 0x100)
    cpu.wrmsr(tlfs.TPR, 0x4F)
    cpu.apic.request(0x4F)
    cpu.attend()
    assert cpu.interrupts == 0 and cpu.rdmsr(tlfs.TPR) == 0x4F
    cpu.wrmsr(tlfs.TPR, 0x3F)
    assert cpu.interrupts == 1
    hv.reset()
    assert cpu.rdmsr(tlfs.TPR) == 0


@pytest.mark.parametrize("apic, auto_eoi, hints", [
    ("virtualized", None, 0x220), ("virtualized", True, 0x020), ("virtualized", False, 0x220),
    ("emulated", None, 0x028), ("emulated", True, 0x028), ("emulated", False, 0x228)])
def test_what_cpuid_advises_about_the_end_of_interrupts(apic, auto_eoi, hints):
    """40000004h EAX: bit 5 relaxed timing, bit 3 synthetic APIC MSRs, bit 9 no AutoEOI (TLFS, "Feature and Interface Discovery")."""
    guest = Host(memory_mib=16, apic=apic).guest("g", 4)
    enable_enlightenments(guest, auto_eoi)
    assert guest.cpuid(0x4000_0004)[0] == hints
