"""What it costs to put a machine together and read once: the largest part of a slider's move on a split disk."""

from typing import Any

from vmio.bench import Row, cost, ratios, row, sampler, turns
from vmio.bench.disk import copies
from vmio.bench.steady import IMAGE, READ
from vmio.experiments import disk

SUBJECTS: dict[str, dict[str, Any]] = {
    "emulated, ATA DMA": dict(transfer="dma"), "split": dict(mode="split"), "passed through": dict(mode="passthrough"),
    "4 guests, split": dict(mode="split", guests=4), "4 guests, passed through": dict(mode="passthrough", guests=4),
}


def measure() -> list[Row]:
    """CPU time of one run of one 4 KiB read, and how many bare copies of the bytes it is worth."""
    subjects = {what: cost(lambda params=disk.DiskParams(**params): disk.run(params, [READ], IMAGE))
                for what, params in SUBJECTS.items()}
    for subject in subjects.values():
        subject()                      # whatever is made only once
    ns = turns({"copy": sampler(copies)} | subjects)
    return ([row(f"{what}: set-up and a read, CPU ms", [each / 1e6 for each in ns[what]]) for what in SUBJECTS]
            + [row(f"{what}: in bare copies of 4 KiB", ratios(ns[what], ns["copy"])) for what in SUBJECTS])
