"""The page of registers of a vCPU's local APIC, with its timer; requests and priorities are `LocalApic`'s.

What is not there: delivery by logical destination to others, messages that are no fixed interrupts (NMI, INIT, SIPI), and
what LVT entries but the timer's wait for.  The registers of one vCPU are modelled: guests with a page have one.

Source: Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": table "Local APIC Register Address Map";
the limit of the periodic timer is that of KVM (Linux arch/x86/kvm/lapic.c, limit_periodic_timer_frequency).
"""

from collections.abc import Callable

from vmio.devices.pc.alarm import Alarm
from vmio.hypervisor.apic import VIRTUALIZED, LocalApic
from vmio.hypervisor.guest import Guest
from vmio.machine.bus import BadAccess, Bus
from vmio.machine.clock import Clock, Timers
from vmio.machine.contracts import State

BASE, BYTES = 0xFEE0_0000, 4096
ID, VERSION, TPR, APR, PPR, EOI = 0x20, 0x30, 0x80, 0x90, 0xA0, 0xB0
LOGICAL, FORMAT, SPURIOUS = 0xD0, 0xE0, 0xF0
ISR, TMR, IRR, ERRORS = 0x100, 0x180, 0x200, 0x280
COMMAND, DESTINATION = 0x300, 0x310
TIMER, THERMAL, COUNTERS, LINT0, LINT1, LVT_ERROR = range(0x320, 0x380, 0x10)
INITIAL, CURRENT, DIVIDE = 0x380, 0x390, 0x3E0

VERSION_VALUE = 5 << 16 | 0x14               # integrated, six LVT entries
LVT = (TIMER, THERMAL, COUNTERS, LINT0, LINT1, LVT_ERROR)
MASKED, PERIODIC, SOFTWARE_ENABLE = 1 << 16, 1 << 17, 1 << 8
SENT_ILLEGAL_VECTOR, GOT_ILLEGAL_VECTOR = 1 << 5, 1 << 6     # the error register
# Which bits software may write.
_WRITABLE = {ID: 0xFF00_0000, LOGICAL: 0xFF00_0000, FORMAT: 0xF000_0000, SPURIOUS: 0x3FF, DESTINATION: 0xFF00_0000, DIVIDE: 0xB,
             TIMER: 0x300FF, THERMAL: 0x107FF, COUNTERS: 0x107FF, LINT0: 0x1A7FF, LINT1: 0x1A7FF, LVT_ERROR: 0x100FF}
_POWER_ON = {FORMAT: 0xFFFF_FFFF, SPURIOUS: 0xFF, **dict.fromkeys(LVT, MASKED)}
SHORTEST_NS = 200_000                        # of a periodic timer
_SELF, _EVERYBODY = 1, 2                     # destination shorthands


