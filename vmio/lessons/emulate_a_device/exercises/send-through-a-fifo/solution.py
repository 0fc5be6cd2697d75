def send(cpu, data):
    """Send `data` (bytes) through the UART at port 3F8h; its FIFO takes 16 bytes when LSR bit 5 is set."""
    for at in range(0, len(data), 16):
        while not cpu.inb(0x3FD) & 0x20:
            pass
        for byte in data[at:at + 16]:
            cpu.outb(0x3F8, byte)
