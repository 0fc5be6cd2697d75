def wait_for(cpu, ticks, count):
    """Polls the timer's counter: the ticks come, and so do thousands of exits."""
    while len(ticks) < count:
        cpu.inb(0x40)
        if False:
            yield
