from vmio import virtqueue
from vmio.lab import attempted, expect, seeded

ENDS = (0, 1, 2, 3, 127, 128, 32_767, 32_768, 65_533, 65_534, 65_535)


def check(need_event):
    random, cases = seeded(12), [(5, 5, 3), (3, 4, 3), (65_535, 1, 65_534)]
    cases += [(event, new, old) for old in ENDS for event in ENDS for new in ENDS if (new - old) & 0xFFFF <= 32_768]
    for _ in range(2000):
        old, came = random.randrange(1 << 16), random.choice((0, 1, 2, 4, 64, 32_768))
        cases.append(((old + random.choice((-1, 0, 1, came - 1, came, came + 1))) & 0xFFFF, (old + came) & 0xFFFF, old))
    for event, new, old in cases:
        given = f"event {event:,}, new {new:,}, old {old:,}"
        got = attempted(need_event(event, new, old), given, (bool, int), "True or False")
        expect(bool(got), virtqueue.need_event(event, new, old), given)
    return f"{len(cases):,} cases, {sum((new - old) & 0xFFFF != new - old for _, new, old in cases):,} of them across the end."
