"""MC146818A real-time clock and CMOS RAM, at ports 70h (index) and 71h (data).

Fourteen registers - ten of time and alarm, A to D of control - and 114 bytes
of RAM, all kept by a battery: a reset of the machine stops the interrupts and
nothing else.  The chip has an oscillator, so it never counts in this model:
the time *is* the virtual clock plus a base, worked out when somebody looks.
A timer runs only while the next flag would be news (UF or AF still clear),
and one more while periodic interrupts are on.

Source: Motorola MC146818A data sheet ("Real-Time Clock plus RAM").
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from vmio.devices.pc.civil_time import EPOCH, date_of, days_since_1970, seconds_to_match
from vmio.devices.pc.cmos import inventory
from vmio.machine.bus import BadAccess
from vmio.machine.clock import NEVER, Clock, Timer, Timers
from vmio.machine.contracts import State
from vmio.machine.lines import Line

SECOND_NS = 1_000_000_000
CRYSTAL_HZ = 32_768
UIP_NS = 8 * SECOND_NS // CRYSTAL_HZ  # data sheet table 6: UIP goes up 244 us before an update
DIVIDER_RELEASE_NS = SECOND_NS // 2   # data sheet, "DV2-DV0": from releasing the dividers to the first update

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM = range(6)
WEEKDAY, DAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D = range(6, 14)
CENTURY, CENTURY_PS2 = 0x32, 0x37     # the AT's cell and the PS/2's name for it
TIME_CELLS = frozenset((SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY))
ALARM_CELLS = (HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM)

A_UIP, A_DIVIDER, A_DIVIDER_RESET, A_RATE = 0x80, 0x70, 0x60, 0x0F
B_SET, B_PIE, B_AIE, B_UIE, B_SQWE, B_DM, B_24H = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02
C_IRQF, C_PF, C_AF, C_UF = 0x80, 0x40, 0x20, 0x10
C_FLAGS = C_PF | C_AF | C_UF
D_VRT = 0x80


class Rtc:
    """The clock chip.  `base` is the date (datetime or ISO 8601 string, UTC) when the clock reads 0.

    `line` is the interrupt output (IRQ 8 on a PC).  `ram_mib` and `disks` fill
    the CMOS RAM as a PC's maker would (see `inventory`).
    """

    def __init__(self, clock: Clock, line: Line, base: datetime | str = "2024-02-29T23:59:58", ram_mib: int = 16,
                 disks: Sequence[tuple[int, int, int] | None] = ()) -> None:
        self.clock, self.line = clock, line
        if isinstance(base, str):
            base = datetime.fromisoformat(base)
        if base.tzinfo is not None:
            base = base.astimezone(timezone.utc).replace(tzinfo=None)
        self.cells = bytearray(128)
        for index, value in inventory(ram_mib, disks).items():
            self.cells[index] = value
        self.cells[REG_A], self.cells[REG_B], self.cells[REG_D] = 0x26, B_24H, D_VRT
        self.index = 0
        self._epoch_s = (base - EPOCH) // timedelta(seconds=1)  # date at `_since`, s from 1970
        self._since = 0        # clock time of the last setting, ns
        self._phase = 0        # how far into its second the date was then, ns
        self._next_periodic = 0
        self._next_alarm = NEVER
        self._update: Timer | None = None
        self._periodic: Timer | None = None
        self._show_time()
        self._plan_update()

    # -- the bus side -----------------------------------------------------------------------

    def read(self, offset: int, size: int = 1) -> int:
        """Port 70h is write-only (undriven: FFh); port 71h reads the cell.  Reading C clears it."""
        if size != 1 or offset not in (0, 1):
            raise BadAccess(f"rtc: no {size}-byte register at {offset}")
        if offset == 0:
            return 0xFF
        index = self._selected()
        if index in TIME_CELLS and self._running():
            self._show_time()
        value = self.cells[index]
        if index == REG_A and self._update_in_progress():
            value |= A_UIP
        elif index == REG_C:
            self.cells[REG_C] = 0
            self.line.set(0)
            if value & (C_UF | C_AF):
                self._plan_update()
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Port 70h selects a cell (bit 7 is the PC's NMI mask, not the chip's); port 71h writes it."""
        if size != 1 or offset not in (0, 1):
            raise BadAccess(f"rtc: no {size}-byte register at {offset}")
        value &= 0xFF
        if offset == 0:
            self.index = value & 0x7F
            return
        index = self._selected()
        if index == REG_A:
            self._write_a(value)
        elif index == REG_B:
            self._write_b(value)
        elif index not in (REG_C, REG_D):  # read-only
            self.cells[index] = value
            if index in TIME_CELLS and self._running():
                self._take_time()
                self._plan_update()
            elif index in ALARM_CELLS:
                self._plan_update()

    def reset(self) -> None:
        """The RESET pin: interrupts off, flags clear; time, calendar and RAM stay (data sheet, "RESET")."""
        self.cells[0x0F] = 0               # the PC's shutdown code: a cold start from here on
        self.cells[REG_B] &= ~(B_PIE | B_AIE | B_SQWE)
        self.cells[REG_C] = 0
        self.line.set(0)
        self._plan_periodic(self.clock.now)
        self._plan_update()

    def timers(self) -> Timers:
        """Return what it has on the clock, as (name, `Timer` or None) pairs."""
        return [("update", self._update), ("periodic", self._periodic)]

    def save(self) -> State:
        """Return everything as plain data; times are of the clock, in ns."""
        self._show_time()
        return {"cells": self.cells.hex(), "index": self.index, "epoch_s": self._epoch_s,
                "since": self._since, "phase": self._phase, "line": self.line.level,
                "next_periodic": self._next_periodic, "next_alarm": self._next_alarm,
                "periodic": self._periodic is not None,
                "update": self._update.when if self._update else None}

    def restore(self, state: State) -> None:
        """Take over what `save` gave, on a clock that shows the same time."""
        self.cells = bytearray.fromhex(state["cells"])
        self.index, self._epoch_s = state["index"], state["epoch_s"]
        self._since, self._phase = state["since"], state["phase"]
        self._next_periodic, self._next_alarm = state["next_periodic"], state["next_alarm"]
        self._set_update_timer(state["update"])
        self._set_periodic_timer(self._next_periodic if state["periodic"] else None)
        self.line.set(state["line"])

    def _selected(self) -> int:
        if self.index == CENTURY_PS2:
            self.index = CENTURY
        return self.index

    # -- registers A and B ------------------------------------------------------------------

    def _write_a(self, value: int) -> None:
        old = self.cells[REG_A]
        old_period = self._period()
        if value & A_DIVIDER_RESET == A_DIVIDER_RESET:
            if self._running():
                self._show_time()          # stopped here: the cells keep this time
            old &= ~A_UIP
        elif old & A_DIVIDER_RESET == A_DIVIDER_RESET and value & A_DIVIDER <= 0x20:
            if not self.cells[REG_B] & B_SET:
                self._phase = DIVIDER_RELEASE_NS
                self._take_time()
            old &= ~A_UIP
        self.cells[REG_A] = value & ~A_UIP | old & A_UIP
        if (value ^ old) & A_RATE:
            self._plan_periodic(self.clock.now, old_period)
        self._plan_update()

    def _write_b(self, value: int) -> None:
        old = self.cells[REG_B]
        old_period = self._period()
        if value & B_SET:
            if self._running():
                self._show_time()          # freeze the cells at the time of stopping
            self.cells[REG_A] &= ~A_UIP
            value &= ~B_UIE                # data sheet: SET going high clears UIE
        elif old & B_SET and self.cells[REG_A] & A_DIVIDER <= 0x20:
            self._phase = self._now_ns() % SECOND_NS  # updates were inhibited; the dividers ran on
            self._take_time()
        if value & self.cells[REG_C] & C_FLAGS:
            self.cells[REG_C] |= C_IRQF    # a flag already up interrupts as soon as it is enabled
            self.line.set(1)
        else:
            self.cells[REG_C] &= ~C_IRQF
            self.line.set(0)
        self.cells[REG_B] = value
        if (value ^ old) & B_PIE:
            self._plan_periodic(self.clock.now, old_period)
        self._plan_update()

    # -- the time ---------------------------------------------------------------------------

    def _running(self) -> bool:
        """Updates happen: SET is clear and the divider is at one of its three crystals."""
        return not self.cells[REG_B] & B_SET and self.cells[REG_A] & A_DIVIDER <= 0x20

    def _now_ns(self) -> int:
        """The date in ns since 1970, as an unsigned 64-bit count."""
        return (self._epoch_s * SECOND_NS + self.clock.now - self._since + self._phase) % (1 << 64)

    def _encode(self, value: int) -> int:
        """A number as the cells hold it: binary if DM is set, else BCD (data sheet table 3)."""
        return value if self.cells[REG_B] & B_DM else value // 10 << 4 | value % 10

    def _decode(self, cell: int) -> int:
        """What a cell says; C0h to FFh (an alarm's "don't care") is -1."""
        if cell & 0xC0 == 0xC0:
            return -1
        return cell if self.cells[REG_B] & B_DM else (cell >> 4) * 10 + (cell & 15)

    def _decode_hour(self, cell: int) -> int:
        """An hours cell as 0 to 23; in 12-hour mode bit 7 is PM."""
        hour = self._decode(cell & 0x7F)
        if not self.cells[REG_B] & B_24H:
            hour = hour % 12 + (12 if cell & 0x80 else 0)
        return hour

    def _show_time(self) -> None:
        """Bring the time cells up to date, unless SET holds them for the guest to write."""
        if self.cells[REG_B] & B_SET:
            return
        date = date_of(self._now_ns())
        hour, pm = date.hour, 0
        if not self.cells[REG_B] & B_24H:
            hour, pm = hour % 12 or 12, 0x80 if hour >= 12 else 0
        for index, value in ((SECONDS, date.second), (MINUTES, date.minute), (HOURS, hour),
                             (WEEKDAY, date.isoweekday() % 7 + 1), (DAY, date.day), (MONTH, date.month),
                             (YEAR, date.year % 100), (CENTURY, date.year // 100)):
            self.cells[index] = self._encode(value)
        self.cells[HOURS] |= pm

    def _take_time(self) -> None:
        """Run on from the date in the cells.  A date that does not exist (31 February) rolls over."""
        second, minute, day, month, year, century = (
            self._decode(self.cells[i]) for i in (SECONDS, MINUTES, DAY, MONTH, YEAR, CENTURY))
        hour = self._decode_hour(self.cells[HOURS])
        days = days_since_1970(year + 100 * century, month, day)
        self._epoch_s = days * 86_400 + hour * 3600 + minute * 60 + second
        self._since = self.clock.now

    # -- update-ended and alarm -------------------------------------------------------------

    def _plan_update(self) -> None:
        """Set the timer for the next update that changes a flag; with UF and AF both up none does."""
        if self.cells[REG_A] & A_DIVIDER_RESET == A_DIVIDER_RESET:
            self._set_update_timer(None)   # data sheet: dividers held in reset, no interrupts
            return
        when = self.clock.now + SECOND_NS - self._now_ns() % SECOND_NS
        self._show_time()
        to_alarm = self._seconds_to_alarm()
        self._next_alarm = NEVER if to_alarm is None else when + (to_alarm - 1) * SECOND_NS
        if self.cells[REG_C] & C_UF and not self.cells[REG_A] & A_UIP:
            news = to_alarm is not None and not (self.cells[REG_B] & B_SET or self.cells[REG_C] & C_AF)
            self._set_update_timer(self._next_alarm if news else None)
        else:
            self._set_update_timer(when)

    def _seconds_to_alarm(self) -> int | None:
        """Seconds (1 to 86,400) until the time next matches the alarm cells; None if it never does."""
        hour, minute, second = (self._decode(self.cells[i]) for i in ALARM_CELLS)
        if hour >= 0 and not self.cells[REG_B] & B_24H:
            hour = self._decode_hour(self.cells[HOURS_ALARM])
        now = (self._decode_hour(self.cells[HOURS]) * 3600 + self._decode(self.cells[MINUTES]) * 60
               + self._decode(self.cells[SECONDS]))
        return seconds_to_match(now, hour, minute, second)

    def _set_update_timer(self, when: int | None) -> None:
        if self._update:
            if self._update.when == when:
                return
            self._update.cancel()
        self._update = None if when is None else self.clock.call_at(when, self._updated)

    def _updated(self) -> None:
        """An update cycle has ended: raise UF, and AF if it reached the alarm."""
        self._update = None
        self._show_time()
        self.cells[REG_A] &= ~A_UIP
        flags = C_UF | (C_AF if self.clock.now >= self._next_alarm else 0)
        news = flags & ~self.cells[REG_C]
        self.cells[REG_C] |= flags
        if news & self.cells[REG_B]:
            self.cells[REG_C] |= C_IRQF
            self.line.set(1)
        self._plan_update()

    def _update_in_progress(self) -> bool:
        """UIP; once somebody has seen it up it stays up until the update has ended."""
        if not self._running():
            return False
        if self._update and self.clock.now >= self._update.when - UIP_NS:
            self.cells[REG_A] |= A_UIP
            return True
        return self._now_ns() % SECOND_NS >= SECOND_NS - UIP_NS

    # -- periodic interrupt -----------------------------------------------------------------

    def _period(self) -> int:
        """Crystal ticks between periodic interrupts, 0 for none (data sheet table 5, 32.768 kHz)."""
        rate = self.cells[REG_A] & A_RATE
        if not rate or not self.cells[REG_B] & B_PIE:
            return 0
        return 1 << (rate + 6 if rate <= 2 else rate - 1)

    def _plan_periodic(self, now: int, old_period: int = 0) -> None:
        """Set the timer for the tick after `now` (ns); a change of rate keeps the time already waited."""
        period = self._period()
        if not period:
            self._set_periodic_timer(None)
            return
        tick, waited = now * CRYSTAL_HZ // SECOND_NS, 0
        if old_period:
            last = self._next_periodic * CRYSTAL_HZ // SECOND_NS - old_period
            waited = min(tick - last, period)  # a whole new period has gone by: tick at once, and once
        self._next_periodic = (tick + period - waited) * SECOND_NS // CRYSTAL_HZ + 1
        self._set_periodic_timer(self._next_periodic)

    def _set_periodic_timer(self, when: int | None) -> None:
        if self._periodic:
            self._periodic.cancel()
        self._periodic = None if when is None else self.clock.call_at(when, self._ticked)

    def _ticked(self) -> None:
        self._periodic = None
        self._plan_periodic(self._next_periodic)
        self.cells[REG_C] |= C_PF | C_IRQF
        self.line.set(1)
