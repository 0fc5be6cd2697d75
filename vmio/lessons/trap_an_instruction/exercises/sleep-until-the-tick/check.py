from vmio import attachment, one_guest, pic
from vmio.lab import Wrong, expect_at_most, meter, varied


def ticking(divisor):
    """A guest's processor, and a list that grows by one at each tick of its timer."""
    cpu, ticks = one_guest(attachment("serial", "emulated"), ram_mib=1).cpu, []
    pic.init(cpu)
    pic.connect(cpu, 0, lambda cpu: ticks.append(cpu.now))
    for port, value in ((0x43, 0x34), (0x40, divisor & 0xFF), (0x40, divisor >> 8)):
        cpu.outb(port, value)
    return cpu, ticks


def check(wait_for):
    worst = 0
    for count, divisor in zip((1, 3, 7), varied("sleep-until-the-tick", (119, 1193, 311), range(119, 1200))):
        cpu, ticks = ticking(divisor)
        before = cpu.exits.total
        waiting = wait_for(cpu, ticks, count)
        if waiting is None:
            raise NotImplementedError
        cpu.guest.host.run((cpu, waiting), limit_ns=100_000_000)
        given = f"{count} ticks of {divisor} timer periods"
        if len(ticks) < count:
            raise Wrong(given, f"{count} ticks", f"{len(ticks)} ticks")
        exits = cpu.exits.total - before - cpu.interrupts
        expect_at_most(exits, 2 * count, "exits", given=given)
        worst = max(worst, exits / count)
    return f"At most {worst:g} exits for each tick."


def cost(wait_for, count=3):
    """{count:,} ticks of a timer"""
    cpu, ticks = ticking(1193)
    read = meter(cpu)
    cpu.guest.host.run((cpu, wait_for(cpu, ticks, count)), limit_ns=100_000_000)
    return {**read(), "ticks": len(ticks)}
