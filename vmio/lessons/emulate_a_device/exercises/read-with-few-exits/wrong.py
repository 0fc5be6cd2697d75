def read(cpu, lba, sectors, gpa):
    """READ SECTORS: all bytes are right, but each sector is an exit."""
    for port, value in ((0x1F6, 0xE0 | lba >> 24 & 0x0F), (0x1F2, sectors), (0x1F3, lba & 0xFF),
                        (0x1F4, lba >> 8 & 0xFF), (0x1F5, lba >> 16 & 0xFF), (0x1F7, 0x20)):
        cpu.outb(port, value)
    for sector in range(sectors):
        cpu.insw(0x1F0, gpa + 512 * sector, 256)
