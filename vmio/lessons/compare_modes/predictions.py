"""The prediction of *Compare the modes* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.compare_modes import panel


def _saved(sectors: int) -> float:
    return panel.run(block=512 * sectors).saved("split")


OWN = {"splitting-saves": Own(
    "Reads of {sectors} sectors, one at a time, the emulated disk by DMA: how much of the time does the split driver save, in %?",
    {"sectors": [sectors for sectors in range(1, 129) if sectors != 8]}, _saved)}
