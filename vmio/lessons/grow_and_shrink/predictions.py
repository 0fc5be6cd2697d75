"""The prediction of *Grow and shrink* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.grow_and_shrink import panel


def _missed(peak: int) -> int:
    return panel.missed(balanced=False, peak=peak)


OWN = {"batch-misses": Own(
    "The programs of batch want {peak} MiB from second 6 to second 16, and the host leaves everything as it is. How much do they miss over the whole run?",
    {"peak": [peak for peak in range(190, 320, 2) if peak != 240]}, _missed)}
