"""What CPUID announces is there, and what it doesn't is #GP; the reference TSC page; the invariant TSC."""

import pytest

from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.modes import Machine, one_guest

PAGE = 0x10_5000
# MSRs by the bit of CPUID 40000003h EAX that announces them: TLFS, HV_PARTITION_PRIVILEGE_MASK, and (bit 15) Linux hvgdk_mini.h.
MSRS = {1: [0x4000_0020], 2: [*range(0x4000_0080, 0x4000_0085), *range(0x4000_0090, 0x4000_00A0)],
        3: [*range(0x4000_00B0, 0x4000_00B8)], 4: [0x4000_0070, 0x4000_0071, 0x4000_0072],
        5: [0x4000_0000, 0x4000_0001], 6: [0x4000_0002], 9: [0x4000_0021], 11: [0x4000_0022, 0x4000_0023], 15: [0x4000_0118]}
NEVER = {0: [0x4000_0010], 7: [0x4000_0003], 8: [0x4000_00E0, 0x4000_00E1], 10: [0x4000_00F0], 13: [0x4000_0106, 0x4000_0107, 0x4000_0108]}
WRITE_ONLY, ALWAYS = 0x4000_0070, 0x4000_0073


def machine(privileges=tlfs.PRIVILEGES, **host):
    guest = one_guest(ram_mib=4, vcpus=2, **host).guest
    return guest.cpu, enable_enlightenments(guest, privileges=privileges)


def answers(cpu, msr):
    """Does the MSR exist: does reading or, if it is for writing alone, writing it get by without #GP?"""
    try:
        if msr == WRITE_ONLY:
            cpu.wrmsr(msr, 0)
        else:
            cpu.rdmsr(msr)
    except GuestFault as fault:
        assert "#GP" in str(fault)
        return False
    return True


def test_every_msr_that_is_announced_is_there_and_no_other():
    cpu, _ = machine()
    announced = cpu.cpuid(0x4000_0003)[0]
    assert announced == sum(1 << bit for bit in MSRS) == 0x8A7E
    there = {msr for bit in MSRS for msr in MSRS[bit]} | {ALWAYS}
    assert not there & {msr for bit in NEVER for msr in NEVER[bit]}
    assert {msr for msr in range(0x4000_0000, 0x4000_0200) if answers(cpu, msr)} == there
    for msr in range(0x4000_0000, 0x4000_0200):
        if msr not in there:
            with pytest.raises(GuestFault, match="#GP"):
                cpu.wrmsr(msr, 0)


@pytest.mark.parametrize("bit", MSRS)
def test_a_privilege_that_is_withheld_takes_its_msrs_along(bit):
    cpu, _ = machine(tlfs.PRIVILEGES & ~(1 << bit))
    assert cpu.cpuid(0x4000_0003)[0] == 0x8A7E & ~(1 << bit)
    for other in MSRS:
        for msr in MSRS[other]:
            assert answers(cpu, msr) == (other != bit), hex(msr)
    for msr in MSRS[bit]:
        with pytest.raises(GuestFault, match="#GP"):
            cpu.wrmsr(msr, 0)
    assert answers(cpu, ALWAYS)


@pytest.mark.parametrize("bit, features", [(11, 1 << 8), (2, 1 << 17), (5, 1 << 18), (3, 1 << 19)])
def test_features_go_with_their_privilege(bit, features):
    """EDX: frequencies, SINT polling, the hypercall page's lock, direct timers; their tests are with what they do."""
    whole = 1 << 8 | 1 << 17 | 1 << 18 | 1 << 19
    assert machine()[0].cpuid(0x4000_0003)[3] == whole
    assert machine(tlfs.PRIVILEGES & ~(1 << bit))[0].cpuid(0x4000_0003)[3] == whole & ~features


