from vmio import recorded, steps
from vmio.lab import a_number, expect, seeded


def programs():
    """Small ones that show one thing, then mixtures."""
    random = seeded(7)
    yield from ([], [("outb", steps.PORT)], [("cpuid",)], [("outsb", steps.PORT, 20)], [("insb", steps.PORT, 1025)],
                [("insw", steps.PORT, 512)], [("store", steps.DOORBELL), ("load", steps.DOORBELL)],
                [("store", steps.ROM + 4092), ("load", steps.ROM + 4092)],
                [("store", steps.BAR + 4092), ("store", steps.BAR + 4096)])
    kinds = [lambda: (random.choice(("outb", "outw", "outl", "inb", "inw", "inl")), steps.PORT),
             lambda: ("outb", steps.BELL_PORT), lambda: ("cpuid",),
             lambda: (random.choice(("outsb", "outsw", "outsl")), steps.PORT, random.randrange(1, 20)),
             lambda: (random.choice(("insb", "insw", "insl")), steps.PORT, random.randrange(1, 900)),
             lambda: (random.choice(("load", "store")), random.choice(
                 (steps.RAM, steps.ROM, steps.BAR, steps.DOORBELL, steps.NOWHERE, recorded.NEVER_MAPPED)))]
    for _ in range(8):
        yield [random.choice(kinds)() for _ in range(random.randrange(4, 16))]


def check(exits_seen):
    count = 0
    for program in programs():
        answer = a_number(exits_seen(list(program)), given=program)
        expect(answer, len(recorded.seen(program).exits), given=program)
        count += 1
    return f"{count} programs."
