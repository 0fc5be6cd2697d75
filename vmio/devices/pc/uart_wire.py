"""The 16550A's wire: what arrives and what is sent, character by character, and the modem lines.

The registers that the CPU sees are `uart.Uart`'s.  Source: PC16550D data sheet,
section 8; the sections cited below.
"""

from collections import deque
from collections.abc import Callable

from vmio.devices.pc.alarm import Alarm
from vmio.devices.pc.tail import Tail
from vmio.devices.pc.uart_bits import (
    FCR_ENABLE,
    FIFO_DEPTH,
    LCR_PARITY,
    LCR_STOP,
    LSR_CHARACTER_ERRORS,
    LSR_DR,
    LSR_FIFO_ERROR,
    LSR_OE,
    LSR_TEMT,
    LSR_THRE,
    MCR_LOOP,
    MSR_DELTAS,
    MSR_RI,
    MSR_TERI,
)
from vmio.machine.clock import Clock


class UartWire:
    """Receiver, transmitter and their FIFOs; the registers here are those that a character on the wire changes."""

    # Slots, not a dict: Python finds them faster, and every exit of the headline benchmark passes here.
    __slots__ = ("rbr", "fcr", "lcr", "mcr", "lsr", "msr", "divisor", "frame_ns", "modem_inputs", "clock", "pace", "base_clock",
                 "sent", "_emit", "_rx", "_tx", "_wire", "_idle", "_frame_out", "_frame_in", "_timed_out", "_thre_pending", "_tsr")
    rbr: int                     # from the chip's `reset` on
    fcr: int
    lcr: int
    mcr: int
    lsr: int
    msr: int
    divisor: int
    frame_ns: int
    _timed_out: bool
    _thre_pending: bool
    _tsr: int | None             # the transmitter's shift register; None: idle

    def __init__(self, clock: Clock, sink: Callable[[int], object] | None, pace: str, base_clock: int, modem_inputs: int) -> None:
        if pace not in ("instant", "baud"):
            raise ValueError(f"pace is {pace!r}; it must be 'instant' or 'baud'")
        if not base_clock > 0:
            raise ValueError(f"base_clock is {base_clock!r}; it must be a frequency in Hz above 0")
        if not 0 <= modem_inputs <= 0xFF or modem_inputs & MSR_DELTAS:
            raise ValueError(f"modem_inputs is {modem_inputs!r}; only MSR bits 7:4 (0x00 to 0xF0) are inputs")
        self.clock, self.pace, self.base_clock, self.modem_inputs = clock, pace, base_clock, modem_inputs
        self.sent = Tail()
        self._emit = sink or self.sent.append
        self._rx: deque[tuple[int, int]] = deque()       # (byte, its errors)
        self._tx: deque[int] = deque()
        self._wire: deque[tuple[int, int]] = deque()
        self._idle = Alarm(clock, self._character_timeout)
        self._frame_out = Alarm(clock, self._frame_sent)
        self._frame_in = Alarm(clock, self._frame_arrived)

    def _update(self) -> None:
        """The registers have changed: which interrupt is pending?  The chip's own."""
        raise NotImplementedError

    # The peer's side.

    def receive(self, data: bytes, errors: int = 0) -> None:
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

    def free(self) -> int:
        """Return how many characters the receiver takes now without an overrun."""
        if self.fcr & FCR_ENABLE:
            return FIFO_DEPTH - len(self._rx)
        return 0 if self.lsr & LSR_DR else 1

    def set_modem_inputs(self, lines: int) -> None:
        """The peer drives DCD, RI, DSR, CTS (MSR bits 7:4); changes set delta bits unless in loopback."""
        self.modem_inputs = lines & 0xF0
        if not self.mcr & MCR_LOOP:
            self._modem_lines_are(self.modem_inputs, deltas=True)

    # Receiver.

    def _arrive(self, byte: int, errors: int) -> None:
        if not self.mcr & MCR_LOOP:
            self._accept(byte, errors)

    def _accept(self, byte: int, errors: int) -> None:
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

    def _character_timeout(self) -> None:
        """Four character times without a character in or out, and the FIFO is not empty (section 8.11)."""
        self._timed_out = True
        self._update()

    def _frame_arrived(self) -> None:
        self._arrive(*self._wire.popleft())
        if self._wire:
            self._frame_in.at(self.clock.now + self.frame_ns)

    # Transmitter.

    def _load_shift_register(self) -> None:
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

    def _frame_sent(self) -> None:
        byte, self._tsr = self._tsr, None
        assert byte is not None            # the frame's alarm rings only while one is going out
        if self.mcr & MCR_LOOP:
            self._accept(byte, 0)
        else:
            self._emit(byte)
        if self._tx:
            self._load_shift_register()
        else:
            self.lsr |= LSR_TEMT

    # Modem lines, and the time of a frame.

    def _modem_lines_are(self, lines: int, deltas: bool) -> None:
        changed = (self.msr ^ lines) & 0xF0
        delta = changed >> 4
        if lines & MSR_RI:
            delta &= ~MSR_TERI  # only the trailing edge of RI is told
        self.msr = lines | self.msr & MSR_DELTAS
        if deltas and delta:
            self.msr |= delta
            self._update()

    def _set_divisor(self, divisor: int) -> None:
        self.divisor = divisor
        stop = 2 if not self.lcr & LCR_STOP else 3 if not self.lcr & 3 else 4
        parity = 2 if self.lcr & LCR_PARITY else 0
        self.frame_ns = self._frame_time(2 + 2 * (5 + (self.lcr & 3)) + parity + stop)

    def _frame_time(self, halfbits: int) -> int:
        """Time of one character in ns.  Divisor 0 stops the real chip's clock; here it is about 3500 baud."""
        if self.divisor == 0:
            return halfbits * 1_000_000_000 // (2 * 3500)
        return halfbits * 8 * self.divisor * 1_000_000_000 // self.base_clock
