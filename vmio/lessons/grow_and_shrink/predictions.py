"""The predictions of *Grow and shrink* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.grow_and_shrink import panel


def _missed(peak: int) -> int:
    return panel.missed(balanced=False, peak=peak)


def _taken(depth: int, removed: int) -> int:
    return panel.errors(queue_depth=depth, removed_us=removed)


OWN = {"batch-misses": Own(
    "The programs of batch want {peak} MiB from second 6 to second 16, and the host leaves everything as it is. How much do they miss over the whole run?",
    {"peak": [peak for peak in range(190, 320, 2) if peak != 240]}, _missed),
    "disks-taken": Own(
    "The guest keeps {depth} requests under way at each disk, and the host takes three of the four without asking, after {removed} us. How many requests end with an error?",
    {"depth": range(1, 9), "removed": range(900, 1500, 100)}, _taken)}
