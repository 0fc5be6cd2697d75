"""One kind of guest instruction, many times: what exits, who answers, what it costs."""

from collections.abc import Callable
from dataclasses import dataclass

from vmio.drivers import pic
from vmio.experiments import params
from vmio.experiments.params import param
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.exits import ExitCounts
from vmio.hypervisor.vcpu import VCpu
from vmio.modes import attachment, one_guest

COM1, POST, PIC_MASK = 0x3F8, 0x80, 0x21
DEVICE_MEMORY = 0xFEC0_0000   # guest-physical addresses above the RAM: no page is mapped there
BUFFER = 0x1000


def _each(instruction: Callable[[VCpu, int], object]) -> Callable[[VCpu, int], None]:
    """A program that executes `instruction(cpu, i)` for each i."""
    def program(cpu: VCpu, count: int) -> None:
        for i in range(count):
            instruction(cpu, i)
    return program


def _halt(cpu: VCpu, count: int) -> Steps[None]:
    """A timer interrupt every 100 us, and the vCPU sleeps until each."""
    pic.connect(cpu, 0, lambda cpu: None)
    cpu.outb(0x43, 0x34)                    # 8254 channel 0, mode 2
    cpu.outb(0x40, 119 & 0xFF)
    cpu.outb(0x40, 119 >> 8)
    for _ in range(count):
        yield from cpu.hlt()


# What a guest executes, by the name that the lesson shows.
PROGRAMS = {
    "OUT to a UART": _each(lambda cpu, i: cpu.outb(COM1, i & 0xFF)),
    "IN from a UART": _each(lambda cpu, i: cpu.inb(COM1 + 5)),
    "OUT to the PIC": _each(lambda cpu, i: cpu.outb(PIC_MASK, 0xFF)),
    "OUT to nobody": _each(lambda cpu, i: cpu.outb(POST, i & 0xFF)),
    "REP OUTS to a UART": lambda cpu, count: cpu.outsb(COM1, BUFFER, count),
    "MOV to RAM": _each(lambda cpu, i: cpu.store(BUFFER + 4 * i, 4, i)),
    "MOV to device memory": _each(lambda cpu, i: cpu.store(DEVICE_MEMORY, 4, i)),
    "CPUID": _each(lambda cpu, i: cpu.cpuid(0)),
    "RDMSR": _each(lambda cpu, i: cpu.rdmsr(0x4000_0020)),
    "VMCALL": _each(lambda cpu, i: cpu.hypercall(0)),
    "HLT": _halt,
}


@dataclass(frozen=True)
class InstructionParams:
    """What `run` does."""

    instruction: str = param("OUT to a UART", "what the guest executes", choices=tuple(PROGRAMS))
    count: int = param(1, "how often", low=1, high=65_536, scale="log2")
    costs: str = param("server-2022", "cost preset")


@dataclass(frozen=True)
class InstructionResult:
    """`count` instructions of one kind.  Times in ns of virtual time."""

    instruction: str
    count: int
    exits: dict
    handlers: dict
    exit_ns: int
    device_ns: int
    virtual_ns: int
    at_uart: int        # reads and writes of the serial port's registers

    @property
    def exits_total(self) -> int:
        """All exits."""
        return sum(self.exits.values())


def run(instruction: str, count: int, costs: str = "server-2022") -> InstructionResult:
    """Execute `count` instructions of the kind named (see `InstructionParams`); ValueError says what there is."""
    params.check(InstructionParams(instruction, count, costs))
    cpu = one_guest(attachment("serial", "emulated", sink=lambda byte: None), ram_mib=1, costs=costs).cpu
    if instruction == "HLT":
        pic.init(cpu)
    before = {id(row): (row.count, row.total_ns) for row in cpu.exits.rows}
    reached = _at_uart(cpu)
    started, idle = cpu.now, cpu.idle_ns
    cpu.guest.host.run((cpu, lambda cpu: PROGRAMS[instruction](cpu, count)))
    rows = [(row, row.count - before.get(id(row), (0, 0))[0], row.total_ns - before.get(id(row), (0, 0))[1])
            for row in ExitCounts(cpu.table.rows.values()).rows]
    exits: dict[str, int] = {}
    handlers: dict[str, int] = {}
    for row, n, _ in rows:
        if n:
            exits[row.instruction] = exits.get(row.instruction, 0) + n
            handlers[row.handler] = handlers.get(row.handler, 0) + n
    return InstructionResult(instruction, count, exits, handlers, sum(ns for _, _, ns in rows),
                             cpu.idle_ns - idle, cpu.now - started, _at_uart(cpu) - reached)


def _at_uart(cpu: VCpu) -> int:
    """How often the serial port's registers were read or written; a string instruction's units count one by one."""
    return sum(row.units for row in cpu.exits.rows if row.device == "uart")