@pytest.mark.parametrize("bit, code", [(4, 0x5C), (5, 0x1005D)])
def test_a_hypercall_without_its_privilege_is_denied(bit, code):
    for privileges, status in ((tlfs.PRIVILEGES, 0x12), (tlfs.PRIVILEGES & ~(1 << 32 + bit), 0x06)):
        cpu, _ = machine(privileges)
        cpu.wrmsr(tlfs.GUEST_OS_ID, 1)
        cpu.wrmsr(tlfs.HYPERCALL, 0x10_0001)
        cpu.write(0x10_3000, tlfs.POST_INPUT.pack(connection_id=1, message_type=1, size=1, payload=bytes(240)))
        assert cpu.cpuid(0x4000_0003)[1] >> bit & 1 == (status == 0x12)
        assert cpu.hypercall(code, 0x10_3000) == status


def test_privileges_that_nothing_stands_behind_are_refused():
    with pytest.raises(ValueError, match="privileges 0x1000001: 0x1000001 is not there"):
        machine(1 << 24 | 1)


def test_apic_msrs_are_not_recommended_where_they_are_not():
    assert machine(apic="emulated")[0].cpuid(0x4000_0004)[0] & 1 << 3
    assert not machine(tlfs.PRIVILEGES & ~tlfs.APIC_BIT, apic="emulated")[0].cpuid(0x4000_0004)[0] & 1 << 3


def test_a_guest_that_is_not_enlightened_is_told_of_the_two_msrs_that_it_has():
    cpu = one_guest(ram_mib=4).guest.cpu
    assert cpu.cpuid(0x4000_0003) == (1 << 1 | 1 << 6, 0, 0, 0)
    assert {msr for msr in range(0x4000_0000, 0x4000_0200) if answers(cpu, msr)} == {0x4000_0020, 0x4000_0002}


# The reference time, without an exit.

def by_page(cpu, at=PAGE):
    """The formula of the TLFS over the bytes of the page."""
    scale, offset = int.from_bytes(cpu.read(at + 8, 8), "little"), int.from_bytes(cpu.read(at + 16, 8), "little", signed=True)
    return (cpu.rdtsc() * scale >> 64) + offset


