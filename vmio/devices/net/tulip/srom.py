"""The serial ROM: a 93C46 of 64 words, read bit by bit through four pins of CSR9.

A command begins with chip select and, after any number of zeros, a one; then two bits of operation and six of address, each
taken at the rising edge of the clock.  To a read the ROM answers 0, then 16 bits, the highest first, each after a rising
edge.  While it says nothing its output is high.  Writes and erasures change it only after EWEN.
Source: Microchip 93C46 data sheet, "Functional description"; Linux, eeprom.c (tulip_read_eeprom).
"""

from vmio.devices.net.tulip import bits as b
from vmio.machine.checkpoint import Form, State

SROM = Form("Tulip serial ROM", 1, "words", "pins", "ticks", "command", "shifted", "out", "writable")
ADDRESS_BITS, WORD_BITS = 6, 16
COMMAND_BITS = 3 + ADDRESS_BITS           # start, operation, address
READ, WRITE, ERASE = 2, 1, 3              # operations; 0 is one of four more, by the address's upper bits
WRITE_DISABLE, WRITE_ALL, ERASE_ALL, WRITE_ENABLE = 0, 1, 2, 3


class Srom:
    """`image` has 128 bytes, the low one of each word first."""

    def __init__(self, image: bytes) -> None:
        self.words = [int.from_bytes(image[at:at + 2], "little") for at in range(0, len(image), 2)]
        self.writable = False
        self._pins = 0
        self._begin()
        self.out = 1

    def _begin(self) -> None:
        self._ticks = self._command = self._shifted = 0

    def pins(self, csr9: int) -> None:
        """CSR9 is written with the serial ROM selected: its select, clock and input pins are these."""
        selected, was_selected = csr9 & b.SROM_CS, self._pins & b.SROM_CS
        if selected and not was_selected:
            self._begin()
        elif was_selected and not selected:
            self._end()
        elif selected and csr9 & b.SROM_CLOCK and not self._pins & b.SROM_CLOCK:
            self._tick(int(bool(csr9 & b.SROM_IN)))
        self._pins = csr9

    def _tick(self, bit: int) -> None:
        """A rising edge of the clock."""
        if self._ticks < COMMAND_BITS:
            if not self._ticks and not bit:
                return                      # before the start bit
            self._command, self._ticks = self._command << 1 | bit, self._ticks + 1
            if self._ticks == COMMAND_BITS:
                self.out = 0
                if not self._operation and self._address >> ADDRESS_BITS - 2 in (WRITE_DISABLE, WRITE_ENABLE):
                    self.writable = self._address >> ADDRESS_BITS - 2 == WRITE_ENABLE
                self._shifted = self.words[self._address]
        elif self._ticks < COMMAND_BITS + WORD_BITS:
            self._ticks += 1
            if self._operation == READ:
                self.out = self._shifted >> WORD_BITS - 1
            self._shifted = self._shifted << 1 & 0xFFFF | bit

    def _end(self) -> None:
        """Chip select falls: now it writes, or erases."""
        self.out = 1
        if not self.writable or self._ticks < COMMAND_BITS:
            return
        whole = self._ticks == COMMAND_BITS + WORD_BITS
        if self._operation == ERASE:
            self.words[self._address] = 0xFFFF
        elif self._operation == WRITE and whole:
            self.words[self._address] = self._shifted
        elif not self._operation and self._address >> ADDRESS_BITS - 2 == ERASE_ALL:
            self.words[:] = [0xFFFF] * len(self.words)
        elif not self._operation and self._address >> ADDRESS_BITS - 2 == WRITE_ALL and whole:
            self.words[:] = [self._shifted] * len(self.words)

    @property
    def _operation(self) -> int:
        return self._command >> ADDRESS_BITS & 3

    @property
    def _address(self) -> int:
        return self._command & (1 << ADDRESS_BITS) - 1

    def save(self) -> State:
        """Return the words, and how far a command has come."""
        return SROM.state(words=self.words, pins=self._pins, ticks=self._ticks, command=self._command, shifted=self._shifted,
                          out=self.out, writable=self.writable)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = SROM.take(state)
        self.words, self._pins, self._ticks = list(saved["words"]), saved["pins"], saved["ticks"]
        self._command, self._shifted, self.out, self.writable = saved["command"], saved["shifted"], saved["out"], saved["writable"]
