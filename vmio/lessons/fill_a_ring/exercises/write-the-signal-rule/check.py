from dataclasses import replace
from random import Random

from vmio import ringsteps, signal_if_it_was_empty
from vmio.lab import Wrong, expect, expect_at_most

CASES = [  # old_write, new_write, read, mask
    (0, 32, 0, 0), (0, 32, 0, 1), (32, 64, 0, 0), (4064, 24, 4064, 0), (4064, 24, 8, 0), (4064, 24, 24, 0),
    (800, 1600, 800, 1), (1600, 8, 1600, 0), (96, 4088, 4088, 0)]


def check(should_signal):
    random, scripts = Random(4), (ringsteps.SCRIPTS["all rules kept"], ringsteps.SCRIPTS["ring full"])
    signals = 0
    for number in range(300):
        order = "".join("pc"[random.getrandbits(1)] for _ in range(40))
        script = replace(scripts[number % 2], order=order)
        story, best = ringsteps.play(replace(script, should_signal=should_signal)), ringsteps.play(script)
        given = f"{len(script.sizes)} records, order of steps {order[:20]}..."
        if any(should_signal(*case) is ... for case in CASES):
            raise NotImplementedError
        if story.hangs:
            raise Wrong(given, "drained", story.ending)
        expect_at_most(story.signals, best.signals, "signals", given=given)
        signals += story.signals
    for case in CASES:
        given = "old_write {}, new_write {}, read {}, mask {}".format(*case)
        expect(bool(should_signal(*case)), signal_if_it_was_empty(*case), given=given)
    return f"300 orders of steps, nothing left behind, {signals} signals."
