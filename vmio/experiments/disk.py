"""Run block requests against a guest's disk, in one of the course's modes, and count."""

import hashlib
from dataclasses import asdict, dataclass, field

from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.experiments import times, trace
from vmio.experiments.pattern import pattern
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.table import table

MODES = ("emulated", "split", "passthrough")
IOMMU = ("off", "strict", "lazy", "static")
DELIVERY = ("injected", "posted")
SIGNALS = ("always", "each", "batch")
BUFFER = 1 << 20       # guest-physical address of the transfer buffer
CANARY = 0x600         # guest-physical: no driver here uses the first 4 KiB
BUS_MASTER = 0xC000    # where this guest's firmware maps the IDE function's BAR 4


@dataclass(frozen=True)
class DiskParams:
    """What `run` does.  Sizes in bytes; `requests` wins over `bytes` and `block`.

    Emulated mode: `transfer` "pio", "multiple" or "dma"; `string` REP INS/OUTS or
    single accesses of `width` bytes; `interrupts` or polling.

    Split mode: `queue_depth` requests in flight (an ATA disk takes one), rings of
    `ring_kib` each, completions published `batch` at a time, and `signals`: the
    guest publishes requests in a "batch" before it waits, "each" at once, or signals
    "always", even if the host is awake.  `host_cores` are shared by vCPUs and workers.
    `interrupts` or polling; `delivery` "posted": the processor virtualizes the guest's APIC.

    Passthrough mode: `queue_depth`; `interrupts` or polling; `delivery` of interrupts
    "injected" by the host or "posted" by the hardware; `iommu` "off" (the device
    reaches all of the host's memory), "strict" (a buffer is mapped for one request and
    the IOTLB told at once), "lazy" (told later) or "static" (all of the guest's RAM, once).

    `costs` is the name of a preset, or a `CostModel` with prices of your own.
    """

    mode: str = "emulated"
    bytes: int = 1 << 20
    block: int = 4096
    transfer: str = "pio"
    string: bool = True
    width: int = 2
    interrupts: bool = True
    guests: int = 1
    queue_depth: int = 1
    costs: str | CostModel = "server-2022"
    ring_kib: int = 128
    batch: int = 16
    signals: str = "batch"
    host_cores: int = 2
    iommu: str = "static"
    delivery: str = "injected"

    def check(self):
        """ValueError names the parameter, its value and what is allowed."""
        for name, choices in (("mode", MODES), ("signals", SIGNALS), ("iommu", IOMMU), ("delivery", DELIVERY)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        if self.ring_kib % 4:
            raise ValueError(f"ring_kib {self.ring_kib}: a multiple of 4")
        for name, low, high in (("guests", 1, 256), ("queue_depth", 1, 1024), ("ring_kib", 8, 4096),
                                ("batch", 1, 1024), ("host_cores", 1, 256)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name)}: {low} to {high}")
        CostModel.preset(self.costs)
        trace.sequential(self.bytes, self.block)
        return self


@dataclass(frozen=True)
class DiskResult:
    """Counts of the requests alone, set-up left out.  Times in ns of virtual time.

    `parts` says where the guests' time went (`times.parts`), summed over guests.
    `latencies` has each request's time, from the guest's own work for it until the guest
    knows that it is over.  `host_cpu_ns` is what the host's own code took of its cores:
    handling exits, workers, an emulator's copying.
    """

    params: DiskParams
    exits: dict
    exits_by_device: dict
    exits_by_instruction: dict
    requests: int
    bytes: int
    bytes_read: int
    sha256: str
    virtual_ns: int
    exit_ns: int
    guest_ns: int
    device_ns: int
    interrupts: int
    setup_exits: int
    signals: int = 0
    rings: dict = field(default_factory=dict, repr=False)   # name: [(ns, used bytes), ...] of the first guest's rings
    canaries: dict = field(default_factory=dict)            # guest: is what it left in its memory still there?
    parts: dict = field(default_factory=dict)
    host_cpu_ns: int = 0
    latencies: list = field(default_factory=list, repr=False)
    images: list = field(default_factory=list, repr=False, compare=False)

    @property
    def exits_total(self):
        """All exits of the requests."""
        return sum(self.exits.values())

    def latency(self, percent):
        """The smallest latency in ns that `percent` of the requests do not exceed; None without requests."""
        ordered = sorted(self.latencies)
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None

    def table(self):
        """Exits by reason and by device, and where the time went, as fixed-width text."""
        each = max(self.requests, 1)
        rows = [(kind, name, count, count / each) for kind, counts in (
            ("reason", self.exits), ("device", self.exits_by_device), ("instruction", self.exits_by_instruction))
            for name, count in counts.items()]
        rows.append(("all", "", self.exits_total, self.exits_total / each))
        times = [(name, ns // 1000, ns // 10 / each / 100) for name, ns in (
            ("guest", self.guest_ns), ("exit", self.exit_ns), ("device", self.device_ns), ("all", self.virtual_ns))]
        title = f"{self.params.mode} disk: {self.requests:,} requests, {self.bytes:,} bytes, sha256 {self.sha256[:16]}"
        tables = [table(rows, ("exits by", "", "count", "per request"), title=title),
                  table(times, ("virtual time", "us", "us per request"))]
        if self.rings:
            counts = [(name, count, count / each) for name, count in (
                ("signals to the host", self.signals), ("interrupts of the guest", self.interrupts))]
            counts += [(f"{name} ring, most bytes used", max(used for _, used in steps), None)
                       for name, steps in self.rings.items()]
            tables.append(table(counts, ("rings", "count", "per request")))
        return "\n\n".join(tables)

    def to_dict(self):
        """Plain data for JSON; the rings' history and the single latencies stay here."""
        left_out = ("params", "images", "rings", "latencies")
        plain = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {**plain, "latency_p50_ns": self.latency(50), "latency_p99_ns": self.latency(99),
                "exits_total": self.exits_total, "params": asdict(self.params)}


