"""How many containers fit on a host?  Each starts from one base layer: boot traffic, exits, and the host's memory, frame by frame.

    print(density.run(DensityParams(64, "hyperv", "vpmem")).table())

A start is what a real Linux asked of its disk while it mounted the layer and read all of its files
(`data/traces/read_all_files.csv` over `data/licenses-ext4.img.gz`): 46 reads, 13 writes, which go to the container's scratch disk, and
flushes.  Then the container writes so much memory of its own.

process  all containers on one kernel, one after the other.  It keeps a block of the layer that was read, for all of them.
hyperv   a kernel for each, all at once.  The layer comes by SCSI, and each kernel keeps its own copy, or by VPMem: the host's frames.

All kernels are guests whose RAM is backed at its first touch, so that their pages are counted alike.  What is left out: the code and
the data of the kernel itself, which is some drivers here, and tens of MiB in truth.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from vmio import data
from vmio.drivers.pages import GuestPages
from vmio.drivers.scsi_probe import ScsiError
from vmio.drivers.storvsc import StorVsc
from vmio.experiments import trace
from vmio.experiments.containers.density_result import DensityParams, DensityResult
from vmio.experiments.containers.tables import pages_of_table
from vmio.host.physical import Volumes
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.pmem import READ_ONLY, Frames
from vmio.hypervisor.runs import Run
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import SectorStore
from vmio.machine.media.layer import Layer, Scratch
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR
from vmio.modes import Machine
from vmio.modes.disk_split import SplitDisk
from vmio.modes.layer_vpmem import MappedLayer, VPmemLayer
from vmio.modes.machine import GuestMachine
from vmio.vmbus.storage.scsi import SPACE_ALLOCATION_FAILED

MIB = 1 << 20
LAYER, DIGEST = "licenses-ext4.img.gz", "sha256:4152fc36fa9a9b50c615d454984871397d33c9a24f0c020661a116c2b44e0a07"
START = "traces/read_all_files.csv"
DRIVERS, CACHE, PRIVATE = MIB, 2 * MIB, 3 * MIB      # guest-physical: drivers' memory, blocks of the layer, the containers' own
BUFFER = PRIVATE - PAGE * 16                         # what goes to a scratch disk leaves from here
RING_KIB = 16
EVENTS = 1500                                        # of the simulation between two looks at a run
HOST_MIB, BESIDE_MIB = 40, 2     # of the host's memory: its own and the layer's, and for each guest its tables and what is lost as RAM begins at 2 MiB
PER_PAGE = PAGE // SECTOR


@cache
def base() -> Layer:
    """Return the layer that all start from; ValueError if it is missing or was changed."""
    return Layer.open(data.path(LAYER), DIGEST)


@cache
def start() -> Sequence[trace.Request]:
    """Return what a start asks of its disk."""
    return list(trace.load(data.path(START)))


class NoRoom(Exception):
    """A container asked its kernel for more than it may have."""


class Container:
    """One container: what it has read, and when its start was over (ns; None: not yet, or it was `refused`)."""

    def __init__(self, number: int, place: int, scratch: Scratch) -> None:
        self.number, self.place, self.scratch = number, place, scratch
        self.began: int | None = None
        self.ended: int | None = None
        self.refused = ""
        self.digest = hashlib.sha256()


class Kernel:
    """A guest's kernel, and the containers that it starts one after the other."""

    disk: StorVsc

    def __init__(self, machine: GuestMachine, containers: list[Container], params: DensityParams) -> None:
        self.machine, self.containers, self.params = machine, containers, params
        self.cached: dict[int, int] = {}         # page of the layer -> where it is in RAM
        self.layer: MappedLayer | None = None
        self.boot_exits = self.requests = self.bytes_read = 0
        self.first = 0                           # the scratch of the container that starts now: its first sector on the disk

    def program(self, cpu: VCpu) -> Steps[None]:
        """Bring up the drivers, then start the containers."""
        began, pages = cpu.now, GuestPages(DRIVERS, CACHE)
        disk, *layers = self.machine.attachments
        self.disk = yield from disk.boot(cpu, pages)
        for each in layers:
            self.layer = yield from each.boot(cpu, pages)
        yield from cpu.pay()
        self.boot_exits = cpu.exits.total
        for container in self.containers:
            container.began = began if len(self.containers) == 1 else cpu.now
            try:
                yield from self._start(cpu, container)
                container.ended = cpu.now
            except NoRoom as error:      # the container's own mistake: its kernel and the others go on
                container.refused = f"container {container.number}: {error}"

    def _start(self, cpu: VCpu, container: Container) -> Steps[None]:
        self.first = container.place * base().sectors
        for request in start():
            if request.op == "R":
                yield from self._read(cpu, container, request)
            elif request.op == "W":
                self.requests += 1
                try:
                    yield from self.disk.write(self.first + request.lba, request.sectors, BUFFER)
                except ScsiError as error:
                    if error.sense != SPACE_ALLOCATION_FAILED:
                        raise
                    raise NoRoom(f"no space left on its scratch disk, of {self.params.quota_kib:,} KiB") from None
            else:
                self.requests += 1
                yield from self.disk.flush()
        if self.params.private_kib > self.params.memory_kib:
            raise NoRoom(f"{self.params.private_kib} KiB of memory asked for; it may have {self.params.memory_kib}")
        for at in range(0, self.params.private_kib * 1024, PAGE):
            cpu.write(self.memory_of(container) + at, f"container {container.number}".encode())
        yield from cpu.pay()

    def memory_of(self, container: Container) -> int:
        """Return where a container's own memory is, as a guest-physical address."""
        return PRIVATE + container.place % len(self.containers) * self.params.private_kib * 1024

    def _read(self, cpu: VCpu, container: Container, request: trace.Request) -> Steps[None]:
        """Whole pages of the layer: mapped ones, or those that the kernel keeps, or such as the disk has to bring first."""
        first, last = request.lba // PER_PAGE, (request.lba + request.sectors - 1) // PER_PAGE
        if self.layer is not None:
            container.digest.update(self.layer.read(first * PAGE, (last - first + 1) * PAGE))
            return
        missing = [page for page in range(first, last + 1) if page not in self.cached]
        for run in _runs(missing):
            gpa = CACHE + len(self.cached) * PAGE
            self.cached.update((page, gpa + n * PAGE) for n, page in enumerate(run))
            self.requests += 1
            self.bytes_read += len(run) * PAGE
            yield from self.disk.read(run[0] * PER_PAGE, len(run) * PER_PAGE, gpa)
        for page in range(first, last + 1):
            container.digest.update(cpu.read(self.cached[page], PAGE))


