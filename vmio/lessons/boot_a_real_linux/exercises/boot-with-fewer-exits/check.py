from vmio.lab import Wrong, attempted, expect_at_most, one_of
from vmio.lessons.boot_a_real_linux import recorded
from vmio.lessons.boot_a_real_linux.plans import CHOICES, MODES, Choice

PARTS = "mode, quiet and clock_page, such as ('nvme', True, False)"


def check(choose):
    answer = attempted(choose(), kind=(tuple, list), what=PARTS)
    if len(answer) != 3:
        raise Wrong("", PARTS, f"{len(answer)} values")
    mode = one_of(answer[0], MODES, "mode")
    for name, value in zip(("quiet", "clock_page"), answer[1:]):
        if not isinstance(attempted(value, name), bool):
            raise Wrong(name, "True or False", value)
    chosen = Choice(mode, *answer[1:])
    exits, least = recorded.of(chosen.name).exits, min(recorded.of(one.name).exits for one in CHOICES)
    expect_at_most(exits, least, "exits", given=chosen.name, why="It boots; another of the sixteen needs fewer.")
    return f"{exits:,} exits from power-on to power-off; the most that one of the sixteen needs is " \
           f"{max(recorded.of(one.name).exits for one in CHOICES):,}."


def cost(choose):
    """One boot, from power-on to power-off"""
    return {"exits": recorded.of(Choice(*choose()).name).exits}
