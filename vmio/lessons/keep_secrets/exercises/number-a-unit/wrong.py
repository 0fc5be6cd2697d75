def tweak(sector, unit, by_units):
    """Always counts sectors, whatever is asked for: right for units of 512 bytes."""
    return sector.to_bytes(16, "little")
