"""What a PC's firmware writes into the board's registers before an operating system runs, and Linux takes for granted.

    PIRQ routes   PCI's four interrupt wires go to IRQ 10 and 11, which are level-triggered
    IDE timing    both channels decode their ports: Linux's ata_piix takes a channel that doesn't for one that isn't there
    BARs          each gets an address of its own, and each function with a pin is told which IRQ it has
    power         the registers of power management are at 600h, and events interrupt as ACPI wants it

It writes to the chips themselves: none of it is an access of the guest's, and nothing is counted.

Sources: Intel 290550 (PIIX3), 2.2.9 "PIRQ route control", 2.3 "IDE timing"; 290562 (PIIX4), 7.1; PCI Local Bus Specification 2.1,
6.2.4 "Interrupt Line" and 6.2.5; Linux drivers/ata/ata_piix.c, piix_port_enable_bits.
"""

from vmio.devices.board import Board
from vmio.devices.pc.power_block import CONTROL, SCI_ENABLE
from vmio.devices.pci.header import BAR0, COMMAND, COMMAND_IO, COMMAND_MEMORY, INTERRUPT_LINE, INTERRUPT_PIN
from vmio.devices.pci.piix import PIRQ_ROUTE, PowerManagement, pirq_of

ROUTES = (10, 11, 10, 11)                    # the IRQ of PIRQA# to PIRQD#
LEVEL = sum(1 << irq - 8 for irq in set(ROUTES))   # of the second edge/level register, which is of IRQ 8 to 15
IDE_TIMING, IDE_DECODE = 0x40, 0x8000        # one word a channel
POWER_BASE, POWER_IRQ = 0x600, 9             # the interrupt of power management is wired
FIRST_PORT, FIRST_ADDRESS = 0xC000, 0xE000_0000    # of the BARs
LAST_ADDRESS = 0xFEC0_0000                   # the I/O APIC's place
PAGE = 4096


def set_up(board: Board) -> None:
    """Do all of it.  ValueError if there is no room for a BAR."""
    for pirq, irq in enumerate(ROUTES):
        board.bridge.write(PIRQ_ROUTE + pirq, 1, irq)
    board.pic.elcr.write(1, 1, LEVEL)
    ide, power = board.pci.functions[1, 1], board.pci.functions[1, 3]
    for channel in range(2):
        ide.write(IDE_TIMING + 2 * channel, 2, IDE_DECODE)
    power.write(PowerManagement.BASE, 4, POWER_BASE | 1)
    power.write(PowerManagement.MISCELLANEOUS, 1, 1)
    board.power.write(CONTROL, 2, SCI_ENABLE)
    _give_addresses(board)
    power.write(INTERRUPT_LINE, 1, POWER_IRQ)


def _give_addresses(board: Board) -> None:
    """Give each BAR an address, in the order of the slots, and let it answer; tell functions with a pin their IRQ."""
    port, address = FIRST_PORT, FIRST_ADDRESS
    for (slot, _), function in sorted(board.pci.functions.items()):
        for index, bar in sorted(function.bars.items()):
            if bar.io:
                base = -(-port // bar.size) * bar.size
                port = base + bar.size
            else:                            # none shares a page: each can be given away by itself
                size = max(bar.size, PAGE)
                base = -(-address // size) * size
                address = base + size
            function.write(BAR0 + 4 * index, 4, base)
            if bar.wide:
                function.write(BAR0 + 4 * index + 4, 4, 0)
        if port > 1 << 16 or address > LAST_ADDRESS:
            raise ValueError(f"PCI: no room for the BARs of slot {slot}")
        if function.bars:
            function.write(COMMAND, 2, function.get(COMMAND, 2) | COMMAND_IO | COMMAND_MEMORY)
        pin = function.get(INTERRUPT_PIN, 1)
        if pin:
            function.write(INTERRUPT_LINE, 1, ROUTES[pirq_of(slot, pin - 1)])
