"""CPUID of a guest whose instructions are machine code: leaves as AMD's and Intel's manuals number their bits."""

from vmio.hypervisor.cpuid import be_processor, leaves
from vmio.hypervisor.guest import TSC_HZ
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.modes import one_guest


def text(*registers):
    return b"".join(value.to_bytes(4, "little") for value in registers)


def test_who_it_is():
    found = leaves()
    for leaf, most in ((0, 1), (0x8000_0000, 0x8000_0008)):
        eax, ebx, ecx, edx = found[leaf]
        assert eax == most and text(ebx, edx, ecx) == b"AuthenticAMD"
    assert text(*found[0x8000_0002], *found[0x8000_0003], *found[0x8000_0004]).rstrip(b"\0") == b"vmio virtual processor"
    eax = found[1][0]
    assert (eax >> 8 & 15, eax >> 4 & 15, eax & 15) == (6, 6, 3) and found[0x8000_0001][0] == eax


def test_what_it_can():
    found = leaves()
    assert found[1] == (0x663, 0x800, 0x8098_2201, 0x078B_AB7D)
    assert found[0x8000_0001][1:] == (0, 1, 1 << 11 | 1 << 20 | 1 << 29)
    assert found[0x8000_0007] == (0, 0, 0, 1 << 8) and found[0x8000_0008] == (0x3028, 0, 0, 0)


def test_what_it_can_not():
    _, _, ecx, edx = leaves()[1]
    for bit in (21, 24, 26, 27, 28):          # x2APIC, TSC deadline, XSAVE, OSXSAVE, AVX
        assert not ecx >> bit & 1
    for bit in (7, 12, 14):                   # machine checks, MTRRs, their architecture
        assert not edx >> bit & 1


def test_with_and_without_a_local_apic():
    assert leaves()[1][3] >> 9 & 1 and not leaves(local_apic=False)[1][3] >> 9 & 1
    assert leaves(apic_id=3)[1][1] == 3 << 24 | 0x800


def test_what_the_hypervisor_says_stays():
    guest = one_guest(ram_mib=1).guest
    enable_enlightenments(guest)
    before = {leaf: registers for leaf, registers in guest.cpuid_leaves.items()}
    be_processor(guest)
    assert guest.cpuid(1)[2] >> 31 == 1 and guest.cpuid(0x4000_0000)[0] == 0x4000_0006 and guest.cpuid(7) == (0, 0, 0, 0)
    assert all(guest.cpuid_leaves[leaf] == registers for leaf, registers in before.items())
    assert guest.cpuid(0x8000_0007) == (0, 0, 0, 0)       # the guest must ask for an invariant TSC


def test_what_linux_wants_of_the_hypervisor_is_there():
    """Reference time, frequencies, SynIC, timers: their bits, and their MSRs (TLFS, "Feature and Interface Discovery")."""
    guest = one_guest(ram_mib=1).guest
    enable_enlightenments(guest)
    be_processor(guest)
    eax, ebx, _, edx = guest.cpuid(0x4000_0003)
    assert eax & 0xA7E == 0xA7E and ebx & 0x30 == 0x30 and edx >> 8 & 1 and edx >> 19 & 1
    assert guest.cpu.rdmsr(0x4000_0022) == TSC_HZ and guest.cpu.rdmsr(0x4000_0023) == 1_000_000_000
    guest.cpu.wrmsr(0x4000_0021, 0x1001)
    assert int.from_bytes(guest.memory.read(0x1000, 4), "little") == 1
    guest.cpu.wrmsr(0x4000_0073, 0x2001)
    assert guest.cpu.rdmsr(0x4000_0073) == 0x2001
