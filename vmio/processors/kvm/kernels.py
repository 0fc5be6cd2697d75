"""Can a kernel run on this host's /dev/kvm?  Found out by ring 0: the instruction that a nested or interpreting host may lack.

Where a processor's own virtualization is at hand, ring 0 is as fast as ring 3, and this instruction is one of many. Some hosts
interpret a guest's ring 0 instead, and an interpreter that doesn't know it ends the guest with KVM_EXIT_INTERNAL_ERROR.  Linux
for 64-bit processors needs it wherever CPUID says that it is there: its allocator changes two words at once (mm/slub.c).
"""

from vmio.processors.kvm import longmode
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.guest import DATA, DONE_PORT, Guest
from vmio.processors.kvm.probe import usable
from vmio.processors.kvm.vcpu import End

KERNEL_CODE, KERNEL_DATA = 0x08, 0x10      # selectors; who enters the guest says what they mean
NOT_BUILT = "vmio boots kernels on Unicorn only, which counts the same exits everywhere; a boot on /dev/kvm isn't built"


# RDX:RAX = 0, RCX:RBX = 2:1, ESI = DATA; LOCK CMPXCHG16B [RSI]: 16 bytes of zeros become 1 and 2.
EXCHANGE = bytes.fromhex("31c0 31d2 bb01000000 b902000000 be") + DATA.to_bytes(4, "little") + bytes.fromhex("f0480fc70e")


def kernels(path: str | None = None, program: bytes = EXCHANGE) -> tuple[bool, str]:
    """Return (True, "") where ring 0 of a guest of KVM runs what Linux needs, or (False, one sentence that says why not)."""
    works, why = usable(path)
    if not works:
        return False, why
    with Guest(device=path) as guest:
        guest.load(Code().raw(program))
        longmode.enter_user_mode(guest.vcpu)
        sregs = guest.vcpu.special_registers()
        for segment, selector in ((sregs.cs, KERNEL_CODE), (sregs.ss, KERNEL_DATA)):
            segment.dpl, segment.selector = 0, selector
        guest.vcpu.set_special_registers(sregs)
        run = guest.vcpu.run(done_port=DONE_PORT)
        done = run.end is End.DONE and guest.ram.read(DATA, 16) == (1).to_bytes(8, "little") + (2).to_bytes(8, "little")
    if run.end is End.NOT_EMULATED:
        return False, ("this host's KVM interprets a guest's ring 0 and doesn't know LOCK CMPXCHG16B, which Linux needs "
                       "(KVM_EXIT_INTERNAL_ERROR)")
    return (True, "") if done else (False, f"LOCK CMPXCHG16B in ring 0 of a guest of this host's KVM ended otherwise than it must: {run}")