class LocalApicPage:
    """Registers of 32 bits, one in every 16 bytes.  `apic` takes the interrupts; `eoi()` ends one; the timer counts at `hz`."""

    def __init__(self, apic: LocalApic, clock: Clock, eoi: Callable[[], None], hz: int) -> None:
        self.apic, self.clock, self._eoi, self.hz = apic, clock, eoi, hz
        self._alarm = Alarm(clock, self._ring)
        self._registers: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Power-on: software-disabled, all of the LVT masked, the timer stopped."""
        self._registers = dict.fromkeys(_WRITABLE, 0) | _POWER_ON
        self._command = self._initial = self._errors = self._shown_errors = 0
        self._started = 0                    # when the timer began to count, in ns
        self._alarm.stop()

    def read(self, offset: int, size: int) -> int:
        """Return a register; those that are not there, and EOI, read 0."""
        self._check(offset, size)
        if offset in self._registers:
            return self._registers[offset]
        for first, bits in ((ISR, self.apic.isr), (IRR, self.apic.irr)):
            if first <= offset < first + 0x80:
                return bits >> 2 * (offset - first) & 0xFFFF_FFFF
        return {VERSION: VERSION_VALUE, TPR: self.apic.tpr, PPR: self._priority(), COMMAND: self._command, INITIAL: self._initial,
                CURRENT: self._count(), ERRORS: self._shown_errors}.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register and do what it says; what is read-only stays."""
        self._check(offset, size)
        if offset == EOI:
            self._eoi()
        elif offset == TPR:
            self.apic.set_tpr(value & 0xFF)
        elif offset == COMMAND:
            self._send(value)
        elif offset == ERRORS:               # a write, of whatever, shows what has come together since the last
            self._shown_errors, self._errors = self._errors, 0
        elif offset == INITIAL:
            self._initial, self._started = value, self.clock.now
            self._arm()
        elif offset in self._registers:
            self._change(offset, value)

    @staticmethod
    def _check(offset: int, size: int) -> None:
        if size != 4 or offset % 16 or not 0 <= offset < BYTES:
            raise BadAccess(f"local APIC: no {size}-byte register at {offset:#x}")

    def _change(self, offset: int, value: int) -> None:
        count = self._count()
        mask = _WRITABLE[offset]
        self._registers[offset] = self._registers[offset] & ~mask | value & mask
        if not self._registers[SPURIOUS] & SOFTWARE_ENABLE:      # "Local APIC State After It Has Been Software Disabled"
            for entry in LVT:
                self._registers[entry] |= MASKED
        if offset == DIVIDE and count:       # what is left is counted at the new pace
            self._started = self.clock.now - (self._initial - count) * self._tick_ns() // self.hz
        self._arm()

    def _priority(self) -> int:
        """The processor priority: the task's, or the class of what is in service if that is higher."""
        served = max(self.apic.isr.bit_length() - 1, 0) & 0xF0
        return self.apic.tpr if self.apic.tpr & 0xF0 >= served else served

    # Interrupts to processors.

    def _send(self, command: int) -> None:
        """Send a fixed interrupt to this vCPU, if it is meant; there is no other."""
        self._command = command & 0xCCFFF                        # without "delivery pending": it has been
        vector, shorthand = command & 0xFF, command >> 18 & 3
        if command >> 8 & 7:
            return
        if vector < 16:
            self._errors |= SENT_ILLEGAL_VECTOR
        elif shorthand in (_SELF, _EVERYBODY) or not shorthand and self._is_meant(command >> 11 & 1):
            self.apic.request(vector)

    def _is_meant(self, logical: int) -> bool:
        """Does the destination register name this APIC?  Logical destinations are those of the flat model."""
        destination = self._registers[DESTINATION] >> 24
        if logical:
            return self.answers_to(destination)
        return destination in (self._registers[ID] >> 24, 0xFF)

    def answers_to(self, destination: int) -> bool:
        """Return whether a logical destination, of the flat model, names this APIC."""
        return bool(destination & self._registers[LOGICAL] >> 24)

    # The timer.

    def _tick_ns(self) -> int:
        """Ns of a count, times `hz`."""
        code = self._registers[DIVIDE]
        return 1_000_000_000 << ((code & 3 | code >> 1 & 4) + 1 & 7)     # 1011b divides by 1, 0000b by 2, ... 1010b by 128

    def _count(self) -> int:
        """What is left to count."""
        if not self._initial:
            return 0
        passed = (self.clock.now - self._started) * self.hz // self._tick_ns()
        if self._registers[TIMER] & PERIODIC:
            return self._initial - passed % self._initial
        return max(self._initial - passed, 0)

    def _arm(self) -> None:
        left = self._count()
        entry = self._registers[TIMER]
        if not left or entry & MASKED:
            return self._alarm.stop()
        ns = -(-left * self._tick_ns() // self.hz)
        self._alarm.at(self.clock.now + (max(ns, SHORTEST_NS) if entry & PERIODIC else ns))

    def _ring(self) -> None:
        vector = self._registers[TIMER] & 0xFF
        if vector >= 16:
            self.apic.request(vector, by_host=True)
        else:
            self._errors |= GOT_ILLEGAL_VECTOR
        if self._registers[TIMER] & PERIODIC:
            self._arm()

    def timers(self) -> Timers:
        """Return what it has on the clock, as (name, `Timer` or None) pairs."""
        return [("timer", self._alarm.timer)]

    def save(self) -> State:
        """Return all registers; the APIC's own state is the vCPU's."""
        return {"registers": sorted(self._registers.items()), "command": self._command, "initial": self._initial, "started": self._started,
                "errors": [self._errors, self._shown_errors], "alarm": self._alarm.when}

    def restore(self, state: State) -> None:
        """Take over what `save` gave."""
        self._registers = {at: value for at, value in state["registers"]}
        self._command, self._initial, self._started = state["command"], state["initial"], state["started"]
        self._errors, self._shown_errors = state["errors"]
        self._alarm.at(state["alarm"])


class PagePart:
    """Registers of a page, from `start` on: for a bus on which its parts are reached in different ways."""

    def __init__(self, page: LocalApicPage, start: int) -> None:
        self.page, self.start = page, start

    def read(self, offset: int, size: int) -> int:
        """Return a register."""
        return self.page.read(self.start + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register."""
        self.page.write(self.start + offset, size, value)


def attach(page: LocalApicPage, guest: Guest) -> None:
    """Let the page answer at FEE00000h of a guest's memory.

    Where the processor virtualizes the APIC, the task priority and the end of interrupt don't exit (SDM vol. 3C,
    "Virtualizing Memory-Mapped APIC Accesses"); the other registers do here, also for reads that it would answer itself.
    """
    def expose(bus: Bus, start: int, end: int) -> None:
        bus.attach(BASE + start, end - start, PagePart(page, start), "local APIC", width=4, handler="hypervisor")

    if guest.host.apic == VIRTUALIZED:
        expose(guest.mmio, 0, TPR)
        expose(guest.direct, TPR, EOI + 16)
        expose(guest.mmio, EOI + 16, BYTES)
    else:
        expose(guest.mmio, 0, BYTES)
