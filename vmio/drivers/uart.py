"""A guest driver for the 16550A UART: polled or interrupt-driven, by register or by string I/O.

Source: National Semiconductor PC16550D data sheet, 8.0 "Registers".
"""

from vmio.drivers import pic
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.hypervisor.contracts import Cpu, Steps

THR, RBR, IER, IIR, FCR, LCR, MCR, LSR, SCR = 0, 0, 1, 2, 2, 3, 4, 5, 7
DATA_READY, THR_EMPTY = 0x01, 0x20
LINE_ERRORS = {0x02: "overrun", 0x04: "parity", 0x08: "framing", 0x10: "break"}
FIFO = 16
CRYSTAL = 115_200  # baud at divisor 1
TIMEOUT_NS = 50_000_000


class UartDriver:
    """COM1 at port 3F8h, line 4.  `errors` lists the line errors seen, by name, in order."""

    def __init__(self, cpu: Cpu, base: int = 0x3F8, irq: int = 4) -> None:
        self.cpu, self.base, self.irq = cpu, base, irq
        self.fifo = False
        self.errors: list[str] = []
        self._waiting, self._received = b"", bytearray()

    def init(self, baud: int = 115_200, fifo: bool = True, interrupts: bool = False) -> None:
        """Probe, set 8N1 at `baud`, FIFO on or off.  `DriverError` for a rate no divisor gives, or no UART."""
        if baud <= 0 or CRYSTAL % baud:
            raise DriverError(f"baud {baud}: a divisor of {CRYSTAL} is needed, 50 to {CRYSTAL}")
        cpu, base = self.cpu, self.base
        cpu.outb(base + SCR, 0x5A)
        if cpu.inb(base + SCR) != 0x5A:
            raise DriverTimeout(f"no UART at port {base:#x}: the scratch register does not keep a value")
        divisor = CRYSTAL // baud
        cpu.outb(base + IER, 0)
        cpu.outb(base + LCR, 0x80)            # DLAB: the divisor shows at offsets 0 and 1
        cpu.outb(base, divisor & 0xFF)
        cpu.outb(base + 1, divisor >> 8)
        cpu.outb(base + LCR, 0x03)            # 8 bits, no parity, 1 stop bit
        cpu.outb(base + FCR, 0x07 if fifo else 0)
        self.fifo = fifo
        if interrupts:
            cpu.outb(base + MCR, 0x0B)        # DTR, RTS, OUT2 (on a PC, OUT2 lets the interrupt through)
            pic.connect(cpu, self.irq, self._interrupt)

    def _room(self) -> int:
        return FIFO if self.fifo else 1

    def write(self, data: bytes) -> None:
        """Send `data`, polling the line status before each load of the FIFO (or each byte without one)."""
        cpu, base = self.cpu, self.base
        for at in range(0, len(data), self._room()):
            self._poll(THR_EMPTY, "transmitter stays busy")
            for byte in data[at:at + self._room()]:
                cpu.outb(base + THR, byte)

    def write_string(self, gpa: int, length: int) -> None:
        """Send `length` bytes of guest memory at `gpa`, each load of the FIFO by one REP OUTSB."""
        for at in range(0, length, self._room()):
            self._poll(THR_EMPTY, "transmitter stays busy")
            self.cpu.outsb(self.base + THR, gpa + at, min(self._room(), length - at))

    def write_by_interrupt(self, data: bytes) -> Steps:
        """Send `data`, one load of the FIFO per THR-empty interrupt: `yield from uart.write_by_interrupt(...)`."""
        self._waiting = bytes(data)
        self.cpu.outb(self.base + IER, 0x02)  # THRE interrupt: comes at once, the holding register is empty
        while self._waiting:
            if not (yield from self.cpu.hlt(watchdog_ns=TIMEOUT_NS)):
                raise DriverTimeout(f"UART at {self.base:#x}: no interrupt, {len(self._waiting)} bytes unsent")
        self.cpu.outb(self.base + IER, 0)

    def read(self, count: int, timeout_ns: int = TIMEOUT_NS) -> bytes:
        """`count` received bytes by polling; `DriverTimeout` if they don't come."""
        data = bytearray()
        while len(data) < count:
            self._poll(DATA_READY, f"{len(data)} of {count} bytes came", timeout_ns)
            data.append(self.cpu.inb(self.base + RBR))
        return bytes(data)

    def read_by_interrupt(self, count: int, timeout_ns: int = TIMEOUT_NS) -> Steps:
        """`count` received bytes, sleeping until the FIFO's trigger level or its time-out interrupts."""
        self.cpu.outb(self.base + IER, 0x05)  # received data, line status
        while len(self._received) < count:
            if not (yield from self.cpu.hlt(watchdog_ns=timeout_ns)):
                raise DriverTimeout(f"UART at {self.base:#x}: {len(self._received)} of {count} bytes came")
        self.cpu.outb(self.base + IER, 0)
        data, self._received = bytes(self._received[:count]), self._received[count:]
        return data

    def _poll(self, bit: int, complaint: str, timeout_ns: int = TIMEOUT_NS) -> None:
        cpu, until = self.cpu, self.cpu.now + timeout_ns
        while True:
            status = cpu.inb(self.base + LSR)
            self._note_errors(status)
            if status & bit:
                return
            if cpu.now > until:
                raise DriverTimeout(f"UART at {self.base:#x}: {complaint}")

    def _note_errors(self, status: int) -> None:
        if status & 0x1E:
            self.errors += [name for bit, name in LINE_ERRORS.items() if status & bit]

    def _interrupt(self, cpu: Cpu) -> None:
        while True:
            cause = cpu.inb(self.base + IIR)
            if cause & 1:                     # nothing pending
                return
            if cause & 0x0F == 0x02:          # THR empty
                load, self._waiting = self._waiting[:self._room()], self._waiting[self._room():]
                for byte in load:
                    cpu.outb(self.base + THR, byte)
                if not load:
                    return
            else:                             # data, time-out, or a line error
                self._drain(cpu)

    def _drain(self, cpu: Cpu) -> None:
        while True:
            status = cpu.inb(self.base + LSR)
            self._note_errors(status)
            if not status & DATA_READY:
                return
            self._received.append(cpu.inb(self.base + RBR))
