"""The predictions of *Scan in parallel* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.scan_in_parallel import panel


def _sixteen(merge: int) -> float:
    return panel.sixteen(merge_ns=merge)


OWN = {
    "sixteen-workers": Own("Joining all lists takes {merge} ns for each of the 10,067 matches, and one worker does it. How many times as fast as one worker are 16?",
                           {"merge": [merge for merge in range(10, 400, 5) if merge != 50]}, _sixteen),
    "slow-worker": Own("One of four workers takes {slow} times as long as the others, and each has a quarter of the image. How many times as long does the whole take?",
                       {"slow": [slow for slow in range(3, 61) if slow != 8]}, panel.slower)}
