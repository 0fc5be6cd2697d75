"""The PHY behind the MII, and the two wires to its registers, of which each is a pin of CSR9 that software moves.

A frame: at least 32 ones, start 01, operation (10 read, 01 write), five bits of address, five of register; then two of
turnaround and 16 of data, from whom the operation says.  The host's bits count at the rising edge of the clock (MDC); the
PHY's change after it.
Source: IEEE 802.3-2022, 22.2.4 "Management functions" (registers 0 to 5), 22.2.4.5 "Management frame structure".
"""

from vmio.devices.net.tulip import bits as b
from vmio.machine.checkpoint import Form, State

MII = Form("Tulip MII", 1, "registers", "link", "failed", "pins", "ones", "bits", "count", "reading", "out")
PREAMBLE, COMMAND_BITS, TURNAROUND, DATA_BITS = 32, 14, 2, 16
READ, WRITE = 0b0110, 0b0101         # start and operation
ADDRESS = 1
CONTROL, STATUS, IDENTIFIER, ADVERTISEMENT, PARTNER = 0, 1, 2, 4, 5
RESET, RESTART = 1 << 15, 1 << 9     # of control: both are over at once
NEGOTIATED, LINK = 1 << 5, 1 << 2    # of status
# As QEMU's PHY answers: 100BASE-TX in both duplexes, 10BASE-T in full; negotiation done, link up.
POWER_ON = {CONTROL: 0x3100, STATUS: 0x702C, IDENTIFIER: 0x7810, ADVERTISEMENT: 0x0501, PARTNER: 0x4181, 16: 0x0003, 18: 0x0001}
WRITABLE = {CONTROL: 0x7D00, ADVERTISEMENT: 0xFFFF, 16: 0x0FFF}


class Mii:
    """One PHY, at address 1.  `idle` is what the data line reads while nobody drives it."""

    def __init__(self, idle: int) -> None:
        self.idle = idle
        self.link = True
        self._failed = False             # the link was down since status was last read (22.2.4.2.13: latched)
        self.registers = [POWER_ON.get(n, 0) for n in range(32)]
        self._pins = 0
        self.out = 0
        self._begin()

    def _begin(self) -> None:
        self._ones = self._bits = self._count = 0
        self._reading: int | None = None      # the word that it tells

    def set_link(self, up: bool) -> None:
        """The cable has a partner, or none."""
        self.link = up
        self._failed |= not up

    def pins(self, csr9: int) -> None:
        """CSR9 is written: clock, data and direction are these."""
        if csr9 & b.MDC and not self._pins & b.MDC:
            if csr9 & b.MII_INPUT:
                self._tell()
            else:
                self._hear(int(bool(csr9 & b.MDO)))
        self._pins = csr9

    def _hear(self, bit: int) -> None:
        """A bit of the host's."""
        if not self._count:
            if bit or self._ones < PREAMBLE:
                self._ones = min(self._ones + 1, PREAMBLE) if bit else 0
                return
        self._bits, self._count = self._bits << 1 | bit, self._count + 1
        if self._count == COMMAND_BITS:
            operation, phy, register = self._bits >> 10, self._bits >> 5 & 31, self._bits & 31
            if operation == READ:
                self._reading = self.read(register) if phy == ADDRESS else 0xFFFF * self.idle
            elif operation != WRITE:
                self._begin()
        elif self._count == COMMAND_BITS + TURNAROUND + DATA_BITS:
            command = self._bits >> TURNAROUND + DATA_BITS
            if command >> 10 == WRITE and command >> 5 & 31 == ADDRESS:
                self.write(command & 31, self._bits & 0xFFFF)
            self._begin()

    def _tell(self) -> None:
        """The host lets go of the line for a bit."""
        self.out = self.idle
        if self._reading is None:
            self._begin()
            return
        self._count += 1
        told = self._count - COMMAND_BITS - TURNAROUND
        if told < 0:
            self.out = 0                          # the PHY begins with a zero
        elif told < DATA_BITS:
            self.out = self._reading >> DATA_BITS - 1 - told & 1
        else:
            self._begin()

    def read(self, register: int) -> int:
        """Return a register of the PHY's; status says once that the link was down, before it says that it is up."""
        value = self.registers[register]
        if register == STATUS:
            if not self.link or self._failed:
                value &= ~(LINK | NEGOTIATED)
            self._failed = not self.link
        return value

    def write(self, register: int, value: int) -> None:
        """Write to a register of the PHY's, of which many can only be read."""
        if register == CONTROL and value & RESET:
            self.registers = [POWER_ON.get(n, 0) for n in range(32)]
            return
        mask = WRITABLE.get(register, 0)
        if register == CONTROL:
            value &= ~RESTART
        self.registers[register] = self.registers[register] & ~mask | value & mask

    def save(self) -> State:
        """Return the registers, and how far a frame has come."""
        return MII.state(registers=self.registers, link=self.link, failed=self._failed, pins=self._pins, ones=self._ones,
                         bits=self._bits, count=self._count, reading=self._reading, out=self.out)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = MII.take(state)
        self.registers, self.link, self._failed, self._pins = list(saved["registers"]), saved["link"], saved["failed"], saved["pins"]
        self._ones, self._bits, self._count = saved["ones"], saved["bits"], saved["count"]
        self._reading, self.out = saved["reading"], saved["out"]
