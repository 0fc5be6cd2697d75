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
"""

from collections import deque

from vmio.devices.pc.alarm import Alarm
from vmio.devices.pc.tail import Tail
from vmio.machine.bus import BadAccess

FIFO_DEPTH = 16
TRIGGER_LEVELS = (1, 4, 8, 14)  # FCR bits 7:6 (section 8.5)

IER_RDA, IER_THRE, IER_LINE, IER_MODEM = 0x01, 0x02, 0x04, 0x08
IIR_NONE, IIR_MODEM, IIR_THRE, IIR_RDA, IIR_LINE, IIR_TIMEOUT = 0x01, 0x00, 0x02, 0x04, 0x06, 0x0C
FCR_ENABLE, FCR_CLEAR_RX, FCR_CLEAR_TX = 0x01, 0x02, 0x04
LCR_STOP, LCR_PARITY, LCR_DLAB = 0x04, 0x08, 0x80
MCR_DTR, MCR_RTS, MCR_OUT1, MCR_OUT2, MCR_LOOP = 0x01, 0x02, 0x04, 0x08, 0x10
LSR_DR, LSR_OE, LSR_PE, LSR_FE, LSR_BI, LSR_THRE, LSR_TEMT, LSR_FIFO_ERROR = (1 << n for n in range(8))
LSR_CHARACTER_ERRORS = LSR_PE | LSR_FE | LSR_BI
LSR_ERRORS = LSR_OE | LSR_CHARACTER_ERRORS
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80
MSR_DELTAS, MSR_TERI = 0x0F, 0x04

PLAIN_REGISTERS = ("rbr", "ier", "iir", "fcr", "lcr", "mcr", "lsr", "msr", "scr", "divisor", "frame_ns",
                   "modem_inputs", "_timed_out", "_thre_pending", "_tsr")


class Uart:
    """A 16550A on `clock`, its INTR pin on `line`; offsets 0 to 7, byte-wide.

    clock: the board's `Clock` (ns).  line: a `Line`.
    sink: called with each transmitted byte (int); without one, they collect in `sent` (the last MiB).
    pace: "instant" or "baud".  base_clock: the crystal, Hz (a bit lasts 16 * divisor / base_clock s).
    modem_inputs: level of DCD, RI, DSR, CTS as MSR bits 7:4 (0xB0: a peer that is ready, no ring).
    loopback_deltas: let loopback set the MSR's delta bits, as the data sheet says.
    Raises ValueError for a wrong parameter; `read`/`write` raise only `BadAccess`.
    """

    # Slots, not a dict: Python finds them faster, and every exit of the headline benchmark passes here.
    __slots__ = PLAIN_REGISTERS + (
        "clock", "line", "pace", "base_clock", "loopback_deltas", "sent", "_emit", "_open_thr", "_rx", "_tx",
        "_wire", "_idle", "_frame_out", "_frame_in", "_readers", "_writers")

    def __init__(self, clock, line, sink=None, pace="instant", base_clock=1_843_200,
                 modem_inputs=MSR_DCD | MSR_DSR | MSR_CTS, loopback_deltas=False):
        if pace not in ("instant", "baud"):
            raise ValueError(f"pace is {pace!r}; it must be 'instant' or 'baud'")
        if not base_clock > 0:
            raise ValueError(f"base_clock is {base_clock!r}; it must be a frequency in Hz above 0")
        if not 0 <= modem_inputs <= 0xFF or modem_inputs & MSR_DELTAS:
            raise ValueError(f"modem_inputs is {modem_inputs!r}; only MSR bits 7:4 (0x00 to 0xF0) are inputs")
        self.clock, self.line = clock, line
        self.pace, self.base_clock, self.loopback_deltas = pace, base_clock, loopback_deltas
        self.modem_inputs = modem_inputs
        self.sent = Tail()
        self._emit = sink or self.sent.append
        self._rx, self._tx, self._wire = deque(), deque(), deque()
        self._idle = Alarm(clock, self._character_timeout)
        self._frame_out = Alarm(clock, self._frame_sent)
        self._frame_in = Alarm(clock, self._frame_arrived)
        self._readers = (self._read_rbr, self._read_ier, self._read_iir, lambda: self.lcr,
                         lambda: self.mcr, self._read_lsr, self._read_msr, lambda: self.scr)
        self._writers = (self._write_thr, self._write_ier, self._write_fcr, self._write_lcr,
                         self._write_mcr, self._write_nothing, self._write_nothing, self._write_scr)
        self.reset()

    # The CPU's side.

    def write(self, offset, size, value):
        """Write a register (table in section 8).  A byte for an open THR goes straight to the wire."""
        if offset == self._open_thr and size == 1:
            self._emit(value)
        elif size == 1 and 0 <= offset < 8:
            self._writers[offset](value)
        else:
            raise BadAccess(f"16550A has no {size}-byte register at {offset:#x}")

    def read(self, offset, size):
        """Read a register; RBR, IIR, LSR and MSR change by being read."""
        if offset == 5 and size == 1:
            lsr = self.lsr
            return self._read_lsr() if lsr & (LSR_ERRORS | LSR_FIFO_ERROR) else lsr
        if size == 1 and 0 <= offset < 8:
            return self._readers[offset]()
        raise BadAccess(f"16550A has no {size}-byte register at {offset:#x}")

    def reset(self):
        """Master reset (section 8, table III); divisor 12 (9600 baud) and OUT2 on, as firmware leaves a PC's port."""
        self.rbr = self.ier = self.fcr = self.lcr = self.scr = 0
        self.iir = IIR_NONE
        self.mcr = MCR_OUT2
        self.lsr = LSR_THRE | LSR_TEMT
        self.msr = self.modem_inputs
        self.divisor = 12
        self.frame_ns = self._frame_time(halfbits=20)  # 8N1 until the LCR says otherwise
        self._timed_out = self._thre_pending = False
        self._tsr = None  # the transmitter's shift register; None: idle
        for queue in (self._rx, self._tx, self._wire):  # what is on the wire falls on a deaf chip
            queue.clear()
        for alarm in (self._idle, self._frame_out, self._frame_in):
            alarm.stop()
        self._settle()
        self.line.set(0)

    def save(self):
        """The chip's state and what is on its wire, as plain values."""
        state = {name: getattr(self, name) for name in PLAIN_REGISTERS}
        state |= {"rx": list(self._rx), "tx": list(self._tx), "wire": list(self._wire)}
        state |= {"idle": self._idle.when, "frame_out": self._frame_out.when, "frame_in": self._frame_in.when}
        return state

    def restore(self, state):
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

    # The wire's side.

    def receive(self, data, errors=0):
        """Characters arrive on SIN: at once, or one a frame time at pace "baud".

        `errors` (LSR_PE, LSR_FE, LSR_BI) go with each of them.  What the receiver has no room for is
        lost and shows as LSR.OE.  In loopback SIN is disconnected (section 8.8) and nothing arrives.
        """
        if errors & ~LSR_CHARACTER_ERRORS:
            raise ValueError(f"errors is {errors:#x}; only LSR_PE, LSR_FE and LSR_BI belong to a character")
        if self.pace == "instant":
            for byte in data:
                self._arrive(byte, errors)
            return
        self._wire.extend((byte, errors) for byte in data)
        if self._wire and self._frame_in.when is None:
            self._frame_in.at(self.clock.now + self.frame_ns)

    def room(self):
        """How many characters the receiver takes now without an overrun."""
        if self.fcr & FCR_ENABLE:
            return FIFO_DEPTH - len(self._rx)
        return 0 if self.lsr & LSR_DR else 1

    def set_modem_inputs(self, lines):
        """The peer drives DCD, RI, DSR, CTS (MSR bits 7:4); changes set delta bits unless in loopback."""
        self.modem_inputs = lines & 0xF0
        if not self.mcr & MCR_LOOP:
            self._modem_lines_are(self.modem_inputs, deltas=True)

    # Receiver.

    def _arrive(self, byte, errors):
        if not self.mcr & MCR_LOOP:
            self._accept(byte, errors)

    def _accept(self, byte, errors):
        """A whole character is in the receiver's shift register."""
        if self.fcr & FCR_ENABLE:
            if len(self._rx) < FIFO_DEPTH:
                self._rx.append((byte, errors))
                if errors:
                    self.lsr |= LSR_FIFO_ERROR
                if len(self._rx) == 1:
                    self.lsr |= errors  # an error shows when its character is at the top (section 8.4)
            else:
                self.lsr |= LSR_OE  # a full FIFO keeps what it has, the new character is lost
            self._idle.at(self.clock.now + 4 * self.frame_ns)
        else:
            if self.lsr & LSR_DR:
                self.lsr |= LSR_OE  # the single RBR is overwritten
            self.rbr = byte
            self.lsr |= errors
        self.lsr |= LSR_DR
        self._update()

    def _character_timeout(self):
        """Four character times without a character in or out, and the FIFO is not empty (section 8.11)."""
        self._timed_out = True
        self._update()

    def _frame_arrived(self):
        self._arrive(*self._wire.popleft())
        if self._wire:
            self._frame_in.at(self.clock.now + self.frame_ns)

    # Transmitter.

    def _load_shift_register(self):
        self._tsr = self._tx.popleft()
        if not self._tx:
            self.lsr |= LSR_THRE
            if not self._thre_pending:
                self._thre_pending = True
                self._update()
        if self.pace == "instant":
            self._frame_sent()
        else:
            self._frame_out.at(self.clock.now + self.frame_ns)

    def _frame_sent(self):
        byte, self._tsr = self._tsr, None
        if self.mcr & MCR_LOOP:
            self._accept(byte, 0)
        else:
            self._emit(byte)
        if self._tx:
            self._load_shift_register()
        else:
            self.lsr |= LSR_TEMT

    # Registers.

    def _read_rbr(self):
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

    def _write_thr(self, value):
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

    def _read_ier(self):
        return self.divisor >> 8 if self.lcr & LCR_DLAB else self.ier

    def _write_ier(self, value):
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

    def _read_iir(self):
        iir = self.iir
        if iir & 0x0F == IIR_THRE:
            self._thre_pending = False
            self._update()
        return iir

    def _write_fcr(self, value):
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

    def _write_lcr(self, value):
        self.lcr = value
        self._settle()
        self._set_divisor(self.divisor)

    def _write_mcr(self, value):
        self.mcr = value & 0x1F
        self._settle()
        lines = self.modem_inputs
        if value & MCR_LOOP:  # RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD (section 8.8)
            lines = (value & MCR_RTS) << 3 | (value & MCR_DTR) << 5 | (value & (MCR_OUT1 | MCR_OUT2)) << 4
        self._modem_lines_are(lines, self.loopback_deltas)

    def _read_lsr(self):
        """Reading clears the error bits; FIFO error stays while a character further down has one."""
        lsr = self.lsr
        if lsr & (LSR_ERRORS | LSR_FIFO_ERROR):
            self.lsr &= ~(LSR_ERRORS | LSR_FIFO_ERROR)
            if any(errors for _, errors in list(self._rx)[1:]):
                self.lsr |= LSR_FIFO_ERROR
            self._update()
        return lsr

    def _read_msr(self):
        msr = self.msr
        if self.mcr & MCR_LOOP and not self.loopback_deltas:
            return msr & 0xF0
        if msr & MSR_DELTAS:
            self.msr &= 0xF0
            self._update()
        return msr

    def _write_scr(self, value):
        self.scr = value

    def _write_nothing(self, value):
        """LSR and MSR are the factory's to write (section 8.4)."""

    # What follows from the registers.

    def _modem_lines_are(self, lines, deltas):
        changed = (self.msr ^ lines) & 0xF0
        delta = changed >> 4
        if lines & MSR_RI:
            delta &= ~MSR_TERI  # only the trailing edge of RI is told
        self.msr = lines | self.msr & MSR_DELTAS
        if deltas and delta:
            self.msr |= delta
            self._update()

    def _set_divisor(self, divisor):
        self.divisor = divisor
        stop = 2 if not self.lcr & LCR_STOP else 3 if not self.lcr & 3 else 4
        parity = 2 if self.lcr & LCR_PARITY else 0
        self.frame_ns = self._frame_time(2 + 2 * (5 + (self.lcr & 3)) + parity + stop)

    def _frame_time(self, halfbits):
        """Time of one character in ns.  Divisor 0 stops the real chip's clock; here it is about 3500 baud."""
        if self.divisor == 0:
            return halfbits * 1_000_000_000 // (2 * 3500)
        return halfbits * 8 * self.divisor * 1_000_000_000 // self.base_clock

    def _settle(self):
        """Is a THR write nothing but a byte on the wire?  Then `write` need not look at the registers."""
        plain = not (self.lcr & LCR_DLAB or self.mcr & MCR_LOOP or self.ier & IER_THRE)
        self._open_thr = 0 if plain and self.pace == "instant" else -1

    def _update(self):
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
