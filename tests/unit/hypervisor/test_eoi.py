"""Ends of interrupt: the VP assist page, EOI assist, what exits with and without a virtualized APIC; ICR and TPR."""

import pytest

from tests.synic_rig import PAGE_E, PAGE_M, machine, ready
from vmio.drivers import synic
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.modes import one_guest

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
    hints, pages = synic.detect(cpu).hints, GuestPages(0x20_0000, 0x21_0000)
    synic.GuestSynic(cpu, PAGE_M, PAGE_E, hints, lambda cpu, flag: None, lambda *_: None, synic.EndOfInterrupt(hints, pages))
    before = cpu.exits.by_reason()
    hv.synics[0].signal(2, 7)
    cpu.interrupted()
    assert cpu.exits.by_reason() - before == exits and cpu.apic.isr == 0 and cpu.interrupts == 1


# EOI assist: TLFS, "EOI Assist".

def assisted(vector=0x40, handler=lambda cpu: None, **host):
    """A guest whose vectors 40h to 43h run `handler` and then end the interrupt as the driver does."""
    cpu, hv = machine(**host)
    eoi = synic.EndOfInterrupt(synic.detect(cpu).hints, GuestPages(0x20_0000, 0x21_0000))
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
    guest = one_guest(name="g", ram_mib=4, apic=apic).guest
    enable_enlightenments(guest, auto_eoi)
    assert guest.cpuid(0x4000_0004)[0] == hints
