def tweak(sector, unit, by_units):
    """Return the 16 bytes with which the unit that begins at `sector` is encrypted."""
    number = sector * 512 // unit if by_units else sector
    return number.to_bytes(16, "little")
