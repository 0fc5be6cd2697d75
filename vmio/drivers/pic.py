"""The guest's own set-up of the 8259 pair: remap, unmask, end of interrupt.

Source: Intel 8259A data sheet, "Programming the 8259A".  Vectors 20h to 2Fh as
PC operating systems have them, since the reset vectors collide with exceptions.
"""

from vmio.hypervisor.contracts import Cpu, Handler

MASTER, SLAVE = 0x20, 0xA0
FIRST_VECTOR = 0x20


def init(cpu: Cpu) -> None:
    """ICW1 to ICW4 for both chips, everything masked but the cascade.  10 exits."""
    for chip, vector, wiring in ((MASTER, FIRST_VECTOR, 0x04), (SLAVE, FIRST_VECTOR + 8, 0x02)):
        cpu.outb(chip, 0x11)         # ICW1: edge triggered, cascade, ICW4 follows
        cpu.outb(chip + 1, vector)   # ICW2
        cpu.outb(chip + 1, wiring)   # ICW3: slave on line 2
        cpu.outb(chip + 1, 0x01)     # ICW4: 8086 mode, normal EOI
        cpu.outb(chip + 1, 0xFB if chip == MASTER else 0xFF)


def connect(cpu: Cpu, irq: int, handler: Handler) -> None:
    """Install `handler(cpu)` for an ISA line (0 to 15) and unmask it; the EOI is sent after the handler."""
    if not 0 <= irq <= 15 or irq == 2:
        raise ValueError(f"irq {irq}: ISA lines are 0 to 15, 2 is the cascade")

    def interrupt(cpu: Cpu) -> None:
        handler(cpu)
        if irq >= 8:
            cpu.outb(SLAVE, 0x20)
        cpu.outb(MASTER, 0x20)       # OCW2: non-specific EOI

    cpu.on_interrupt(FIRST_VECTOR + irq, interrupt)
    port = (SLAVE if irq >= 8 else MASTER) + 1
    cpu.outb(port, cpu.inb(port) & ~(1 << irq % 8) & 0xFF)
