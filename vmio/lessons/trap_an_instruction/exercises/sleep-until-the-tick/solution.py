def wait_for(cpu, ticks, count):
    """Sleep until `ticks` holds `count` entries: `yield from cpu.hlt()` waits for an interrupt."""
    while len(ticks) < count:
        yield from cpu.hlt()