def run(params, requests=None, image=None, name="trace"):
    """Run `requests` (or sequential reads by `params`) in each guest, on its own difference disk over `image`.

    Without an image the disk is a `pattern` as large as the requests need.
    Returns a `DiskResult`.  ValueError for parameters or requests that cannot be.
    """
    params.check()
    if requests is None:
        requests = trace.sequential(params.bytes, params.block)
    if image is None:
        image = pattern((max((r.lba + r.sectors for r in requests), default=0) - 1 >> 11) + 1 or 1)
    trace.check_fits(requests, image.sectors, name)
    if any(request.op == "D" for request in requests):
        raise ValueError(f"{name}: it discards sectors, which no mode's guest does")
    if params.mode == "split":
        from vmio.experiments.split import run_split
        return run_split(params, requests, image)
    if params.mode == "passthrough":
        from vmio.experiments.passthrough import run_passthrough
        return run_passthrough(params, requests, image)
    most = max((r.sectors for r in requests), default=1) * SECTOR
    ram_mib = (BUFFER + most >> 20) + 1
    host = Host(memory_mib=params.guests * (ram_mib + 4) + 8, costs=CostModel.preset(params.costs),
                cores=params.host_cores)
    runs = [_EmulatedRun(host, params, Overlay(image), requests, ram_mib) for _ in range(params.guests)]
    host.run(*[(run.cpu, run.program) for run in runs])
    return result(params, requests, runs)


class GuestRun:
    """One guest, its requests, and what it measured; a mode adds devices and `program(cpu)`."""

    def __init__(self, host, params, image, requests, ram_mib):
        self.params, self.image, self.requests, self.host = params, image, requests, host
        self.guest = host.guest(ram_mib=ram_mib)
        self.costs, self.cpu = host.costs, self.guest.cpu
        self.digest = hashlib.sha256()
        self.bytes = self.bytes_read = self.signals = 0
        self.rings = {}
        self.latencies = []
        self.device_spans, self.copy_spans = [], []   # (from, until): the device had a request, the emulator moved data
        self.guest.memory.write(CANARY, self._canary)

    def start(self, cpu):
        """Set-up is over: count from here."""
        self.started, self.setup = cpu.now, {id(row): (row.count, row.total_ns) for row in cpu.exits.rows}
        self.setup_exits = cpu.exits.total
        self.setup_compute, self.setup_idle, self.setup_interrupts = cpu.compute_ns, cpu.idle_ns, cpu.interrupts
        self.setup_copied, self.setup_busy = self._copied_in_exits, self.host.busy_ns
        cpu.sleeps = []

    @property
    def _canary(self):
        return f"canary of {self.guest.name}".encode().ljust(32, b".")

    @property
    def canary_lives(self):
        """The bytes that nobody but this guest can know are still in its memory."""
        return self.guest.memory.read(CANARY, 32) == self._canary

    def counted(self, key):
        """Exits since set-up, by `key(row)`."""
        counts = {}
        for row in self.cpu.exits.rows:
            count = row.count - self.setup.get(id(row), (0, 0))[0]
            if count:
                counts[key(row)] = counts.get(key(row), 0) + count
        return counts

    @property
    def exit_ns(self):
        """Time in exits since set-up."""
        return sum(row.total_ns - self.setup.get(id(row), (0, 0))[1] for row in self.cpu.exits.rows)

    @property
    def _copied_in_exits(self):
        return sum(row.extra_ns for row in self.cpu.exits.rows)   # string I/O: the hypervisor moves the block

    def parts(self):
        """Where this guest's time since set-up went."""
        cpu = self.cpu
        return times.parts(cpu.now - self.started, cpu.compute_ns - self.setup_compute, self.exit_ns,
                           self._copied_in_exits - self.setup_copied, cpu.sleeps, self.device_spans, self.copy_spans)


