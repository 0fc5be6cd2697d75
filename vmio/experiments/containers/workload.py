"""What containers ask of their kernels: base reads, writes of their own, and reads of what they wrote."""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from vmio.hypervisor.costs import CostModel
from vmio.machine.storage import SECTOR

MIB = 1 << 20
BASE_MIB = 4                   # the base layer, and so the disk that a container sees
BASE_SECTORS = BASE_MIB * MIB // SECTOR
HOT = 16                       # blocks at the beginning of the base layer that every container reads
MAX_CONTAINERS = 16


@dataclass(frozen=True)
class ContainerParams:
    """`containers`, each with `requests` of `block` bytes; `overlap` per cent of the base reads are of common blocks."""

    containers: int = 4
    requests: int = 32
    block: int = 4096
    overlap: int = 75
    seed: int = 1
    costs: str = "server-2022"
    host_cores: int = 2

    def check(self) -> "ContainerParams":
        """ValueError names the parameter, its value and what is allowed."""
        for name, low, high in (("containers", 1, MAX_CONTAINERS), ("requests", 1, 4096), ("block", SECTOR, 1 << 16),
                                ("overlap", 0, 100), ("seed", 0, 1 << 32), ("host_cores", 1, 256)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} {value!r}: a whole number, {low:,} to {high:,}")
        if self.block & self.block - 1:
            raise ValueError(f"block {self.block}: a power of two")
        CostModel.preset(self.costs)
        return self


class Request(NamedTuple):
    """What a container asks of its kernel: "R" or "W" of one block of the disk that it sees."""

    op: str
    block: int


def workload(params: ContainerParams, number: int) -> list[Request]:
    """Return the requests of container `number`: base reads, private writes, and reads of what it wrote, by turns."""
    random = Random(params.seed * MAX_CONTAINERS + number)
    part = (BASE_SECTORS * SECTOR // params.block - HOT) // MAX_CONTAINERS
    own = HOT + number * part            # blocks from here on are read by nobody else
    requests: list[Request] = []
    written: list[int] = []
    for turn in range(params.requests):
        block = random.randrange(HOT) if random.randrange(100) < params.overlap else own + random.randrange(part)
        if turn % 4 == 1:
            written.append(block)
            requests.append(Request("W", block))
        else:
            requests.append(Request("R", random.choice(written) if turn % 4 == 3 else block))
    return requests


def payload(number: int, turn: int, length: int) -> bytes:
    """Return what container `number` writes with its request `turn`: bytes that nobody else writes."""
    return (f"container {number}, request {turn}".encode().ljust(32, b".") * (length // 32))[:length]
