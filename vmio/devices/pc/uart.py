"""The 16550A UART: the serial port of every PC.

Registers and their side effects follow National Semiconductor's PC16550D data
sheet (1995; section 8, "Registers").  Where that is silent the answers are those
of QEMU 7.2's model, which differs from the sheet on purpose in these points:
the interrupt pin is not gated by MCR.OUT2 (that gate is on the PC's card, not in
the chip), and a modem line that changes because of loopback sets no delta bit
(section 8.8 says it does: `loopback_deltas=True`).

Two paces.  `instant` sends a byte in the moment it is written, so the
transmitter never shows busy: the register traffic of a real driver without the
waiting.  `baud` takes the time of a frame at the programmed rate, both ways.
What is on the wire: `uart_wire.py`.
"""

from collections import deque
from collections.abc import Callable

from vmio.devices.pc.uart_bits import (
    FCR_CLEAR_RX,
    FCR_CLEAR_TX,
    FCR_ENABLE,
    FIFO_DEPTH,
    IER_LINE,
    IER_MODEM,
    IER_RDA,
    IER_THRE,
    IIR_LINE,
    IIR_MODEM,
    IIR_NONE,
    IIR_RDA,
    IIR_THRE,
    IIR_TIMEOUT,
    LCR_DLAB,
    LSR_CHARACTER_ERRORS,
    LSR_DR,
    LSR_ERRORS,
    LSR_FIFO_ERROR,
    LSR_TEMT,
    LSR_THRE,
    MCR_DTR,
    MCR_LOOP,
    MCR_OUT1,
    MCR_OUT2,
    MCR_RTS,
    MSR_CTS,
    MSR_DCD,
    MSR_DELTAS,
    MSR_DSR,
    TRIGGER_LEVELS,
)
from vmio.devices.pc.uart_wire import UartWire
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock, Timers
from vmio.machine.contracts import State
from vmio.machine.lines import Line

PLAIN_REGISTERS = ("rbr", "ier", "iir", "fcr", "lcr", "mcr", "lsr", "msr", "scr", "divisor", "frame_ns",
                   "modem_inputs", "_timed_out", "_thre_pending", "_tsr")