class _EmulatedRun(GuestRun):
    """A guest with a board, an ATA disk and its driver."""

    def __init__(self, host, params, image, requests, ram_mib):
        super().__init__(host, params, image, requests, ram_mib)
        clock = self.guest.clock

        def service(kind, sectors, done):
            if kind in ("buffer", "reset"):
                done()                   # the medium has no part in it
                return
            ready = over = clock.now + self.costs.disk_ns(kind, sectors)
            self.device_spans.append((clock.now, ready))
            if params.transfer == "dma":
                over += self.costs.copy_ns(sectors * SECTOR)   # the emulator moves what a DMA engine would
                self.copy_spans.append((ready, over))
            clock.call_at(over, done)
        Board(self.guest, (AtaDisk(image),), service)

    def program(self, cpu):
        """The guest: firmware's part, the driver's set-up, then the requests one after the other."""
        params = self.params
        _map_bus_master(cpu)
        pic.init(cpu)
        disk = AtaDriver(cpu, transfer=params.transfer, string=params.string, width=params.width,
                         interrupts=params.interrupts, bus_master=BUS_MASTER if params.transfer == "dma" else None)
        yield from disk.init()
        yield from cpu.pay()
        self.start(cpu)
        for row, request in enumerate(self.requests):
            asked = cpu.now
            cpu.compute(self.costs.guest_request_ns)
            length = request.sectors * SECTOR
            self.bytes += length
            if request.op == "R":
                yield from disk.read(request.lba, request.sectors, BUFFER)
                self.digest.update(cpu.read(BUFFER, length))
                self.bytes_read += length
            elif request.op == "W":
                cpu.write(BUFFER, trace.payload(row, request.sectors))
                yield from disk.write(request.lba, request.sectors, BUFFER)
            else:
                yield from disk.flush()
            self.latencies.append(cpu.now - asked)


def _map_bus_master(cpu):
    """What firmware does: give BAR 4 of function 0:1.1 its address, switch I/O and bus mastering on."""
    for register, value in ((0x20, BUS_MASTER | 1), (0x04, 0x0005)):
        cpu.outl(0xCF8, 0x8000_0900 | register)
        cpu.outl(0xCFC, value)


def _merge(dicts):
    total = {}
    for one in dicts:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _host_cpu_ns(runs):
    workers = runs[0].host.busy_ns - min(run.setup_busy for run in runs)
    return workers + sum(run.exit_ns + times.length(run.copy_spans) for run in runs)


def result(params, requests, runs):
    """The `DiskResult` of guests that have run."""
    digest, parts = runs[0].digest.hexdigest(), [run.parts() for run in runs]
    if len(runs) > 1:   # each guest read its own disk: the digest of the digests, in order
        digest = hashlib.sha256(b"".join(run.digest.digest() for run in runs)).hexdigest()
    return DiskResult(
        params,
        exits=_merge(run.counted(lambda row: row.reason.value) for run in runs),
        exits_by_device=_merge(run.counted(lambda row: row.device) for run in runs),
        exits_by_instruction=_merge(run.counted(lambda row: row.instruction) for run in runs),
        requests=len(requests) * len(runs),
        bytes=sum(run.bytes for run in runs),
        bytes_read=sum(run.bytes_read for run in runs),
        sha256=digest,
        virtual_ns=max(run.cpu.now - run.started for run in runs),
        exit_ns=sum(run.exit_ns for run in runs),
        guest_ns=sum(run.cpu.compute_ns - run.setup_compute for run in runs),
        device_ns=sum(run.cpu.idle_ns - run.setup_idle for run in runs),
        interrupts=sum(run.cpu.interrupts - run.setup_interrupts for run in runs),
        setup_exits=sum(run.setup_exits for run in runs),
        signals=sum(run.signals for run in runs),
        rings=runs[0].rings,
        canaries={run.guest.name: run.canary_lives for run in runs},
        parts={part: sum(one[part] for one in parts) for part in times.PARTS},
        host_cpu_ns=_host_cpu_ns(runs),
        latencies=[ns for run in runs for ns in run.latencies],
        images=[run.image for run in runs],
    )
