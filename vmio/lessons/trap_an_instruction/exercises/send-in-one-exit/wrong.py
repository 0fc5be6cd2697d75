def send(cpu, data):
    """Every byte arrives, but each is an exit."""
    for byte in data:
        cpu.outb(0x3F8, byte)
