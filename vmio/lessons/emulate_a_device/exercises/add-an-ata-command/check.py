from vmio import AtaDisk, Board, ata_commands, one_guest
from vmio.lab import Wrong, expect, varied

OPCODE = 0xF8


class Size:
    """An image of which only the size is asked."""

    name = "large"

    def __init__(self, sectors):
        self.sectors = sectors


def check(read_native_max):
    known = ata_commands.COMMANDS[OPCODE]
    for sectors in varied("add-an-ata-command", (100, 65_536, 3_000_001, (1 << 28) - 5), range(2, 1 << 28)):
        for unit in (0, 1):
            guest = one_guest(ram_mib=1).guest
            disk = AtaDisk(Size(sectors))
            board = Board(guest, (disk, disk) if unit else (disk,))
            cpu, given = guest.cpu, f"a disk of {sectors:,} sectors as {'slave' if unit else 'master'}"
            answered = []
            ata_commands.COMMANDS[OPCODE] = lambda *arguments: answered.append(read_native_max(*arguments)) or answered[-1]
            try:
                cpu.outb(0x1F6, 0xE0 | unit << 4)
                cpu.outb(0x1F7, OPCODE)
            finally:
                ata_commands.COMMANDS[OPCODE] = known
            if answered == [None] or answered == [...]:
                raise NotImplementedError
            expect(board.ata[0].line.level, 1, given=f"{given}: interrupt line after the command")
            if cpu.inb(0x1F7) & 0x81:
                raise Wrong(given, "status without BSY and ERR", f"{cpu.inb(0x1F7):#04x}")
            shown = cpu.inb(0x1F3) | cpu.inb(0x1F4) << 8 | cpu.inb(0x1F5) << 16 | (cpu.inb(0x1F6) & 0x0F) << 24
            expect(shown, sectors - 1, given=given)
            expect(cpu.inb(0x1F6) & 0xF0, 0xE0 | unit << 4, given=f"{given}: upper half of the device register")
    return "The driver finds the last sector of every disk."
