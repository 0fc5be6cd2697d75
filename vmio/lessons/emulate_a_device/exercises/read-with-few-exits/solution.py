def read(cpu, lba, sectors, gpa):
    """Read `sectors` from `lba` to guest memory at `gpa` by PIO, with few exits."""
    cpu.outb(0x1F6, 0xE0 | lba >> 24 & 0x0F)
    cpu.outb(0x1F2, 16)
    cpu.outb(0x1F7, 0xC6)
    cpu.outb(0x1F2, sectors)
    cpu.outb(0x1F3, lba & 0xFF)
    cpu.outb(0x1F4, lba >> 8 & 0xFF)
    cpu.outb(0x1F5, lba >> 16 & 0xFF)
    cpu.outb(0x1F7, 0xC4)
    while sectors:
        block = min(sectors, 16)
        cpu.insw(0x1F0, gpa, 256 * block)
        sectors, gpa = sectors - block, gpa + 512 * block
