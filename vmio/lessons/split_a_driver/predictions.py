"""The prediction of *Split a driver* with numbers of a student's own."""

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.lab.asked import Own


def _exits(reads: int) -> int:
    return disk.run(DiskParams(mode="split", bytes=4096 * reads)).exits_total


OWN = {"one-split-read": Own(
    "{reads} reads of 4 KiB through a split driver, one after the other, asleep until each is done: how many exits?",
    {"reads": range(3, 100)}, _exits)}
