"""What CPUID says of the processor itself, to guests whose instructions are machine code: a small 64-bit one of AMD's.

    be_processor(guest)

It is QEMU's qemu64, which Unicorn is, and SSE up to 4.2 with it.  What is not there costs nothing to say: no XSAVE, no SMEP,
SMAP, MTRRs or machine checks, and no leaf that would describe them.  What the hypervisor adds, from 40000000h on, is
`hyperv.features`'.

Sources: AMD64 Architecture Programmer's Manual vol. 3 (24594), appendix E; Intel SDM vol. 2, CPUID; QEMU target/i386/cpu.c, "qemu64".
"""

from vmio.hypervisor.guest import Guest, text_registers

Registers = tuple[int, int, int, int]        # EAX, EBX, ECX, EDX
VENDOR, NAME = "AuthenticAMD", "vmio virtual processor"
SIGNATURE = 0x663                            # family 6, model 6, stepping 3
CACHE_LINE = 8                               # in 8 bytes
PHYSICAL_BITS, LINEAR_BITS = 40, 48

# Leaf 1.
ECX_1 = {"SSE3": 0, "SSSE3": 9, "CMPXCHG16B": 13, "SSE4.1": 19, "SSE4.2": 20, "POPCNT": 23, "hypervisor": 31}
EDX_1 = {"FPU": 0, "DE": 2, "PSE": 3, "TSC": 4, "MSR": 5, "PAE": 6, "CMPXCHG8B": 8, "SYSENTER": 11, "PGE": 13, "CMOV": 15, "PAT": 16,
         "PSE36": 17, "CLFLUSH": 19, "MMX": 23, "FXSR": 24, "SSE": 25, "SSE2": 26}
LOCAL_APIC = 1 << 9                          # EDX
# Leaf 80000001h.
ECX_8 = {"LAHF": 0}
EDX_8 = {"SYSCALL": 11, "NX": 20, "LONG MODE": 29}
INVARIANT_TSC = 1 << 8                       # EDX of 80000007h


def mask(bits: dict[str, int]) -> int:
    """Return the word with these bits set."""
    return sum(1 << at for at in bits.values())


def leaves(local_apic: bool = True, apic_id: int = 0) -> dict[int, Registers]:
    """Return {leaf: registers} of the processor; `local_apic`: its page of registers is there."""
    ebx, edx, ecx = text_registers(VENDOR)
    name = NAME.encode().ljust(48, b"\0")
    words = [int.from_bytes(name[at:at + 4], "little") for at in range(0, 48, 4)]
    return {0: (1, ebx, ecx, edx),
            1: (SIGNATURE, apic_id << 24 | CACHE_LINE << 8, mask(ECX_1), mask(EDX_1) | (LOCAL_APIC if local_apic else 0)),
            0x8000_0000: (0x8000_0008, ebx, ecx, edx),
            0x8000_0001: (SIGNATURE, 0, mask(ECX_8), mask(EDX_8)),
            **{0x8000_0002 + n: (words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3]) for n in range(3)},
            0x8000_0007: (0, 0, 0, INVARIANT_TSC),
            0x8000_0008: (LINEAR_BITS << 8 | PHYSICAL_BITS, 0, 0, 0)}


def be_processor(guest: Guest, local_apic: bool = True) -> None:
    """Let CPUID tell `guest` of this processor; what the hypervisor has said already, it says still."""
    guest.cpuid_leaves = leaves(local_apic) | guest.cpuid_leaves