def test_the_reference_tsc_page():
    cpu, hv = machine()
    cpu.write(PAGE, b"mine")
    assert cpu.rdmsr(0x4000_0021) == 0 and cpu.read(PAGE, 4) == b"mine"
    cpu.wrmsr(0x4000_0021, PAGE | 0xABE | 1)                  # bits 11:1 are kept
    assert cpu.rdmsr(0x4000_0021) == cpu.guest.vcpus[1].rdmsr(0x4000_0021) == PAGE | 0xABF
    hz = cpu.rdmsr(0x4000_0022)
    assert cpu.read(PAGE, 24) == bytes.fromhex("01000000 00000000") + ((10**7 << 64) // hz).to_bytes(8, "little") + bytes(8)
    assert cpu.read(PAGE + 24, 4072) == bytes(4072)
    before = cpu.exits.total
    for n in range(1_000):
        cpu.compute(37 * n + 1)
        assert by_page(cpu) == cpu.now // 100
    assert cpu.exits.total == before
    assert cpu.rdmsr(0x4000_0020) == cpu.now // 100 == by_page(cpu) and cpu.exits.total == before + 1
    cpu.store(PAGE, 4, 99)                                    # read-only: an exit, and nothing changes
    assert cpu.exits.by_reason()["EPT_VIOLATION"] == 1 and cpu.load(PAGE, 4) == 1


def test_the_page_moves_goes_and_comes_back_with_a_new_sequence():
    cpu, hv = machine()
    cpu.write(PAGE, b"mine")
    cpu.wrmsr(0x4000_0021, PAGE | 1)
    cpu.wrmsr(0x4000_0021, PAGE | 3)
    assert cpu.load(PAGE, 4) == 1                             # the same page: nothing to say
    cpu.wrmsr(0x4000_0021, PAGE + 4096 | 1)
    assert cpu.load(PAGE + 4096, 4) == 2 and cpu.read(PAGE, 4) == b"mine"
    cpu.wrmsr(0x4000_0021, 0)
    assert cpu.load(PAGE + 4096, 4) == 0
    hv.reference.sequence = 0xFFFF_FFFF
    cpu.wrmsr(0x4000_0021, PAGE | 1)
    assert cpu.load(PAGE, 4) == 1                             # never 0
    for beyond in (4 << 20 | 1, 1 << 63 | 1):
        with pytest.raises(GuestFault, match="#GP, reference TSC page"):
            cpu.wrmsr(0x4000_0021, beyond)
    assert cpu.rdmsr(0x4000_0021) == PAGE | 1
    hv.reset()
    assert cpu.rdmsr(0x4000_0021) == 0 and cpu.read(PAGE, 4) == b"mine" and not hv.overlays.covers(PAGE)


def test_no_memory_for_the_page_is_a_fault_of_the_guest():
    cpu, _ = machine()
    memory = cpu.guest.host.memory
    while memory.free_pages:
        memory.allocate(1)
    with pytest.raises(GuestFault, match="#GP, reference TSC page: host memory"):
        cpu.wrmsr(0x4000_0021, PAGE | 1)
    assert cpu.rdmsr(0x4000_0021) == 0


def test_time_begins_when_the_guest_is_made():
    """TLFS, "Reference Counter": 0 at creation, whatever the host's time; so does the TSC."""
    host = Machine(memory_mib=64).host
    host.env.run(until=123_456_789)
    cpu = host.guest(ram_mib=4).cpu
    enable_enlightenments(cpu.guest)
    assert cpu.rdtsc() == 0
    cpu.compute(1_000_000)
    assert cpu.rdtsc() == 2_560_000
    cpu.wrmsr(0x4000_0021, PAGE | 1)
    assert cpu.rdmsr(0x4000_0020) == (cpu.now - 123_456_789) // 100 == by_page(cpu)


def test_frequencies_are_read_only():
    cpu, _ = machine()
    assert (cpu.rdmsr(0x4000_0022), cpu.rdmsr(0x4000_0023)) == (2_560_000_000, 1_000_000_000)
    for msr in (0x4000_0022, 0x4000_0023):
        with pytest.raises(GuestFault, match="#GP"):
            cpu.wrmsr(msr, 1)


def test_the_invariant_tsc_is_shown_to_who_asks_for_it():
    """Linux: ms_hyperv_init_platform sets bit 0, and then CPUID 80000007h has bit 8; KVM lets nobody take it back."""
    cpu, hv = machine()
    assert cpu.cpuid(0x8000_0000)[0] == 0x8000_0007 and cpu.cpuid(1)[3] & 1 << 4
    assert cpu.cpuid(0x8000_0007)[3] == 0 and cpu.rdmsr(0x4000_0118) == 0
    cpu.wrmsr(0x4000_0118, 0)
    for value in (2, 3, 1 << 63):
        with pytest.raises(GuestFault, match="#GP, TSC_INVARIANT_CONTROL"):
            cpu.wrmsr(0x4000_0118, value)
    cpu.wrmsr(0x4000_0118, 1)
    assert cpu.rdmsr(0x4000_0118) == 1 and cpu.guest.vcpus[1].cpuid(0x8000_0007)[3] == 1 << 8
    with pytest.raises(GuestFault, match="#GP, TSC_INVARIANT_CONTROL"):
        cpu.wrmsr(0x4000_0118, 0)
    hv.reset()
    assert cpu.rdmsr(0x4000_0118) == 0 and cpu.cpuid(0x8000_0007)[3] == 0
    assert machine(tlfs.PRIVILEGES & ~(1 << 15))[0].cpuid(0x8000_0007)[3] == 1 << 8     # nobody to ask


def test_an_x2apic_eoi_that_exits_brings_the_next_message():
    """TLFS, "Messages": the end of interrupt by the APIC's register makes the hypervisor look into its queues."""
    cpu, hv = machine(apic="emulated")
    seen = []

    def handler(cpu):
        seen.append(cpu.load(PAGE + 512 + 16, 1))
        cpu.store(PAGE + 512, 4, 0)
        cpu.wrmsr(0x80B, 0)                                   # and no EOM
    cpu.on_interrupt(0xF3, handler)
    for msr, value in ((tlfs.SIMP, PAGE | 1), (tlfs.SINT0 + 2, 0xF3), (tlfs.SCONTROL, 1)):
        cpu.wrmsr(msr, value)
    hv.synics[0].post(2, 1, b"\x01")
    hv.synics[0].post(2, 1, b"\x02")
    cpu.attend()
    assert seen == [1, 2]
