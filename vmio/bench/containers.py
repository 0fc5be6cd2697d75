"""What it costs this machine to start containers from one base layer: processor time of whole runs, boots of their kernels included."""

from functools import partial

from vmio.bench import Row, cost, row
from vmio.experiments.containers.density import Fleet, base
from vmio.experiments.containers.density_result import MAX_CONTAINERS, DensityParams

ROUNDS = 5
WAYS = {"on one kernel": ("process", "scsi"), "own kernels, layer by SCSI": ("hyperv", "scsi"), "own kernels, layer by VPMem": ("hyperv", "vpmem")}


def _start(params: DensityParams) -> None:
    fleet = Fleet(params)
    fleet.begin().to_the_end()
    fleet.result()
    fleet.machine.host.memory.release()


def measure() -> list[Row]:
    """CPU seconds of a run with all containers, for each way to keep them apart."""
    base()
    return [row(f"{MAX_CONTAINERS} containers start, {name}, CPU s",
                [cost(partial(_start, DensityParams(MAX_CONTAINERS, *way)))() / 1e9 for _ in range(ROUNDS)], "at most 2") for name, way in WAYS.items()]
