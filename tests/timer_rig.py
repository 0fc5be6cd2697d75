"""A guest with its SynIC on, whose interrupts are written down, and its synthetic timers, for tests of these."""

from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.modes import one_guest

PAGE_M, SINT, VECTOR, OWN = 0x10_1000, 3, 0xF3, 0xED
CONFIG, COUNT = 0x4000_00B0, 0x4000_00B1
ENABLE, PERIODIC, LAZY, AUTO, DIRECT = 1, 2, 4, 8, 1 << 12
MESSAGES, OWN_VECTOR = SINT << 16, DIRECT | OWN << 4


def machine(vcpus=1, sint=VECTOR, **host):
    """A guest with its SynIC on; `hits` are (time in 100 ns, vector, the message of SINT 3 or None) of each interrupt."""
    guest = one_guest(ram_mib=4, vcpus=vcpus, **host).guest
    enable_enlightenments(guest)
    cpu, hits = guest.cpu, []

    def taken(vector):
        def handler(cpu):
            slot = PAGE_M + 256 * SINT
            record = tlfs.MESSAGE.parse(cpu.read(slot, 256)) if vector == VECTOR else None
            hits.append((guest.reference_time(cpu.now), vector, record))
            if record is not None:
                cpu.store(slot, 4, 0)
                if record.flags & 1:
                    cpu.wrmsr(tlfs.EOM, 0)
            cpu.wrmsr(0x80B, 0)
        return handler
    cpu.wrmsr(tlfs.SIMP, PAGE_M | 1)
    cpu.wrmsr(tlfs.SINT0 + SINT, sint)
    cpu.wrmsr(tlfs.SCONTROL, 1)
    for vector in (VECTOR, OWN):
        cpu.on_interrupt(vector, taken(vector))
    return cpu, hits


def arm(cpu, config, count, timer=0):
    cpu.wrmsr(CONFIG + 2 * timer, config)
    cpu.wrmsr(COUNT + 2 * timer, count)


def time(cpu):
    return cpu.guest.reference_time(cpu.now)
