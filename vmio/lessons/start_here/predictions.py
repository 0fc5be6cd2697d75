"""The prediction of *Start here* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.start_here import panel


def _exits_a_read(block: int) -> int:
    one = panel.run("emulated", block)
    return one.exits_total // one.requests


OWN = {"first-guess": Own(
    "A read of {block:,} bytes from an emulated disk, two bytes at a time: how many times does the hypervisor have to step in?",
    {"block": [512 * sectors for sectors in range(2, 33) if sectors != 8]}, _exits_a_read)}
