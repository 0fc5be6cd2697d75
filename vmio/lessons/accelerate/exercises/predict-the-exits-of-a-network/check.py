from vmio import accelerator
from vmio.lab import a_number, counted, expect, varied

WAYS = {"registers": {"mode": "emulated", "access": "registers"}, "ring": {"mode": "emulated"}, "split": {"mode": "split"},
        "passthrough": {"mode": "passthrough"}}


def count(way, hidden, images, calls):
    """The machine's answer."""
    params = accelerator.AcceleratorParams(**WAYS[way], hidden=hidden, count=images, batch=images // calls)
    result = accelerator.run(params)
    return result.load.exits + result.calls.exits


def check(exits):
    for hidden in varied("predict-the-exits-of-a-network", (32, 11), range(5, 60)):
        for batch, calls in ((1, 1), (1, 5), (6, 3), (40, 2)):
            for way in WAYS:
                images, weights, biases = batch * calls, 74 * hidden, hidden + 10
                given = f"{way}: {weights:,} weights, {biases} biases, {counted(images, 'images')} in {counted(calls, 'calls')}"
                expect(a_number(exits(way, weights, biases, images, calls), given), count(way, hidden, images, calls), given)
    return "Counted on the machine: the same, by all four ways."
