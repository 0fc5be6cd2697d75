"""One kind of guest instruction, many times: what exits, who answers, what it costs."""

from dataclasses import dataclass

from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.exits import ExitCounts
from vmio.hypervisor.host import Host

COM1, POST, PIC_MASK = 0x3F8, 0x80, 0x21
DEVICE_MEMORY = 0xFEC0_0000   # guest-physical addresses above the RAM: no page is mapped there
BUFFER = 0x1000
MOST = 65_536


def _each(instruction):
    """A program that executes `instruction(cpu, i)` for each i."""
    def program(cpu, count):
        for i in range(count):
            instruction(cpu, i)
    return program


def _halt(cpu, count):
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
class InstructionResult:
    """`count` instructions of one kind.  Times in ns of virtual time."""

    instruction: str
    count: int
    exits: dict
    handlers: dict
    exit_ns: int
    device_ns: int
    virtual_ns: int

    @property
    def exits_total(self):
        """All exits."""
        return sum(self.exits.values())


def run(instruction, count, costs="server-2022"):
    """Execute `count` (1 to 65,536) instructions of the kind named; ValueError says which there are."""
    if instruction not in PROGRAMS:
        raise ValueError(f"instruction {instruction!r}: choose one of {', '.join(PROGRAMS)}")
    if not 1 <= count <= MOST:
        raise ValueError(f"count {count}: 1 to {MOST:,}")
    guest = Host(memory_mib=8, costs=CostModel.preset(costs)).guest(ram_mib=1)
    Board(guest, serial=lambda byte: None)
    cpu = guest.cpu
    if instruction == "HLT":
        pic.init(cpu)
    before = {id(row): (row.count, row.total_ns) for row in cpu.exits.rows}
    started, idle = cpu.now, cpu.idle_ns
    guest.host.run((cpu, lambda cpu: PROGRAMS[instruction](cpu, count)))
    rows = [(row, row.count - before.get(id(row), (0, 0))[0], row.total_ns - before.get(id(row), (0, 0))[1])
            for row in ExitCounts(cpu.table.rows.values()).rows]
    exits, handlers = {}, {}
    for row, n, _ in rows:
        if n:
            exits[row.instruction] = exits.get(row.instruction, 0) + n
            handlers[row.handler] = handlers.get(row.handler, 0) + n
    return InstructionResult(instruction, count, exits, handlers, sum(ns for _, _, ns in rows),
                             cpu.idle_ns - idle, cpu.now - started)