class Fleet:
    """A host with all containers of `params`, ready to start; `frames` are the layer's in the host's memory, if it is mapped.

    `permissions` of that mapping are for who wants to see what a writable one would do.
    """

    frames: Frames | None = None

    def __init__(self, params: DensityParams, permissions: int = READ_ONLY) -> None:
        self.params, count = params.check(), params.containers
        shared, mapped = params.isolation == "process", params.isolation == "hyperv" and params.layer == "vpmem"
        scratches = [Scratch(base(), params.quota_kib * 1024, f"scratch of container {n}") for n in range(count)]
        self.containers = [Container(n, n + 1 if shared else 0, scratch) for n, scratch in enumerate(scratches)]
        groups = [self.containers] if shared else [[one] for one in self.containers]
        ram = PRIVATE // MIB + -(-len(groups[0]) * params.private_kib // 1024)
        machine = Machine(params.costs, params.host_cores, kind="hyper-v-containers",
                          memory_mib=HOST_MIB + len(groups) * (ram + BESIDE_MIB))
        self.kernels = []
        for group in groups:
            medium: SectorStore = Volumes([Scratch(base()), *scratches]) if shared else group[0].scratch
            guest = machine.guest(None, SplitDisk(ring_kib=RING_KIB, roomy=False), medium, ram)
            if mapped:
                guest.attach(VPmemLayer(permissions), base())
            self.kernels.append(Kernel(guest, group, params))
        self.machine = machine.power_on()
        if mapped:
            self.frames = self.kernels[0].machine.backends[1]

    def begin(self) -> Run:
        """Return the run in which all of them start."""
        return self.machine.host.start(*[(kernel.machine.cpu, kernel.program) for kernel in self.kernels])

    def result(self) -> DensityResult:
        """Return what has been counted so far."""
        memory, exits = self.machine.host.memory, Counter[str]()
        pages = dict.fromkeys(("drivers", "layer", "containers", "tables"), 0)
        for kernel in self.kernels:
            guest = kernel.machine.guest
            for gpa in (page * PAGE for page in guest.backing.touched):
                pages["drivers" if gpa < CACHE else "layer" if gpa < CACHE + len(kernel.cached) * PAGE else "containers"] += 1
            pages["tables"] += pages_of_table(memory, guest.slat.root, guest.slat.levels)
            for row in guest.cpu.table.rows.values():
                first_touch = row.reason.value == "EPT_VIOLATION"
                exits[f"first touch, {row.device}" if first_touch else row.reason.value] += row.count
        frames = self.frames
        if frames is not None:
            pages["layer"] += len(frames.spas)
        over = [one for one in self.containers if one.began is not None and one.ended is not None]
        return DensityResult(
            self.params, len(self.kernels), len(over), pages, dict(sorted((+exits).items())), sum(kernel.boot_exits for kernel in self.kernels),
            sum(kernel.requests for kernel in self.kernels),
            sum(kernel.bytes_read for kernel in self.kernels) + (frames.reads * PAGE if frames is not None else 0),
            sum(one.scratch.used for one in self.containers), [one.ended - one.began for one in over],  # type: ignore[operator]
            max((one.ended or 0 for one in over), default=0), sorted({one.digest.hexdigest() for one in over}),
            [one.refused for one in self.containers if one.refused])


_KNOWN: dict[DensityParams, DensityResult] = {}


def steps(params: DensityParams) -> Iterator[DensityResult]:
    """Start all containers, and yield what was counted so far now and then, at last what was counted in all; ValueError for parameters that cannot be."""
    if params not in _KNOWN:
        fleet = Fleet(params)
        going = fleet.begin()
        while going.step():
            if going.steps % EVENTS == 0:
                yield fleet.result()
        going.to_the_end()
        _KNOWN[params] = fleet.result()
    yield _KNOWN[params]


def run(params: DensityParams) -> DensityResult:
    """Return what was counted in all."""
    *_, last = steps(params)
    return last


def _runs(pages: Sequence[int]) -> list[list[int]]:
    """Parts of ascending numbers in each of which no number is left out."""
    found: list[list[int]] = []
    for page in pages:
        if found and found[-1][-1] == page - 1:
            found[-1].append(page)
        else:
            found.append([page])
    return found
