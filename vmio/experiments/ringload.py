"""Requests over two real rings in virtual time: a guest with a queue depth, a host worker with its cores.

    result = run(LoadParams(queue_depth=32, mask=False))
    result.signals, result.interrupts, result.occupancy["to the host"]

Rings and worker are those of every VSP (`vmio.vmbus`); device and driver are as
small as can be: a request is a record of `request_bytes`, it takes `service_ns`
on a core, and its answer is a completion of 8 bytes.  Prices are the cost
model's.  The whole path, with StorVSC and a disk, is `vmio.experiments.split`.
"""

from dataclasses import dataclass

from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.machine.probes import watch
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import OVERHEAD, PENDING, RingFull, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory
from vmio.vmbus.bus.worker import RingWorker


@dataclass(frozen=True)
class LoadParams:
    """Rings of `ring_kib` each, control page included; the host takes and answers `batch` requests at a time.

    vCPU and host share `host_cores`.  `mask`: does a side that is awake mask signals?  `room`: a producer that finds
    the ring full asks to be signalled when there is room for so many records (the
    pending send size); 0: it asks for nothing, and tries again after the next completion.
    """

    ring_kib: int = 8
    request_bytes: int = 256
    queue_depth: int = 16
    host_cores: int = 2
    service_ns: int = 4000
    batch: int = 4
    mask: bool = True
    room: int = 1
    requests: int = 48
    costs: str = "server-2022"

    def check(self):
        """ValueError names the parameter, its value and what is allowed."""
        if self.ring_kib % 4:
            raise ValueError(f"ring_kib {self.ring_kib}: a multiple of 4")
        for name, low, high in (("ring_kib", 8, 4096), ("request_bytes", 8, 65_536), ("queue_depth", 1, 1024),
                                ("host_cores", 1, 256), ("service_ns", 0, 10_000_000), ("batch", 1, 1024),
                                ("room", 0, 64), ("requests", 1, 100_000)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name)}: {low} to {high}")
        most = (self.ring_kib - 4 << 10) - 8 - OVERHEAD
        if self.request_bytes > most:
            raise ValueError(f"request_bytes {self.request_bytes}: at most {most:,} with rings of {self.ring_kib} KiB")
        return self


@dataclass(frozen=True)
class LoadResult:
    """Counts, virtual time in ns, and for each ring its history [(ns, used bytes), ...]."""

    params: LoadParams
    virtual_ns: int
    signals: int        # guest to host: each is a hypercall
    interrupts: int     # host to guest
    for_room: int       # interrupts because there was room again
    full: int           # times that the guest found the ring full and had to wait
    occupancy: dict
    rings_at: dict      # when each side was signalled: {"to the host": [ns, ...], "to the guest": [ns, ...]}

    @property
    def per_request(self):
        """Signals of both directions, for each request."""
        return (self.signals + self.interrupts) / self.params.requests


def run(params):
    """Run all requests; a `LoadResult`."""
    return _Load(params.check()).result()


class _Load:
    """One channel: the guest is a process, the host's side a `RingWorker`."""

    def __init__(self, params):
        self.params = params
        self.host = host = Host(memory_mib=1, costs=CostModel.preset(params.costs), cores=params.host_cores)
        self.env, self.costs = host.env, host.costs
        out, into, to_host = self._ring()
        answers, taken, to_guest = self._ring()
        self.logs = {"to the host": to_host, "to the guest": to_guest}
        self.rings_at = {name: [] for name in self.logs}
        self.guest_end = ChannelEnd(out, taken, self._signal)
        self.worker = RingWorker(host, ChannelEnd(answers, into, self._interrupt), self._handle, _raise,
                                 params.batch, most=params.batch * params.host_cores)
        self.done = self.full = 0
        self._rung, self._asleep = False, None

    def result(self):
        """Run to the end."""
        self.env.run(self.env.process(self._guest()))
        host = self.worker.end
        return LoadResult(self.params, self.env.now, self.guest_end.events, host.events, host.incoming.intr_in_full,
                          self.full, self.logs, self.rings_at)

    def _ring(self):
        """(writer, reader, log of used bytes)."""
        memory, log, env = FlatMemory(self.params.ring_kib // 4), [(0, 0)], self.env
        format_ring(memory)

        def record(used):
            log.append((env.now, used))
        writer, reader = RingWriter(memory), (RingReader if self.params.mask else _NeverMasks)(memory)
        for end in (writer, reader):
            watch(end, "moved", record)
        return writer, reader, log

    def _guest(self):
        params, costs, host = self.params, self.costs, self.host
        end, payload, sent = self.guest_end, bytes(params.request_bytes), 0
        before = costs.guest_request_ns + costs.copy_ns(params.request_bytes)
        while self.done < params.requests:
            while sent < params.requests and sent - self.done < params.queue_depth:
                yield from host.work(before)
                signals = end.events
                if not self._send(payload, sent):
                    break
                sent += 1
                if end.events > signals:
                    yield from host.work(costs.hypercall_ns)
            if not self._rung:
                self._asleep = self.env.event()
                yield self._asleep
            self._rung = False
            yield from host.work(costs.wakeup_ns)
            self._drain()

    def _send(self, payload, number):
        """Send a request.  False: the ring is full, and now it says how much room we wait for."""
        end = self.guest_end
        try:
            end.outgoing.memory.store32(PENDING, 0)
            end.send(payload, number, want_completion=True)
        except RingFull as full:
            room = min(full.needed * self.params.room, end.outgoing.size - 8)
            end.outgoing.memory.store32(PENDING, room)
            if not room or end.outgoing.available() <= room:   # a second look: it may have come in between
                self.full += 1
                return False
            return self._send(payload, number)
        return True

    def _drain(self):
        """Take completions, and allow signals again."""
        for _ in self.guest_end.packets():
            self.done += 1

    def _signal(self):
        self.rings_at["to the host"].append(self.env.now)
        self.worker.signalled()

    def _interrupt(self):
        self.rings_at["to the guest"].append(self.env.now)
        self._rung = True
        if self._asleep is not None and not self._asleep.triggered:
            self._asleep.succeed()

    def _handle(self, request, packet):
        self.env.process(self._serve(request, packet.transaction_id))

    def _serve(self, request, number):
        yield from self.host.work(self.params.service_ns)
        request.complete(bytes(8), number)


class _NeverMasks(RingReader):
    """A consumer that leaves signals on while it is awake."""

    def mask(self):
        pass


def _raise(error):
    raise error
