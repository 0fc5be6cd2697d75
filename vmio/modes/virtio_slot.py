"""What firmware has done for a virtio function before a generator guest starts: its BARs have addresses, and it may use them."""

from vmio.devices.pci import header as h
from vmio.hypervisor.vcpu import VCpu
from vmio.virtio import pci_wire as p

WINDOW = 0xE200_0000        # where the BARs are, 64 KiB a slot
TABLES = 0x8000             # of BAR 1 in there
ENABLE = 1 << 31            # of the address register at CF8h


def place(cpu: VCpu, slot: int) -> None:
    """Give the BARs of the function in `slot` their addresses, and let it answer and be a master of the bus."""
    bar = WINDOW + (slot << 16)
    for register, value in ((h.BAR0 + 4 * p.BAR, bar), (h.BAR0 + 4 * p.BAR + 4, 0), (h.BAR0 + 4 * p.TABLES_BAR, bar + TABLES),
                            (h.COMMAND, h.COMMAND_MEMORY | h.COMMAND_MASTER)):
        cpu.outl(0xCF8, ENABLE | slot << 11 | register)
        cpu.outl(0xCFC, value)
