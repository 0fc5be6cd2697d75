"""Text through the emulated UART: by register, by string I/O, by interrupt."""

from dataclasses import dataclass
from typing import Any

from vmio.drivers.uart import UartDriver
from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes import attachment, one_guest

HOW = ("polled", "string", "interrupt")
PACES = ("instant", "baud")
BUFFER = 0x1000


@dataclass(frozen=True)
class SerialParams:
    """What `run` does."""

    bytes: int = param(1024, "length of the text", unit="bytes", low=1, high=16_384, scale="log2")
    fifo: bool = param(True, "the transmitter's FIFO of 16 bytes is on")
    how: str = param("polled", "how the driver sends: it asks for room, hands over a string, or waits for interrupts", choices=HOW)
    pace: str = param("instant", "how fast the transmitter sends: at once, or at 115,200 baud", choices=PACES)
    costs: str = param("server-2022", "cost preset")


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
    def exits_per_byte(self) -> float:
        """The lesson's figure of merit."""
        return self.exits_total / self.bytes


def text(length: int) -> bytes:
    """`length` bytes of a line that repeats, as a log does."""
    line = b"the quick brown fox jumps over the lazy dog\r\n"
    return (line * (length // len(line) + 1))[:length]


def _by_worker(cpu: VCpu) -> int:
    return cpu.exits.by(lambda row: row.handler)["worker"]


def run(bytes: int = 1024, fifo: bool = True, how: str = "polled", pace: str = "instant",
        costs: str = "server-2022") -> SerialResult:
    """Send `bytes` through COM1 (see `SerialParams`); ValueError names a parameter that cannot be."""
    params.check(SerialParams(bytes, fifo, how, pace, costs))
    machine = one_guest(attachment("serial", "emulated", pace=pace, fifo=fifo, interrupts=how == "interrupt"), ram_mib=1, costs=costs)
    cpu, data = machine.cpu, text(bytes)
    before: list[Any] = []

    def program(cpu: VCpu, uart: UartDriver) -> Steps[None]:
        before.extend((cpu.exits.total, cpu.exits.ns, cpu.now, cpu.interrupts, cpu.exits.by_instruction(), _by_worker(cpu)))
        if how == "polled":
            uart.write(data)
        elif how == "string":
            cpu.write(BUFFER, data)
            uart.write_string(BUFFER, bytes)
        else:
            yield from uart.write_by_interrupt(data)
    machine.run(program)
    exits_before, exit_ns, started, interrupts, instructions, workers = before
    exits = cpu.exits.by_instruction()
    exits.subtract(instructions)
    took, idle = cpu.now - started, cpu.idle_ns
    machine.guest.clock.advance_to(cpu.now + 100_000_000)   # let what is in the transmitter leave
    return SerialResult(bytes, {name: n for name, n in exits.items() if n}, cpu.exits.total - exits_before,
                        _by_worker(cpu) - workers, cpu.interrupts - interrupts, cpu.exits.ns - exit_ns, idle, took,
                        machine.board.uart.sent)