class Uart(UartWire):
    """A 16550A on `clock`, its INTR pin on `line`; offsets 0 to 7, byte-wide.

    clock: the board's `Clock` (ns).  line: a `Line`.
    sink: called with each transmitted byte (int); without one, they collect in `sent` (the last MiB).
    pace: "instant" or "baud".  base_clock: the crystal, Hz (a bit lasts 16 * divisor / base_clock s).
    modem_inputs: level of DCD, RI, DSR, CTS as MSR bits 7:4 (0xB0: a peer that is ready, no ring).
    loopback_deltas: let loopback set the MSR's delta bits, as the data sheet says.
    Raises ValueError for a wrong parameter; `read`/`write` raise only `BadAccess`.
    """

    __slots__ = ("ier", "iir", "scr", "line", "loopback_deltas", "_open_thr", "_readers", "_writers")

    def __init__(self, clock: Clock, line: Line, sink: Callable[[int], object] | None = None, pace: str = "instant",
                 base_clock: int = 1_843_200, modem_inputs: int = MSR_DCD | MSR_DSR | MSR_CTS,
                 loopback_deltas: bool = False) -> None:
        super().__init__(clock, sink, pace, base_clock, modem_inputs)
        self.line, self.loopback_deltas = line, loopback_deltas
        self._readers = (self._read_rbr, self._read_ier, self._read_iir, lambda: self.lcr,
                         lambda: self.mcr, self._read_lsr, self._read_msr, lambda: self.scr)
        self._writers = (self._write_thr, self._write_ier, self._write_fcr, self._write_lcr,
                         self._write_mcr, self._write_nothing, self._write_nothing, self._write_scr)
        self.reset()

    # The CPU's side.

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (table in section 8).  A byte for an open THR goes straight to the wire."""
        if offset == self._open_thr and size == 1:
            self._emit(value)
        elif size == 1 and 0 <= offset < 8:
            self._writers[offset](value)
        else:
            raise BadAccess(f"16550A has no {size}-byte register at {offset:#x}")

    def read(self, offset: int, size: int) -> int:
        """Read a register; RBR, IIR, LSR and MSR change by being read."""
        if offset == 5 and size == 1:
            lsr = self.lsr
            return self._read_lsr() if lsr & (LSR_ERRORS | LSR_FIFO_ERROR) else lsr
        if size == 1 and 0 <= offset < 8:
            return self._readers[offset]()
        raise BadAccess(f"16550A has no {size}-byte register at {offset:#x}")

    def reset(self) -> None:
        """Master reset (section 8, table III); divisor 12 (9600 baud) and OUT2 on, as firmware leaves a PC's port."""
        self.rbr = self.ier = self.fcr = self.lcr = self.scr = 0
        self.iir = IIR_NONE
        self.mcr = MCR_OUT2
        self.lsr = LSR_THRE | LSR_TEMT
        self.msr = self.modem_inputs
        self.divisor = 12
        self.frame_ns = self._frame_time(halfbits=20)  # 8N1 until the LCR says otherwise
        self._timed_out = self._thre_pending = False
        self._tsr: int | None = None  # the transmitter's shift register; None: idle
        for queue in (self._rx, self._tx, self._wire):  # what is on the wire falls on a deaf chip
            queue.clear()
        for alarm in (self._idle, self._frame_out, self._frame_in):
            alarm.stop()
        self._settle()
        self.line.set(0)

    def timers(self) -> Timers:
        """Return what it has on the clock, as (name, `Timer` or None) pairs."""
        return [("idle", self._idle.timer), ("frame out", self._frame_out.timer), ("frame in", self._frame_in.timer)]

    def save(self) -> State:
        """Return the chip's state and what is on its wire, as plain values."""
        state = {name: getattr(self, name) for name in PLAIN_REGISTERS}
        state |= {"rx": list(self._rx), "tx": list(self._tx), "wire": list(self._wire)}
        state |= {"idle": self._idle.when, "frame_out": self._frame_out.when, "frame_in": self._frame_in.when}
        return state

    def restore(self, state: State) -> None:
        """Become the chip that `save` described; alarms ring at the same clock times."""
        for name in PLAIN_REGISTERS:
            setattr(self, name, state[name])
        self._rx = deque(map(tuple, state["rx"]))
        self._tx = deque(state["tx"])
        self._wire = deque(map(tuple, state["wire"]))
        self._idle.at(state["idle"])
        self._frame_out.at(state["frame_out"])
        self._frame_in.at(state["frame_in"])
        self._settle()
        self._update()

    # Registers.

    def _read_rbr(self) -> int:
        if self.lcr & LCR_DLAB:
            return self.divisor & 0xFF
        byte = self.rbr
        if self.fcr & FCR_ENABLE:
            byte = self._rx.popleft()[0] if self._rx else 0
            self._timed_out = False
            if self._rx:
                self.lsr |= self._rx[0][1]
                self._idle.at(self.clock.now + 4 * self.frame_ns)
            else:
                self._idle.stop()
        if not self._rx:
            self.lsr &= ~LSR_DR
        self._update()
        return byte

    def _write_thr(self, value: int) -> None:
        if self.lcr & LCR_DLAB:
            self._set_divisor(self.divisor & 0xFF00 | value)
            return
        if len(self._tx) >= (FIFO_DEPTH if self.fcr & FCR_ENABLE else 1):
            self._tx.popleft()  # written while full: the oldest is overwritten
        self._tx.append(value)
        self._thre_pending = False
        self.lsr &= ~(LSR_THRE | LSR_TEMT)
        self._update()
        if self._tsr is None:
            self._load_shift_register()

    def _read_ier(self) -> int:
        return self.divisor >> 8 if self.lcr & LCR_DLAB else self.ier

    def _write_ier(self, value: int) -> None:
        if self.lcr & LCR_DLAB:
            self._set_divisor(self.divisor & 0xFF | value << 8)
            return
        value &= 0x0F
        if value == self.ier:
            return
        if (self.ier ^ value) & IER_THRE:
            # Enabling it with an empty THR interrupts at once, even after an IIR read silenced it.
            self._thre_pending = bool(value & IER_THRE and self.lsr & LSR_THRE)
        self.ier = value
        self._settle()
        self._update()

    def _read_iir(self) -> int:
        iir = self.iir
        if iir & 0x0F == IIR_THRE:
            self._thre_pending = False
            self._update()
        return iir

    def _write_fcr(self, value: int) -> None:
        if (value ^ self.fcr) & FCR_ENABLE:
            value |= FCR_CLEAR_RX | FCR_CLEAR_TX  # changing the mode empties both (section 8.5)
        if value & FCR_CLEAR_RX:
            self._rx.clear()
            self._idle.stop()
            self._timed_out = False
            self.lsr &= ~(LSR_DR | LSR_CHARACTER_ERRORS | LSR_FIFO_ERROR)
        if value & FCR_CLEAR_TX:
            self._tx.clear()  # the shift register is not touched
            self.lsr |= LSR_THRE
            self._thre_pending = True
        self.fcr = value & 0xC9
        self._update()

    def _write_lcr(self, value: int) -> None:
        self.lcr = value
        self._settle()
        self._set_divisor(self.divisor)

    def _write_mcr(self, value: int) -> None:
        self.mcr = value & 0x1F
        self._settle()
        lines = self.modem_inputs
        if value & MCR_LOOP:  # RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD (section 8.8)
            lines = (value & MCR_RTS) << 3 | (value & MCR_DTR) << 5 | (value & (MCR_OUT1 | MCR_OUT2)) << 4
        self._modem_lines_are(lines, self.loopback_deltas)

    def _read_lsr(self) -> int:
        """Reading clears the error bits; FIFO error stays while a character further down has one."""
        lsr = self.lsr
        if lsr & (LSR_ERRORS | LSR_FIFO_ERROR):
            self.lsr &= ~(LSR_ERRORS | LSR_FIFO_ERROR)
            if any(errors for _, errors in list(self._rx)[1:]):
                self.lsr |= LSR_FIFO_ERROR
            self._update()
        return lsr

    def _read_msr(self) -> int:
        msr = self.msr
        if self.mcr & MCR_LOOP and not self.loopback_deltas:
            return msr & 0xF0
        if msr & MSR_DELTAS:
            self.msr &= 0xF0
            self._update()
        return msr

    def _write_scr(self, value: int) -> None:
        self.scr = value

    def _write_nothing(self, value: int) -> None:
        """LSR and MSR are the factory's to write (section 8.4)."""

    # What follows from the registers.

    def _settle(self) -> None:
        """Is a THR write nothing but a byte on the wire?  Then `write` need not look at the registers."""
        plain = not (self.lcr & LCR_DLAB or self.mcr & MCR_LOOP or self.ier & IER_THRE)
        self._open_thr = 0 if plain and self.pace == "instant" else -1

    def _update(self) -> None:
        """The pending interrupt of the highest priority, in IIR and on the pin (section 8.6, table IV)."""
        ier, lsr = self.ier, self.lsr
        if ier & IER_LINE and lsr & LSR_ERRORS:
            cause = IIR_LINE
        elif ier & IER_RDA and self._timed_out:
            cause = IIR_TIMEOUT
        elif ier & IER_RDA and lsr & LSR_DR and (
                not self.fcr & FCR_ENABLE or len(self._rx) >= TRIGGER_LEVELS[self.fcr >> 6]):
            cause = IIR_RDA
        elif ier & IER_THRE and self._thre_pending:
            cause = IIR_THRE
        elif ier & IER_MODEM and self.msr & MSR_DELTAS:
            cause = IIR_MODEM
        else:
            cause = IIR_NONE
        self.iir = cause | (0xC0 if self.fcr & FCR_ENABLE else 0)
        self.line.set(0 if cause == IIR_NONE else 1)
