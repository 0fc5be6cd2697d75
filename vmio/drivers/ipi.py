"""One vCPU wakes another: an interprocessor interrupt whose handler does nothing, for its HLT has ended by then.

Linux: smp_send_reschedule and RESCHEDULE_VECTOR (arch/x86/include/asm/irq_vectors.h).  The write is
an exit on either kind of host: a virtualized APIC, too, leaves interrupts for other vCPUs to the
hypervisor, unless it has IPI virtualization (SDM vol. 3C, "Virtualizing MSR-Based APIC Accesses").
"""

from collections.abc import Callable

from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.vcpu import VCpu

VECTOR = 0xFD


def accept(cpu: VCpu, eoi: Callable[[VCpu], None]) -> None:
    """Let others wake `cpu`; `eoi(cpu)` ends the interrupt."""
    cpu.on_interrupt(VECTOR, eoi)


def wake(cpu: VCpu, other: VCpu) -> None:
    """`cpu` ends the sleep of `other`: one WRMSR.  Nothing for itself, for it is awake."""
    if other.index != cpu.index:
        cpu.wrmsr(tlfs.ICR, other.index << 56 | VECTOR)
