"""The PIIX4's power management registers: ACPI's PM1 block, by which software is told of events and switches the machine off.

    00h status (a written one clears)    02h enable    04h control    08h timer: 24 bits at 3.579545 MHz

Of the events only the timer's comes about here: its bit 23 has changed.
Sources: Intel 290562 (82371AB PIIX4), 7.2 "Power Management I/O Registers"; ACPI specification 6.5, 4.8.3.
"""

from collections.abc import Callable

from vmio.devices.pc.alarm import Alarm
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock, Timers
from vmio.machine.contracts import State
from vmio.machine.lines import Line

PORTS = 64                                   # that the function decodes; behind the timer nothing is modelled
STATUS, ENABLE, CONTROL, TIMER, END = 0, 2, 4, 8, 12
OVERFLOW = 1 << 0                            # status and enable: bit 23 of the timer has changed
EVENTS = OVERFLOW | 1 << 5 | 1 << 8 | 1 << 10   # and the global release, the power button, the alarm of the RTC
SCI_ENABLE = 1 << 0                          # control: events interrupt by SCI, not by SMI
SUSPEND_TYPE, SUSPEND = 7 << 10, 1 << 13     # control: how to suspend, 0 is "soft off"; do it
HZ = 3_579_545
_HALF = 1 << 23                              # ticks


class PowerBlock:
    """The registers; `sci` is the line that they interrupt by.  A reset leaves the timer running."""

    POINTS = {"off": "() software has switched the machine off: soft off"}
    off: Callable[[], None] | None = None

    def __init__(self, clock: Clock, sci: Line) -> None:
        self.clock, self.sci = clock, sci
        self._alarm = Alarm(clock, self._update)
        self.status = self.enable = self.control = 0
        self._half = self._halves()          # that of the timer whose end is not yet in `status`

    def reset(self) -> None:
        """Power-on: nothing enabled, no event."""
        self.status = self.enable = self.control = 0
        self._half = self._halves()
        self._update()

    def read(self, offset: int, size: int) -> int:
        """Return registers, in accesses of 1, 2 or 4 bytes."""
        self._check(offset, size)
        self._update()
        whole = self.status | self.enable << 16 | self.control << 32 | self._ticks() % (2 * _HALF) << 8 * TIMER
        return whole >> 8 * offset & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Write registers byte by byte, the lowest first; the timer's can't be."""
        self._check(offset, size)
        self._update()
        for at in range(offset, min(offset + size, CONTROL + 2)):
            self._write_byte(at, value >> 8 * (at - offset) & 0xFF)
        self._update()

    def _write_byte(self, at: int, value: int) -> None:
        register, shift = at & ~1, 8 * (at & 1)
        keep, bits = ~(0xFF << shift), value << shift
        if register == STATUS:
            self.status &= ~bits
        elif register == ENABLE:
            self.enable = self.enable & keep | bits & EVENTS
        else:
            self.control = self.control & keep | bits & (SCI_ENABLE | SUSPEND_TYPE)
            if bits & SUSPEND and not self.control & SUSPEND_TYPE and self.off is not None:
                self.off()

    @staticmethod
    def _check(offset: int, size: int) -> None:
        if size not in (1, 2, 4) or not 0 <= offset <= END - size:
            raise BadAccess(f"power block: no {size}-byte register at {offset:#x}")

    def _ticks(self) -> int:
        return self.clock.now * HZ // 1_000_000_000

    def _halves(self) -> int:
        return self._ticks() // _HALF

    def _update(self) -> None:
        """Note that bit 23 has changed, drive the line, and come back when it changes next if somebody wants to know."""
        half = self._halves()
        if half != self._half:
            self._half = half
            self.status |= OVERFLOW
        wanted = self.enable & OVERFLOW and self.control & SCI_ENABLE and not self.status & OVERFLOW
        self._alarm.at(-(-(half + 1) * _HALF * 1_000_000_000 // HZ) if wanted else None)
        self.sci.set(int(bool(self.status & self.enable) and self.control & SCI_ENABLE))

    def timers(self) -> Timers:
        """Return what it has on the clock, as (name, `Timer` or None) pairs."""
        return [("overflow", self._alarm.timer)]

    def save(self) -> State:
        """Return the registers."""
        return {"status": self.status, "enable": self.enable, "control": self.control, "half": self._half}

    def restore(self, state: State) -> None:
        """Take over what `save` gave."""
        self.status, self.enable, self.control, self._half = (state[name] for name in ("status", "enable", "control", "half"))
        self._update()
