from dataclasses import replace

from vmio import ringsteps, signal_if_it_was_empty
from vmio.lab import Wrong, expect, expect_at_most, seeded

CASES = [  # old_write, new_write, read, mask
    (0, 32, 0, 0), (0, 32, 0, 1), (32, 64, 0, 0), (4064, 24, 4064, 0), (4064, 24, 8, 0), (4064, 24, 24, 0),
    (800, 1600, 800, 1), (1600, 8, 1600, 0), (96, 4088, 4088, 0)]


SCRIPTS = "all rules kept", "ring full"
OPEN = "Step through it: own_rule_panel(should_signal), in the next cell."


def stories(number):
    """So many orders of steps: (the name of a script, the script with that order)."""
    random = seeded(4)
    for at in range(number):
        order = "".join("pc"[random.getrandbits(1)] for _ in range(40))
        yield SCRIPTS[at % 2], replace(ringsteps.SCRIPTS[SCRIPTS[at % 2]], order=order)


def check(should_signal):
    signals = 0
    for name, script in stories(300):
        story, best = ringsteps.play(replace(script, should_signal=should_signal)), ringsteps.play(script)
        given, found = f"{len(script.sizes)} records, order of steps {script.order}", {"script": name, "order": script.order}
        if any(should_signal(*case) is ... for case in CASES):
            raise NotImplementedError
        if story.hangs:
            raise Wrong(given, "drained", story.ending, OPEN, found)
        expect_at_most(story.signals, best.signals, "signals", given, f"Nothing is lost, but signals are exits. {OPEN}", found)
        signals += story.signals
    for case in CASES:
        given = "old_write {}, new_write {}, read {}, mask {}".format(*case)
        expect(bool(should_signal(*case)), signal_if_it_was_empty(*case), given=given)
    return f"300 orders of steps, nothing left behind, {signals} signals."


def cost(should_signal, orders=40):
    """{orders:,} orders of the same steps"""
    played = [ringsteps.play(replace(script, should_signal=should_signal)) for _, script in stories(orders)]
    return {"signals": sum(story.signals for story in played), "orders that hang": sum(story.hangs for story in played)}
