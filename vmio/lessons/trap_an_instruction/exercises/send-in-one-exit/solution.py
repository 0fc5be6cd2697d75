def send(cpu, data):
    """Send `data` to port 3F8h with a single VM exit."""
    cpu.write(0x10000, data)
    cpu.outsb(0x3F8, 0x10000, len(data))
