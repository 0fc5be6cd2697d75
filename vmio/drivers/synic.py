"""A guest's use of the hypervisor: who are you, here I am, hypercalls, and the interrupt that carries messages.

The order of accesses is Linux's: arch/x86/kernel/cpu/mshyperv.c,
arch/x86/hyperv/hv_init.c, drivers/hv/hv.c (hv_synic_enable_regs), and for the
interrupt drivers/hv/vmbus_drv.c (vmbus_isr).
"""

from collections.abc import Callable
from typing import NamedTuple

from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Cpu
from vmio.hypervisor.hyperv import tlfs

VECTOR = 0xF3                    # Linux's HYPERVISOR_CALLBACK_VECTOR
OS_ID = 0x8100 << 48 | 6 << 32 | 8 << 24  # open source, Linux, 6.8.0: as Linux would say it
SINT = 2
_NEEDED = tlfs.SYNIC_BIT | tlfs.HYPERCALL_BIT | tlfs.VP_INDEX_BIT
_CALLS = tlfs.POST_MESSAGES_BIT | tlfs.SIGNAL_EVENTS_BIT


class Found(NamedTuple):
    """What CPUID says of the hypervisor: its hints (40000004h EAX), and the kind of isolation of this guest (4000000Ch EBX), 0 for none."""

    hints: int
    isolation: int


def detect(cpu: Cpu) -> Found:
    """Is there a Hyper-V that offers what VMBus needs?  What it says of itself, or `DriverError`."""
    if not cpu.cpuid(1)[2] >> 31:
        raise DriverError("no hypervisor")
    highest, *name = cpu.cpuid(0x4000_0000)
    if highest < 0x4000_0005 or b"".join(r.to_bytes(4, "little") for r in name) != b"Microsoft Hv":
        raise DriverError("not Hyper-V's interface")
    msrs, calls, _, _ = cpu.cpuid(0x4000_0003)
    if msrs & _NEEDED != _NEEDED or calls & _CALLS != _CALLS:
        raise DriverError(f"privileges {msrs:#x} {calls:#x}: SynIC or hypercalls are missing")
    isolation = cpu.cpuid(tlfs.ISOLATION_LEAF)[1] & tlfs.ISOLATION_TYPE if calls & tlfs.ISOLATION_BIT else 0
    return Found(cpu.cpuid(0x4000_0004)[0], isolation)


def enable_hypercalls(cpu: Cpu, page: int) -> None:
    """Say who we are, and show the hypercall page at `page` (a guest-physical address)."""
    cpu.wrmsr(tlfs.GUEST_OS_ID, OS_ID)
    cpu.wrmsr(tlfs.HYPERCALL, cpu.rdmsr(tlfs.HYPERCALL) & ~tlfs.PAGE_MASK | page | tlfs.ENABLE)
    if not cpu.rdmsr(tlfs.HYPERCALL) & tlfs.ENABLE:
        raise DriverError("the hypervisor does not enable the hypercall page")


def disable_hypercalls(cpu: Cpu) -> None:
    """The reverse."""
    cpu.wrmsr(tlfs.GUEST_OS_ID, 0)
    cpu.wrmsr(tlfs.HYPERCALL, 0)


class EndOfInterrupt:
    """How this guest's vCPUs tell their APICs that an interrupt is over: `eoi(cpu)`.

    By the architecture's MSR; if the hypervisor (`hints`) would rather have its own, by that, and not at all
    where the vCPU's assist page says so.  Linux: arch/x86/hyperv/hv_apic.c, hv_apic_eoi_write.
    """

    def __init__(self, hints: int, pages: GuestPages | None) -> None:
        self._synthetic = bool(hints & tlfs.APIC_MSRS_HINT)
        self._pages = pages               # only synthetic ends of interrupt take some
        self._assist: dict[int, int] = {}   # vCPU number -> its assist page

    def add_cpu(self, cpu: Cpu) -> None:
        """Show a vCPU's assist page, if it is of any use."""
        if self._synthetic and self._pages is not None and cpu.index not in self._assist:
            page = self._assist[cpu.index] = self._pages.take()
            cpu.wrmsr(tlfs.VP_ASSIST_PAGE, page | tlfs.ENABLE)

    def remove_cpu(self, cpu: Cpu) -> None:
        """Take the assist page away; it is plain RAM again."""
        if self._assist.pop(cpu.index, None) is not None:
            cpu.wrmsr(tlfs.VP_ASSIST_PAGE, 0)

    def __call__(self, cpu: Cpu) -> None:
        """End the interrupt that is in service."""
        page = self._assist.get(cpu.index)
        if page is None:
            cpu.wrmsr(tlfs.EOI if self._synthetic else X2APIC_EOI, 0)
        elif cpu.load(page, 4) & 1:
            cpu.store(page, 4, 0)      # no instruction of ours exits between: test-and-clear
        else:
            cpu.wrmsr(tlfs.EOI, 0)


