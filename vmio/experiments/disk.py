"""Run block requests against a guest's disk, in one of the course's modes, and count."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from vmio.drivers.confidential.swiotlb import Swiotlb
from vmio.drivers.nvme import NvmeDriver
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.virtio_disk import VirtioDisk
from vmio.experiments import trace
from vmio.experiments.disk_params import DELIVERY, IOMMU, MODES, SIGNALS, DiskParams
from vmio.experiments.disk_result import DiskResult, result
from vmio.experiments.disk_run import DiskRun, needed
from vmio.experiments.pattern import pattern
from vmio.experiments.ring_log import RingLog
from vmio.experiments.traces.request import Requests
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.recorded import kept
from vmio.hypervisor.runs import Run
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timers
from vmio.machine.media.medium import Medium
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment
from vmio.modes.attachments import Attachment
from vmio.modes.disk_split import SplitDisk
from vmio.modes.disk_virtio import VirtioSplitDisk
from vmio.modes.machine import HOST_MIB

MEASURED = Form("disk run", 1, "sleeps", "served", "copies", "rings")
ROOMY = 16      # guests whose drivers may have more memory than they need
__all__ = ["DELIVERY", "IOMMU", "MODES", "SIGNALS", "DiskParams", "DiskResult", "pattern", "run", "stepwise"]


def run(params: DiskParams, requests: Requests | None = None, image: Medium | None = None, name: str = "trace",
        meanwhile: Callable[..., Steps] | None = None) -> DiskResult:
    """Run `requests` (or sequential reads by `params`) in each guest, on its own difference disk over `image`.

    Without an image the disk is a `pattern` as large as the requests need.
    `meanwhile(host, runs)` is what the host's administrator does at the same time: a
    process of the simulation.  Returns a `DiskResult`.  ValueError for parameters or
    requests that cannot be.
    """
    params, requests, host, runs = machine(params, requests, image, name)
    if meanwhile is not None:
        host.env.process(meanwhile(host, runs))
    start(runs).to_the_end()
    return result(params, requests, runs)


def start(runs: Sequence[DiskRun]) -> Run:
    """Begin the programs of a `machine`'s runs; returns the `Run` of all of them."""
    return runs[0].machine.machine.start(*programs(runs))


def programs(runs: Sequence[DiskRun]) -> list[tuple]:
    """Return the (guest, programs) pairs of a `machine`'s runs."""
    return [(run.machine, [lane.with_disk for lane in run.lanes]) for run in runs]


def stepwise(params: DiskParams, events: int = 400) -> Iterator[DiskResult | None]:
    """Yield None after each so many events of the simulation, and at last what `run(params)` returns: for who is asked for more meanwhile."""
    params, requests, host, runs = machine(params)
    going = start(runs)
    while all(going.step() for _ in range(events)):
        yield None
    going.to_the_end()
    yield result(params, requests, runs)


