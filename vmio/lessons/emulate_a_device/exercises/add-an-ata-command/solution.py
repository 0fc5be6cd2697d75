def read_native_max(channel, device):
    """READ NATIVE MAX ADDRESS: show the address of the last sector in the registers of `device`."""
    last = device.image.sectors - 1
    device.sector = last & 0xFF
    device.low = last >> 8 & 0xFF
    device.high = last >> 16 & 0xFF
    device.select = device.select & 0xF0 | last >> 24 & 0x0F
    return True
