"""Text through the emulated UART: by register, by string I/O, by interrupt."""

from dataclasses import dataclass

from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.uart import UartDriver
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host

HOW = ("polled", "string", "interrupt")
MOST = 16_384
BUFFER = 0x1000


@dataclass(frozen=True)
class SerialResult:
    """`bytes` sent, and what that took, set-up left out.  Times in ns of virtual time."""

    bytes: int
    exits: dict
    exits_total: int
    worker_exits: int
    interrupts: int
    exit_ns: int
    device_ns: int
    virtual_ns: int
    sent: bytearray

    @property
    def exits_per_byte(self):
        """The lesson's figure of merit."""
        return self.exits_total / self.bytes


def text(length):
    """`length` bytes of a line that repeats, as a log does."""
    line = b"the quick brown fox jumps over the lazy dog\r\n"
    return (line * (length // len(line) + 1))[:length]


def _by_worker(cpu):
    return cpu.exits.by(lambda row: row.handler)["worker"]


def run(bytes=1024, fifo=True, how="polled", pace="instant", costs="server-2022"):
    """Send `bytes` (1 to 16,384) through COM1; ValueError names a parameter that cannot be."""
    if not 1 <= bytes <= MOST:
        raise ValueError(f"bytes {bytes}: 1 to {MOST:,}")
    if how not in HOW:
        raise ValueError(f"how {how!r}: choose one of {', '.join(HOW)}")
    guest = Host(memory_mib=8, costs=CostModel.preset(costs)).guest(ram_mib=1)
    board = Board(guest, uart_pace=pace)
    cpu, data = guest.cpu, text(bytes)
    uart = UartDriver(cpu)
    pic.init(cpu)
    uart.init(fifo=fifo, interrupts=how == "interrupt")
    before = cpu.exits.total, cpu.exits.ns, cpu.now, cpu.interrupts
    instructions, workers = cpu.exits.by_instruction(), _by_worker(cpu)

    def program(cpu):
        if how == "polled":
            uart.write(data)
        elif how == "string":
            cpu.write(BUFFER, data)
            uart.write_string(BUFFER, bytes)
        else:
            yield from uart.write_by_interrupt(data)
    guest.host.run((cpu, program))
    exits = cpu.exits.by_instruction()
    exits.subtract(instructions)
    took, idle = cpu.now - before[2], cpu.idle_ns
    guest.clock.advance_to(cpu.now + 100_000_000)   # let what is in the transmitter leave
    return SerialResult(bytes, {name: n for name, n in exits.items() if n}, cpu.exits.total - before[0],
                        _by_worker(cpu) - workers, cpu.interrupts - before[3], cpu.exits.ns - before[1], idle, took, board.uart.sent)
