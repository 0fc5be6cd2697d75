"""Requests over two real rings in virtual time: a guest with a queue depth, a host worker with its cores.

    result = run(LoadParams(queue_depth=32, mask=False))
    result.signals, result.interrupts, result.occupancy["to the host"]

Rings and worker are those of every VSP (`vmio.vmbus`); device and driver are as
small as can be: a request is a record of `request_bytes`, it takes `service_ns`
on a core, and its answer is a completion of 8 bytes.  Prices are the cost
model's.  The whole path, with StorVSC and a disk, is `vmio.experiments.split`.
"""

from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.load import Load, LoadCounts
from vmio.experiments.params import param
from vmio.hypervisor.contracts import Steps
from vmio.machine.probes import watch
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.packets import Packet
from vmio.vmbus.bus.ring import OVERHEAD, PENDING, RingFull, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory
from vmio.vmbus.bus.worker import RingWorker


@params.known_by_new_names
@dataclass(frozen=True)
class LoadParams:
    """Rings of `ring_kib` each, control page included; the host takes and answers `batch` requests at a time.

    vCPU and host share `host_cores`.  `mask`: does a side that is awake mask signals?  `pending_records`: a
    producer that finds the ring full asks to be signalled when so many records fit (the
    pending send size); 0: it asks for nothing, and tries again after the next completion.
    """

    ring_kib: int = param(8, "size of each ring, its control page included", unit="KiB", low=8, high=4096, multiple=4, scale="log2")
    request_bytes: int = param(256, "size of a request", unit="bytes", low=8, high=65_536, scale="log2")
    queue_depth: int = param(16, "requests that the guest keeps in flight", low=1, high=1024, scale="log2")
    host_cores: int = param(2, "cores that the vCPU and the host's worker share", low=1, high=256)
    service_ns: int = param(4000, "how long the host works on a request", unit="ns", low=0, high=10_000_000, scale="log2")
    batch: int = param(4, "requests that the host takes, and answers, at a time", low=1, high=1024, scale="log2")
    mask: bool = param(True, "a side that is awake masks signals")
    pending_records: int = param(1, "records that must fit before a producer that found the ring full is signalled; 0: it is not",
                                 low=0, high=64, was="room")
    requests: int = param(48, "requests in all", low=1, high=100_000)
    costs: str = param("server-2022", "cost preset")

    def check(self) -> "LoadParams":
        """ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        max_bytes = (self.ring_kib - 4 << 10) - 8 - OVERHEAD
        if self.request_bytes > max_bytes:
            raise ValueError(f"request_bytes {self.request_bytes}: at most {max_bytes:,} with rings of {self.ring_kib} KiB")
        return self


@dataclass(frozen=True)
class LoadResult(LoadCounts):
    """Counts, and for each ring its history [(ns, used bytes), ...]."""

    params: LoadParams
    signals: int        # guest to host: each is a hypercall
    for_room: int       # interrupts because there was room again
    occupancy: dict
    rings_at: dict      # when each side was signalled: {"to the host": [ns, ...], "to the guest": [ns, ...]}

    @property
    def per_request(self) -> float:
        """Signals of both directions, for each request."""
        return (self.signals + self.interrupts) / self.params.requests


def run(params: LoadParams) -> LoadResult:
    """Run all requests; a `LoadResult`."""
    return _Load(params.check()).result()


class _Load(Load):
    """One channel: the guest is a process, the host's side a `RingWorker`."""

    def __init__(self, params: LoadParams) -> None:
        super().__init__(params.costs, params.host_cores)
        self.params = params
        out, into, to_host = self._ring()
        answers, taken, to_guest = self._ring()
        self.logs = {"to the host": to_host, "to the guest": to_guest}
        self.rings_at: dict[str, list[int]] = {name: [] for name in self.logs}
        self.guest_end = ChannelEnd(out, taken, self._signal)
        self.worker = RingWorker(self.host, ChannelEnd(answers, into, self._interrupt), self._handle, _raise,
                                 params.batch, max_in_flight=params.batch * params.host_cores)

    def result(self) -> LoadResult:
        """Run to the end."""
        self.env.run(self.env.process(self._guest()))
        host = self.worker.end
        return LoadResult(self.env.now, host.events, self.full, self.params, self.guest_end.events, host.incoming.intr_in_full,
                          self.logs, self.rings_at)

    def _ring(self) -> tuple[RingWriter, RingReader, list[tuple[int, int]]]:
        """(writer, reader, log of used bytes)."""
        memory, log, env = FlatMemory(self.params.ring_kib // 4), [(0, 0)], self.env
        format_ring(memory)

        def record(used: int) -> None:
            log.append((env.now, used))
        writer, reader = RingWriter(memory), (RingReader if self.params.mask else _NeverMasks)(memory)
        for end in (writer, reader):
            watch(end, "moved", record)
        return writer, reader, log

    def _guest(self) -> Steps[None]:
        params, costs, host = self.params, self.costs, self.host
        end, payload, sent = self.guest_end, bytes(params.request_bytes), 0
        before = costs.guest_request_ns + costs.copy_ns(params.request_bytes)
        while self.done < params.requests:
            while sent < params.requests and sent - self.done < params.queue_depth:
                yield from host.cores.work(before)
                signals = end.events
                if not self._send(payload, sent):
                    break
                sent += 1
                if end.events > signals:
                    yield from host.cores.work(costs.hypercall_ns)
            yield from self.sleep()
            self._drain()

    def _send(self, payload: bytes, number: int) -> bool:
        """Send a request.  False: the ring is full, and now it says how much room we wait for."""
        end = self.guest_end
        try:
            end.outgoing.memory.store32(PENDING, 0)
            end.send(payload, number, want_completion=True)
        except RingFull as full:
            pending = min(full.needed * self.params.pending_records, end.outgoing.size - 8)
            end.outgoing.memory.store32(PENDING, pending)
            if not pending or end.outgoing.available() <= pending:   # a second look: it may have come in between
                self.full += 1
                return False
            return self._send(payload, number)
        return True

    def _drain(self) -> None:
        """Take completions, and allow signals again."""
        for _ in self.guest_end.packets():
            self.done += 1

    def _signal(self) -> None:
        self.rings_at["to the host"].append(self.env.now)
        self.worker.signalled()

    def _interrupt(self) -> None:
        self.rings_at["to the guest"].append(self.env.now)
        self.interrupt()

    def _handle(self, request: Answerable, packet: Packet) -> None:
        self.env.process(self._serve(request, packet.transaction_id))

    def _serve(self, request: Answerable, number: int) -> Steps[None]:
        yield from self.host.cores.work(self.params.service_ns)
        request.complete(bytes(8), number)


class _NeverMasks(RingReader):
    """A consumer that leaves signals on while it is awake."""

    def mask(self) -> None:
        pass


def _raise(error: Exception) -> None:
    raise error
