from vmio import Board, Host, pic
from vmio.lab import Wrong, expect_at_most


def check(wait_for):
    worst = 0
    for count, divisor in ((1, 119), (3, 1193), (7, 311)):
        guest = Host(memory_mib=8).guest(ram_mib=1)
        Board(guest)
        cpu, ticks = guest.cpu, []
        pic.init(cpu)
        pic.connect(cpu, 0, lambda cpu: ticks.append(cpu.now))
        for port, value in ((0x43, 0x34), (0x40, divisor & 0xFF), (0x40, divisor >> 8)):
            cpu.outb(port, value)
        before = cpu.exits.total
        waiting = wait_for(cpu, ticks, count)
        if waiting is None:
            raise NotImplementedError
        guest.host.run((cpu, waiting), limit_ns=100_000_000)
        given = f"{count} ticks of {divisor} timer periods"
        if len(ticks) < count:
            raise Wrong(given, f"{count} ticks", f"{len(ticks)} ticks")
        exits = cpu.exits.total - before - cpu.interrupts
        expect_at_most(exits, 2 * count, "exits", given=given)
        worst = max(worst, exits / count)
    return f"At most {worst:g} exits for each tick."
