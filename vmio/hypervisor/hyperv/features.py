"""What CPUID tells a guest of its hypervisor: privileges, features, advice - of what is there, and of nothing else.

Source: TLFS, "Feature and Interface Discovery" and HV_PARTITION_PRIVILEGE_MASK.
"""

from vmio.hypervisor.apic import VIRTUALIZED
from vmio.hypervisor.guest import Guest, text_registers
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.reftime import INVARIANT_LEAF

# A feature bit (EDX of 40000003h) goes with the privilege without which nobody could use it.
_FEATURES = {tlfs.HAS_FREQUENCIES: tlfs.FREQUENCIES_BIT, tlfs.HAS_SINT_POLLING: tlfs.SYNIC_BIT,
             tlfs.HAS_HYPERCALL_LOCK: tlfs.HYPERCALL_BIT, tlfs.HAS_DIRECT_TIMERS: tlfs.STIMER_BIT}


def check_privileges(privileges: int) -> int:
    """Return them; ValueError for bits of HV_PARTITION_PRIVILEGE_MASK that nothing stands behind."""
    if privileges & ~tlfs.PRIVILEGES:
        raise ValueError(f"privileges {privileges:#x}: {privileges & ~tlfs.PRIVILEGES:#x} is not there; a part of {tlfs.PRIVILEGES:#x}")
    return privileges


def leaves(guest: Guest, privileges: int, auto_eoi: bool) -> dict[int, tuple[int, int, int, int]]:
    """Return {leaf: (EAX, EBX, ECX, EDX)} of 40000000h to 40000006h, 4000000Ch in a confidential guest, 80000007h where the guest must ask for it.

    `auto_eoi`: SINTs are advised to end by themselves.
    """
    name = text_registers("Microsoft Hv")
    features = sum(bit for bit, privilege in _FEATURES.items() if privileges & privilege)
    hints = (tlfs.RELAXED_TIMING_HINT | (0 if auto_eoi else tlfs.NO_AUTO_EOI_HINT)
             | (tlfs.APIC_MSRS_HINT if guest.host.apic != VIRTUALIZED and privileges & tlfs.APIC_BIT else 0))
    vps = len(guest.vcpus)
    found = {0x4000_0000: (0x4000_0006, *name), 0x4000_0001: (tlfs.INTERFACE, 0, 0, 0), 0x4000_0002: (0, 0, 0, 0),
             0x4000_0003: (privileges & 0xFFFF_FFFF, privileges >> 32, 0, features),
             0x4000_0004: (hints, 0xFFFF_FFFF, 0, 0), 0x4000_0005: (vps, vps, 0, 0),
             0x4000_0006: (tlfs.SECOND_LEVEL_PAGING, 0, 0, 0)}
    if guest.isolation is not None:
        found[0x4000_0000] = (tlfs.ISOLATION_LEAF, *name)
        found[0x4000_0003] = (privileges & 0xFFFF_FFFF, privileges >> 32 | tlfs.ISOLATION_BIT, 0, features)
        bit = guest.isolation.boundary
        found[tlfs.ISOLATION_LEAF] = (tlfs.PARAVISOR, tlfs.SNP | (0 if bit is None else tlfs.BOUNDARY_ACTIVE | bit << tlfs.BOUNDARY_SHIFT), 0, 0)
    if privileges & tlfs.TSC_INVARIANT_BIT:
        found[INVARIANT_LEAF] = (0, 0, 0, 0)
    return found
