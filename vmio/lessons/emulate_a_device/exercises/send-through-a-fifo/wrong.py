def send(cpu, data):
    """Asks once, then sends everything: the FIFO overflows on a line with a real pace."""
    while not cpu.inb(0x3FD) & 0x20:
        pass
    for byte in data:
        cpu.outb(0x3F8, byte)
