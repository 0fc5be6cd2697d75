"""Guests that know their hypervisor, with a SynIC ready to use, for tests of its MSRs and messages."""

from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.modes import one_guest

PAGE_H, PAGE_M, PAGE_E, INPUT = 0x10_0000, 0x10_1000, 0x10_2000, 0x10_3000
VECTOR = 0xF3


def machine(vcpus=1, **host):
    guest = one_guest(ram_mib=4, vcpus=vcpus, **host).guest
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
