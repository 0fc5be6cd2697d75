from vmio.lab import a_number, attempted, expect, seeded
from vmio.lessons.watch_and_steer.panel import steered

KNOWN = (([4, 2, 3, 1, 1, 2, 1, 2], 2.5), ([1, 2, 3, 4], None), ([3, 1, 2, 1, 2], None), ([5, 5, 4, 4, 4, 5, 3, 3, 4, 2, 2, 2, 3], 3.5), ([], None), ([1000.0] * 9, None))


def check(swing):
    random = seeded(41)
    for limits, right in KNOWN:
        _one(swing, limits, right, f"limits {limits}")
    seeds = [random.randrange(1, 1000) for _ in range(2)]
    for name, delay in (("hasty", 0), ("AIMD", 0), ("AIMD", 2), ("proportional", 1), ("static", 0)):
        for seed in seeds:
            run = steered(name, 120, delay, 48, seed)
            _one(swing, [look.limit for look in run.after], run.swing, f"the limits of {name}, {delay} looks late")
    return f"{len(KNOWN) + 10} lists of limits, {10} of them from runs on the disk."


def _one(swing, limits, right, given):
    answer = swing(list(limits))
    if answer is None:
        if right is None:
            return
        answer = attempted(answer, given)
    expect(round(a_number(answer, given), 6), "None" if right is None else round(right, 6), given)
