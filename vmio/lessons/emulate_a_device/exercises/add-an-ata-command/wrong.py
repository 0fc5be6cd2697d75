def read_native_max(channel, device):
    """Shows how many sectors there are, which is one more than the last address."""
    last = device.image.sectors
    device.sector = last & 0xFF
    device.low = last >> 8 & 0xFF
    device.high = last >> 16 & 0xFF
    device.select = device.select & 0xF0 | last >> 24 & 0x0F
    return True