class GuestSynic:
    """One vCPU's SynIC: `event(cpu, flag)` and `message(type, payload)` are called inside the interrupt."""

    def __init__(self, cpu: Cpu, messages: int, flags: int, hints: int, event: Callable[..., None], message: Callable[..., None],
                 eoi: EndOfInterrupt) -> None:
        self.cpu = cpu
        self._slot, self._flags = messages + tlfs.SLOT * SINT, flags + tlfs.SLOT * SINT
        self._event, self._message, self._eoi = event, message, eoi
        self.on_timer: Callable[..., None] | None = None      # function(cpu) for the expiration of this vCPU's synthetic timer
        self.flag_bytes = 8       # how much of the 256 bytes of flags is in use: grows with the highest relid
        self._auto_eoi = not hints & tlfs.NO_AUTO_EOI_HINT
        cpu.on_interrupt(VECTOR, self._interrupt)
        cpu.wrmsr(tlfs.SIMP, cpu.rdmsr(tlfs.SIMP) & ~tlfs.PAGE_MASK | messages | tlfs.ENABLE)
        cpu.wrmsr(tlfs.SIEFP, cpu.rdmsr(tlfs.SIEFP) & ~tlfs.PAGE_MASK | flags | tlfs.ENABLE)
        cpu.rdmsr(tlfs.SINT0 + SINT)
        cpu.wrmsr(tlfs.SINT0 + SINT, VECTOR | (tlfs.AUTO_EOI if self._auto_eoi else 0))
        cpu.wrmsr(tlfs.SCONTROL, cpu.rdmsr(tlfs.SCONTROL) | tlfs.ENABLE)

    def disable(self) -> None:
        """Masked and off; the pages are plain RAM again."""
        cpu = self.cpu
        cpu.wrmsr(tlfs.SINT0 + SINT, cpu.rdmsr(tlfs.SINT0 + SINT) | tlfs.MASKED)
        for msr in (tlfs.SIMP, tlfs.SIEFP, tlfs.SCONTROL):
            cpu.wrmsr(msr, cpu.rdmsr(msr) & ~tlfs.ENABLE)

    def _interrupt(self, cpu: Cpu) -> None:
        """First the event flags, then the message slot, then the end of interrupt."""
        flags = int.from_bytes(cpu.read(self._flags, self.flag_bytes), "little")
        if flags:
            cpu.write(self._flags, bytes(self.flag_bytes))   # no instruction of ours exits between: test-and-clear
            while flags:
                low = flags & -flags
                flags ^= low
                self._event(cpu, low.bit_length() - 1)
        kind = cpu.load(self._slot, 4)
        if kind:
            self._take_message(cpu, kind)
        if not self._auto_eoi:
            self._eoi(cpu)

    def _take_message(self, cpu: Cpu, kind: int) -> None:
        """Copy what is behind the type that we have seen, free the slot, *then* look whether more is waiting, and ask for it."""
        message = tlfs.MESSAGE.parse(kind.to_bytes(4, "little") + cpu.read(self._slot + 4, tlfs.SLOT - 4))
        cpu.store(self._slot, 4, 0)
        if cpu.load(self._slot + 5, 1) & tlfs.MESSAGE_PENDING:
            cpu.wrmsr(tlfs.EOM, 0)
        if message.message_type == tlfs.TIMER_EXPIRED and self.on_timer is not None:
            self.on_timer(cpu)
        else:
            self._message(message.message_type, message.payload[:message.size])
