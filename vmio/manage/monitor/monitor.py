"""The monitor: it looks at a machine with its guests, and changes nothing.

    monitor = Monitor(machine)
    monitor.on()
    ...                              the machine runs
    sample = monitor.sample()        all numbers of now
    monitor.off()

What the parts count anyway - exits, signals, bytes - is read when somebody asks.  What they only announce - a request that was served,
a HLT that has ended, a frame - is counted here, by the points at which parts may be watched (`vmio/machine/probes.py`).  Switched
off, nothing of it is left: each point is as it was.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from vmio.drivers.vmbus import GuestChannel
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.probes import watch
from vmio.manage.monitor.metrics import CHANNEL_COUNTERS, EDGES, Histogram, Key, Sample
from vmio.modes import Machine
from vmio.modes.attachments import ATTACHMENTS, Attachment
from vmio.modes.machine import GuestMachine
from vmio.vmbus.bus.channel import ChannelEnd

_KINDS = {kind: key for key, kind in ATTACHMENTS.items()}


def devices(guest: GuestMachine) -> list[tuple[str, str, Attachment]]:
    """Return (name, mode, attachment) of each device of a guest; names are disk0, net1, ... by their place in its plan."""
    found = []
    for at, each in enumerate(guest.attachments):
        kind = next(_KINDS[one] for one in type(each).__mro__ if one in _KINDS)
        found.append((f"{kind[0]}{at}", kind[1], each))
    return found


def channels(guest: GuestMachine) -> list[tuple[str, str, GuestChannel, ChannelEnd]]:
    """Return (number, device's name, channel, its end) of each channel that is open on the guest's side."""
    owners = {offered.instance_id: name for name, _, each in devices(guest) if (offered := getattr(each, "offered", None)) is not None}
    return [(str(channel.relid), owners.get(channel.offer.instance, "?"), channel, channel.end) for channel in guest.platform.channels
            if channel.end is not None]


class _Times:
    """A histogram that is still growing."""

    def __init__(self) -> None:
        self.counts, self.total_ns = [0] * (len(EDGES) + 1), 0

    def served(self, span: tuple[int, int]) -> None:
        """Take one request."""
        ns = span[1] - span[0]
        self.counts[bisect_left(EDGES, ns)] += 1
        self.total_ns += ns

    def histogram(self) -> Histogram:
        """Return it as it is now: each bucket with all that are shorter."""
        sums, total = [], 0
        for count in self.counts:
            total += count
            sums.append(total)
        return Histogram(tuple(sums), self.total_ns)


class Monitor:
    """Watches `machine`, which is switched on, from `on` to `off`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._stops: list[Callable[[], None]] = []
        self._times: dict[Key, _Times] = {}
        self._halts: Counter[tuple[str, str]] = Counter()
        self._frames: Counter[tuple[str, str, str]] = Counter()
        self._users: list[tuple[str, object]] = []

    def users(self, guest: str, loads: Sequence[object]) -> None:
        """Watch these programs of a guest, too: what has the point `answered`.  Before `on`."""
        self._users += [(guest, load) for load in loads]

    def on(self) -> None:
        """Begin; nothing happens if it has."""
        if self._stops:
            return
        for guest in self.machine.guests:
            for cpu in guest.guest.vcpus:
                self._stops.append(watch(cpu, "slept", partial(self._slept, (guest.guest.name, str(cpu.index)))))
            for name, mode, each in devices(guest):
                self._watch_device(guest, name, mode, each)
        for who, load in self._users:
            times = self._times.setdefault(("vmio_user_request_seconds", (who,)), _Times())
            self._stops.append(watch(load, "answered", times.served))

    def _watch_device(self, guest: GuestMachine, name: str, mode: str, each: object) -> None:
        part = next((one for one in (each, getattr(each, "backend", None)) if "served" in getattr(type(one), "POINTS", {})), None)
        if part is not None:
            times = self._times.setdefault(("vmio_disk_request_seconds", (guest.guest.name, name, mode)), _Times())
            self._stops.append(watch(part, "served", times.served))
        vsp = getattr(each, "vsp", None)
        for point, direction in (("transmitted", "out"), ("delivered", "in")):
            if point in getattr(type(vsp), "POINTS", {}):
                self._stops.append(watch(vsp, point, partial(self._frame, (guest.guest.name, name, direction))))

    def off(self) -> None:
        """End; what was counted stays."""
        for stop in self._stops:
            stop()
        self._stops.clear()

    def _slept(self, who: tuple[str, str], span: tuple[int, int]) -> None:
        self._halts[who] += 1

    def _frame(self, who: tuple[str, str, str], frame: bytes) -> None:
        self._frames[who] += 1

    def sample(self) -> Sample:
        """Return all numbers as they are now."""
        values: dict[Key, int] = {}
        for guest in self.machine.guests:
            for cpu in guest.guest.vcpus:
                _vcpu(values, guest.guest.name, cpu)
            _channels(values, guest)
            _services(values, guest)
            _others(values, guest)
        for who, count in self._halts.items():
            values["vmio_halts_total", who] = count
        for which, count in self._frames.items():
            values["vmio_net_frames_total", which] = count
        for guest_name, load in self._users:
            if (pressure := getattr(load, "pressure", None)) is not None:
                for kind, line in (("some", pressure.some), ("full", pressure.full)):
                    values["vmio_pressure_waiting_seconds_total", (guest_name, "memory", kind)] = line.total_us * 1000
        cores = self.machine.host.cores
        values["vmio_host_cores", ()] = cores.count
        values["vmio_host_worker_seconds_total", ()] = cores.busy_ns
        return Sample(self.machine.host.env.now, values, {key: times.histogram() for key, times in self._times.items()})


def _vcpu(values: dict[Key, int], guest: str, cpu: VCpu) -> None:
    index, hypervisor = str(cpu.index), 0
    for row in cpu.table.rows.values():
        if row.count:
            labels = (guest, index, row.reason.value, row.device)
            for name, number in (("vmio_exits_total", row.count), ("vmio_exit_seconds_total", row.total_ns)):
                values[name, labels] = values.get((name, labels), 0) + number
            hypervisor += row.total_ns
    for mode, ns in (("guest", cpu.compute_ns), ("hypervisor", hypervisor), ("idle", cpu.idle_ns)):
        values["vmio_vcpu_seconds_total", (guest, index, mode)] = ns
    values["vmio_vcpu_interrupts_total", (guest, index)] = cpu.interrupts
    if (poller := cpu.poller) is not None:
        for outcome, count, ns in (("success", poller.successes, poller.success_ns), ("fail", poller.fails, poller.fail_ns)):
            values["vmio_halt_polls_total", (guest, index, outcome)] = count
            values["vmio_halt_poll_seconds_total", (guest, index, outcome)] = ns


def _channels(values: dict[Key, int], guest: GuestMachine) -> None:
    for number, device, channel, end in channels(guest):
        labels, counters = (guest.guest.name, number, device), end.counters()
        for name in CHANNEL_COUNTERS:
            values[f"vmio_channel_{name.removesuffix('_total')}_total", labels] = counters[name]
        values["vmio_channel_vcpu", labels] = channel.cpu.index
        values["vmio_channel_requests_total", labels] = end.outgoing.sent


def _services(values: dict[Key, int], guest: GuestMachine) -> None:
    """What the block layers have noted of this guest, each layer once."""
    layers = {id(layer): layer for backend in guest.backends if (layer := getattr(backend, "layer", None)) is not None}
    found = [service for layer in layers.values() if (service := layer.services.get(guest.guest.name)) is not None]
    if found:
        values["vmio_disk_bytes_total", (guest.guest.name,)] = sum(each.bytes for each in found)
        values["vmio_disk_waiting_seconds_total", (guest.guest.name,)] = sum(each.waiting_ns for each in found)


def _others(values: dict[Key, int], guest: GuestMachine) -> None:
    """A bounce pool, the IOMMU before an assigned device, a balloon, and the two ways of a card with a function."""
    who = guest.guest.name
    if (pool := guest.platform.pool) is not None:
        values["vmio_bounce_slots", (who, "used")], values["vmio_bounce_slots", (who, "all")] = pool.used, pool.slots
        values["vmio_bounce_refused_total", (who,)], values["vmio_bounce_bytes_total", (who,)] = pool.full, pool.copied
    for name, mode, each in devices(guest):
        iommu, dma = getattr(each, "iommu", None), getattr(each, "dma", None)
        if iommu is not None and dma is not None:
            counted = {"hits": iommu.iotlb.hits, "misses": iommu.iotlb.misses, "evictions": iommu.iotlb.evictions, **dma.counters()}
            for event in ("hits", "misses", "evictions", "invalidations", "maps", "unmaps"):
                values["vmio_iommu_events_total", (who, name, mode, event)] = counted[event]
        memory = getattr(each, "memory", None)
        if memory is not None:
            values["vmio_memory_pages", (who, "assigned")] = memory.assigned
            values["vmio_memory_pages", (who, "ballooned")] = memory.ballooned.total
    for (name, _, _), driver in zip(devices(guest), guest.drivers or []):
        for way in ("card", "function"):
            if (count := getattr(driver, f"by_{way}", None)) is not None:
                values["vmio_net_way_frames_total", (who, name, way)] = count
                values["vmio_net_way_bytes_total", (who, name, way)] = getattr(driver, f"bytes_by_{way}")
