"""A guest's clock and timer where there is a Hyper-V: it reads the time without an exit, and arming a timer is one.

    clock = ReferenceClock(cpu, pages)
    clock.now(cpu)                          100 ns units since the guest was made
    timer = HvTimer(cpu, clock)
    yield from timer.sleep(50_000)          ns: one WRMSR, one HLT

The order of accesses is Linux's: drivers/clocksource/hyperv_timer.c (hv_init_tsc_clocksource,
hv_read_tsc_page, hv_ce_set_oneshot, hv_ce_set_next_event, hv_ce_shutdown).
"""

from collections.abc import Callable

from vmio.drivers import synic
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.vcpu import VCpu

VECTOR = 0xED              # Linux's HYPERV_STIMER0_VECTOR
CONFIG, COUNT = tlfs.STIMER0_CONFIG, tlfs.STIMER0_CONFIG + 1


class ReferenceClock:
    """The guest's reference time, for all its vCPUs: from the reference TSC page, or by an MSR where there is none."""

    def __init__(self, cpu: VCpu, pages: GuestPages) -> None:
        privileges = cpu.cpuid(0x4000_0003)[0]
        self.page: int | None = None
        if privileges & tlfs.REFERENCE_TSC_BIT:
            self.page = pages.take()
            cpu.wrmsr(tlfs.REFERENCE_TSC, cpu.rdmsr(tlfs.REFERENCE_TSC) & ~tlfs.PAGE_MASK | self.page | tlfs.ENABLE)
        elif not privileges & tlfs.TIME_COUNT_BIT:
            raise DriverError(f"privileges {privileges:#x}: neither the reference TSC page nor the reference counter")

    def now(self, cpu: VCpu) -> int:
        """Return the reference time in units of 100 ns: no exit, unless the page says that it is not reliable."""
        while self.page is not None:
            page = tlfs.TSC_PAGE.parse(cpu.read(self.page, tlfs.TSC_PAGE.size))
            if not page.sequence:
                break
            time = (cpu.rdtsc() * page.scale >> 64) + page.offset
            if cpu.load(self.page, 4) == page.sequence:
                return time
        return cpu.rdmsr(tlfs.TIME_REF_COUNT)

    def disable(self, cpu: VCpu) -> None:
        """Take the page away; it is plain RAM again."""
        if self.page is not None:
            cpu.wrmsr(tlfs.REFERENCE_TSC, cpu.rdmsr(tlfs.REFERENCE_TSC) & ~tlfs.ENABLE)
            self.page = None


class HvTimer:
    """One vCPU's synthetic timer 0, one-shot: `start(ns, handler)`, or `yield from sleep(ns)`.

    It interrupts by itself where CPUID offers that, else by a message in the slot of SINT 2, for
    which `guest_synic` (a `GuestSynic` of this vCPU) listens.  `eoi` is the guest's `EndOfInterrupt`, if it has one.
    """

    def __init__(self, cpu: VCpu, clock: ReferenceClock, guest_synic: synic.GuestSynic | None = None,
                 eoi: synic.EndOfInterrupt | None = None) -> None:
        privileges, _, _, features = cpu.cpuid(0x4000_0003)
        if not privileges & tlfs.STIMER_BIT:
            raise DriverError(f"privileges {privileges:#x}: no synthetic timers")
        self.cpu, self.clock = cpu, clock
        self.fired = 0
        self._handler: Callable[[VCpu], None] | None = None
        self._eoi = eoi or synic.EndOfInterrupt(cpu.cpuid(0x4000_0004)[0], None)
        config = tlfs.ENABLE | tlfs.AUTO_ENABLE
        if features & tlfs.HAS_DIRECT_TIMERS:
            cpu.on_interrupt(VECTOR, self._interrupt)
            config |= tlfs.DIRECT | VECTOR << tlfs.STIMER_VECTOR
        elif guest_synic is not None:
            guest_synic.on_timer = self._expired
            config |= synic.SINT << tlfs.STIMER_SINT
        else:
            raise DriverError("synthetic timers only send messages here: who waits for them?")
        cpu.wrmsr(CONFIG, config)

    def start(self, ns: int, handler: Callable[[VCpu], None] | None = None) -> None:
        """Expire in `ns` (rounded up to 100 ns) and call `handler(cpu)` in the interrupt.  One exit."""
        self._handler = handler
        self.cpu.wrmsr(COUNT, self.clock.now(self.cpu) + max(1, -(-ns // 100)))

    def sleep(self, ns: int) -> Steps[None]:
        """Halt for `ns`; other interrupts are taken meanwhile.  Two exits: arm, and HLT."""
        seen = self.fired
        self.start(ns)
        while self.fired == seen:
            yield from self.cpu.hlt()

    def stop(self) -> None:
        """Shut it off, as Linux does it: two exits."""
        self.cpu.wrmsr(COUNT, 0)
        self.cpu.wrmsr(CONFIG, 0)

    def _interrupt(self, cpu: VCpu) -> None:
        self._expired(cpu)
        self._eoi(cpu)

    def _expired(self, cpu: VCpu) -> None:
        self.fired += 1
        if self._handler is not None:
            self._handler(cpu)
