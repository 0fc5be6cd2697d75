"""CPUID leaves, synthetic MSRs, the hypercall page, the two hypercalls, and SynIC's delivery rules."""

import pytest

from tests.synic_rig import INPUT, PAGE_E, PAGE_H, PAGE_M, VECTOR, machine, post, ready, slot
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import MessagePort, enable_enlightenments
from vmio.hypervisor.hyperv.synic import QUEUE
from vmio.modes import Machine


def test_cpuid_leaves_are_what_a_driver_asks_for():
    cpu, _ = machine(vcpus=3)
    highest, *name = cpu.cpuid(0x4000_0000)
    assert highest == 0x4000_0006
    assert b"".join(r.to_bytes(4, "little") for r in name) == b"Microsoft Hv"
    assert cpu.cpuid(0x4000_0001)[0] == 0x31237648
    assert cpu.cpuid(0x4000_0003) == (0x8A7E, 0x30, 0, 0xE0100)
    assert cpu.cpuid(0x4000_0004)[0] == 0x220
    assert cpu.cpuid(0x4000_0005)[:2] == (3, 3)
    assert cpu.cpuid(0x4000_0006) == (1 << 3, 0, 0, 0)       # the SLAT table
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
    (tlfs.EOM, 1), (tlfs.EOM, 1 << 63), (tlfs.SVERSION, 1), (tlfs.TIME_REF_COUNT, 0), (tlfs.VP_INDEX, 0), (tlfs.SINT0 + 5, 15), (0x4000_0003, 1)])
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
    synic.on_free = lambda when: room.append(len(synic.queues[2]))
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


@pytest.mark.parametrize("bits, status, flags", [
    (tlfs.MASKED, 0x18, 0), (tlfs.POLLING, 0, 2), (tlfs.MASKED | tlfs.POLLING, 0, 2)])
def test_masked_and_polled_sints_get_the_message_but_no_interrupt(bits, status, flags):
    """A message's interrupt is lost; a signal to a masked SINT is refused; polling has the effect of unmasking."""
    cpu, hv = ready(flags=bits)
    hv.synics[0].post(2, 1, b"x")
    assert hv.synics[0].signal(2, 9) == status
    assert slot(cpu).message_type == 1 and cpu.load(PAGE_E + 512 + 1, 1) == flags
    assert not cpu.apic.irr


@pytest.mark.parametrize("off", [(tlfs.SINT0 + 2, tlfs.MASKED | VECTOR), (tlfs.SCONTROL, 0), (tlfs.SIEFP, PAGE_E)])
def test_a_signal_that_was_refused_leaves_no_flag_that_swallows_the_next(off):
    """TLFS, "Event Flag Delivery": masked, or off, and on again; each signal after that interrupts."""
    cpu, hv = ready()
    synic, hits = hv.synics[0], []
    cpu.on_interrupt(VECTOR, lambda cpu: (hits.append(cpu.load(PAGE_E + 512, 8)), cpu.store(PAGE_E + 512, 8, 0), cpu.wrmsr(tlfs.EOI, 0)))
    before = {msr: cpu.rdmsr(msr) for msr, _ in [off]}
    cpu.wrmsr(*off)
    assert [synic.signal(2, flag) for flag in (7, 7, 9)] == [0x18] * 3
    assert not cpu.apic.irr and (synic.events, synic.merged) == (0, 0)
    for msr, value in before.items():
        cpu.wrmsr(msr, value)
    assert cpu.read(PAGE_E, 4096) == bytes(4096) and not cpu.apic.irr     # unmasking alone brings nothing back
    for n in range(5):
        assert synic.signal(2, 7) == 0
        cpu.attend()
        assert hits == [1 << 7] * (n + 1)


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
    host = Machine(memory_mib=64).host
    before = None
    for _ in range(3):
        guest = host.guest(ram_mib=4, vcpus=2)
        enable_enlightenments(guest)
        guest.vcpus[0].wrmsr(tlfs.SIMP, PAGE_M | 1)
        guest.destroy()
        used = host.memory._next
        assert before in (None, used)
        before = used