def machine(params: DiskParams, requests: Requests | None = None, image: Medium | None = None, name: str = "trace",
            checkpoints: bool = False) -> tuple[DiskParams, Requests, Host, list["_Run"]]:
    """Return (params, requests, host, [a `DiskRun` for each guest]) of `run`, not begun; `checkpoints` as in `Machine`."""
    params.check()
    if requests is None:
        requests = trace.sequential(params.bytes, params.block)
    if image is None:
        image = pattern((max((r.lba + r.sectors for r in requests), default=0) - 1 >> 11) + 1 or 1)
    trace.check_fits(requests, image.sectors, name)
    if params.timed:
        trace.check_times(requests, name)
    attachments = [_attachment(params) for _ in range(params.guests)]
    room = needed(attachments[0], requests, 1 if params.mode == "emulated" else params.queue_depth, params.processors)
    memory = None if params.guests <= ROOMY else HOST_MIB + params.guests * (room[2] + 2 + room[2] // 64)     # 2: tables, and up to a large page
    machine = Machine(params.costs, params.host_cores, memory, checkpoints, apic=params.apic, kind=params.host,
                      backing=params.backing, tick_hz=params.tick_hz)
    guests = [machine.guest(None, each, Overlay(image), room[2], params.processors) for each in attachments]
    machine.power_on()
    runs = [_Run(guest, requests, room, params.signals != "batch") for guest in guests]
    for run in runs:
        for _ in range(1, params.processors):
            _Run(run.machine, requests, room, run.one_by_one, first=run)
    runs[0].logged = True      # a result has the rings of the first guest
    for one in runs:
        one.times_ns = requests.times_ns if params.timed and isinstance(requests, trace.Trace) else None
        machine.beside.append(one)
    return params, requests, machine.host, runs


def _attachment(params: DiskParams) -> Attachment:
    """Return the guest's disk, as `params` describes it."""
    options = {
        "emulated": lambda: {"transfer": params.transfer, "string": params.string, "width": params.width,
                             "polled": params.polled},
        "split": lambda: {"dialect": "virtio", "virtqueue": params.virtqueue, "entries": params.entries, "indirect": params.indirect,
                          "event_idx": params.event_idx, "batch": params.batch, "polled": params.polled} if params.dialect == "virtio" else {
                          "ring_kib": params.ring_kib, "signals": params.signals, "batch": params.batch,
                          "polled": params.polled, "doorbell": params.doorbell, "roomy": params.guests <= ROOMY,
                          "channels": params.channels or params.processors, **params.isolation},
        "passthrough": lambda: {"iommu": params.iommu, "delivery": params.delivery, "polled": params.polled},
    }
    return attachment("disk", params.mode, **options[params.mode]())


def pool_counts(pool: Swiotlb | None) -> dict[str, int]:
    """Return what a bounce pool has counted so far; {} where there is none."""
    return {} if pool is None else {"mappings": pool.mapped, "bytes copied": pool.copied, "pool full": pool.full}


class Signalled(Protocol):
    """What a guest signals to: a channel, or the worker of a virtqueue."""

    signals: int


class Sent(Protocol):
    """What a guest puts requests into: a ring, or a virtqueue."""

    sent: int


class _Run(DiskRun):
    """A guest whose signals are counted, by channel, and, if it is `logged`, whose rings are, too, if its disk has any."""

    logged = False
    _logs: Sequence[RingLog] = ()
    _channels: Sequence[Signalled]
    _rings: Sequence[Sent]

    def serve(self, cpu: VCpu) -> Steps[None]:
        """All requests."""
        if self is self.first:
            vsps = [self.attachment.vsp, *self.attachment.vsp.subchannels] if isinstance(self.attachment, SplitDisk) else []
            queues = [self.disk, *self.disk.further] if isinstance(self.disk, StorVsc) else []
            channels = [vsp.channel for vsp in vsps if vsp.channel is not None]
            self._channels = self.attachment.workers if isinstance(self.attachment, VirtioSplitDisk) else channels
            self._before = kept(cpu, self, "signals_so_far").signals_so_far()
            self._rings = [self.disk.queue] if isinstance(self.disk, VirtioDisk) else [queue.end.outgoing for queue in queues]
            self._bounced = pool_counts(self.machine.platform.pool)
            self._sent = sum(ring.sent for ring in self._rings)
            self._logs = [RingLog(queue.end, channel.end, self.guest.vcpus[queue.cpu.index], len(self.lanes) > 1)
                          for queue, channel in zip(queues, channels) if channel.end is not None] if self.logged else []
        yield from super().serve(cpu)

    def signals_so_far(self) -> list[int]:
        """Return the guest's signals since power-on, of each channel."""
        return [channel.signals for channel in self._channels]

    def timers(self, guest: Partition) -> Timers:
        """See `Beside`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Beside`: what probes have told; all else the program knows."""
        return MEASURED.state(sleeps=[lane.sleeps for lane in self.lanes], served=self.served, copies=self.copies,
                              rings=[log.save() for log in self._logs])

    def restore(self, state: State, restoring: Restoring) -> None:
        """See `Beside`."""
        saved = MEASURED.take(state)
        for spans, each in zip([*(lane.sleeps for lane in self.lanes), self.served, self.copies],
                               [*saved["sleeps"], saved["served"], saved["copies"]], strict=True):
            spans[:] = [(begin, end) for begin, end in each]

        def logs() -> None:                # the program has made them by then
            for log, each in zip(self._logs, saved["rings"], strict=True):
                log.restore(each)
        restoring.last(logs)

    @property
    def bounced(self) -> dict[str, int]:
        """What went by the bounce pool since set-up, if the guest is a confidential one."""
        return {name: count - self._bounced[name] for name, count in pool_counts(self.machine.platform.pool).items()}

    @property
    def ring_requests(self) -> int:
        """What the guest has put into its rings to the host since set-up."""
        return sum(ring.sent for ring in self._rings) - self._sent

    @property
    def commands(self) -> int:
        """What the host has asked of the disk for this guest since set-up; nothing if the disk is the guest's own."""
        return sum(began >= self.started for began, _ in self.served)

    @property
    def doorbells(self) -> int:
        """The guest's stores to its own device's doorbells since set-up, to submit and to say what it has seen."""
        return self._stores() - self._rung

    def start(self, cpu: VCpu) -> None:
        """Set-up is over: count from here."""
        super().start(cpu)
        self._rung = self._stores()

    def _stores(self) -> int:
        """All that the driver has stored to doorbells; a disk that is not NVMe has none."""
        driver = getattr(self.disk, "driver", None)
        return driver.doorbells + driver.head_doorbells if isinstance(driver, NvmeDriver) else 0

    @property
    def signals(self) -> int:
        """The guest's signals since set-up."""
        return sum(self.signals_by_channel.values())

    @property
    def signals_by_channel(self) -> dict[int, int]:
        """The same as {number of the channel: count}."""
        return {n: channel.signals - before for n, (channel, before) in enumerate(zip(self._channels, self._before))}

    @property
    def rings(self) -> dict[str, list[tuple[int, int]]]:
        """How full the logged rings were: {ring: [(ns, used bytes), ...]}."""
        names = [f"channel {n} " if len(self._logs) > 1 else "" for n in range(len(self._logs))]
        return {name + ring: steps for name, log in zip(names, self._logs) for ring, steps in log.occupancy().items()}
