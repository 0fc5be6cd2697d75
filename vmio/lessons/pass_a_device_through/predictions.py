"""The prediction of *Pass a device through* with numbers of a student's own."""

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.lab.asked import Own


def _exits(reads: int) -> int:
    return disk.run(DiskParams(mode="passthrough", bytes=4096 * reads, delivery="injected")).exits_total


OWN = {"one-direct-read": Own(
    "{reads} reads of 4 KiB on a disk of its own, one after the other, asleep until each is done: how many exits?",
    {"reads": range(3, 100)}, _exits)}
