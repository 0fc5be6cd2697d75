"""The prediction of *Share a device* with numbers of a student's own."""

from vmio.experiments.sharing import noisy_neighbour, run_sharing
from vmio.lab.asked import Own
from vmio.lessons.share_a_device import panel


def _times(quiet: int, noise: int) -> float:
    result = run_sharing(noisy_neighbour(quiet, noise), "fifo")
    before, after = (panel.quiet_mean_us(result, quiet, late) for late in (False, True))
    return round(after / before, 1)


OWN = {"noisy-neighbour": Own(
    "{quiet} quiet guests, and one that keeps {noise} reads of 256 KiB going. First come, first served: how many times longer does a "
    "quiet guest's read take then?", {"quiet": range(2, 7), "noise": [noise for noise in range(16, 97) if noise != 64]}, _times)}
