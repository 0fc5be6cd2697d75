"""A VSP's worker: a process on the host that drains one channel's ring, and sends the completions back.

    worker = RingWorker(host, end, handle, failed, batch=16)
    worker.signalled()                    the guest has signalled: look; `end` calls it
    request.complete(payload, id)         a request that `handle(request, packet)` began is done
    request.end()                         the same for one that has no answer
    worker.post(payload)                  a message that the guest has not asked for
    worker.stop()                         None, or an event for when nothing is in flight any more

It knows no protocol; it is the one packet loop of the host's side (`device.py` has it for any device).  Asleep it costs nothing; waking it costs
`worker_wakeup_ns`, each request `host_request_ns`, on one of the host's cores.
While it is awake the ring's signals are masked.  A new worker is made each time
a channel is opened, so what comes back late can't be taken for a newer life's.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from simpy.events import Event

from vmio.hypervisor.contracts import Root, Steps
from vmio.hypervisor.cores import Spell
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.inflight import InFlight
from vmio.machine.contracts import Buffer
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import COMPLETION, COMPLETION_REQUESTED, INBAND, TRANSFER_PAGES, Packet, RingCorrupt, TransferPages
from vmio.vmbus.bus.ring import NeverFits, RingFull

Record: TypeAlias = tuple[int, Buffer, int, int, Any]     # arguments of `RingWriter.write`: type, payload, transaction id, flags, ranges


class Taken:
    """A request that `worker` has taken from the ring; `handle` completes it, now or later."""

    __slots__ = ("worker",)

    def __init__(self, worker: "RingWorker") -> None:
        self.worker = worker
        worker.under_way.begin(self)

    def complete(self, payload: Buffer, transaction_id: int) -> bool:
        """Send its completion and return True; the second time nothing happens.

        After `stop` it is dropped, as nobody is there to read it: False.
        """
        return self.worker.under_way.ended(self) and self.worker._completed(payload, transaction_id)

    def end(self) -> bool:
        """End it without an answer.  Returns whether this was the first time."""
        return self.worker.under_way.ended(self)


class RingWorker:
    """Serves `end` until it is stopped.

    `batch`: requests taken and completions published at a time (fewer if no
    other is in flight).  `max_in_flight`: requests in flight; more wait in the ring.
    `failed(error)` is called once for a `RingCorrupt`, also one that `handle` raises, or for
    an answer that the guest's ring can never hold (`NeverFits`); any other error is a fault of `guest`, for whom it works (None: the host's own).
    """

    def __init__(self, host: Root, end: ChannelEnd, handle: Callable[["Taken", Packet], None], failed: Callable[[Exception], None],
                 batch: int = 16, max_in_flight: int = 256, guest: Guest | None = None,
                 go_on: "Callable[[RingWorker], None] | None" = None) -> None:
        if not 1 <= batch <= 1024:
            raise ValueError(f"batch {batch}: 1 to 1024")
        self.host, self.end, self.batch, self.max_in_flight = host, end, batch, max_in_flight
        self._handle, self._failed = handle, failed
        self.under_way = InFlight(host.env)
        self.stopped = False
        self.wakeups = self.taken = self.completed = self.dropped = 0
        self._taking = 0            # received, but not yet handled
        self._unpublished = 0       # completions written, but not yet shown
        self._backlog: deque[Record] = deque()     # completions and messages that found no room
        self._asleep = True         # until it has begun to look into the ring
        self._posted = False        # a message came meanwhile
        self._blocked = False       # asleep, but not for want of requests: there was no room for more
        self._idle: Event | None = None
        self.begin: Event | None = None      # of a process that had not begun when it was saved
        self.nap: Event | None = None        # where its process is: it sleeps, or has a core,
        self.packets: list[Packet] = []      # and these are in its hand
        self.core, self._guest = Spell(host.cores, worker=True), guest
        end.on_signal = self.signalled
        if go_on is None:
            self.start()
        else:                                # `go_on` starts it where it was when it was saved
            go_on(self)

    def start(self, again: bool = False) -> None:
        """Begin, or go on where it was when it was saved (`again`)."""
        steps = self._run(again)
        self.process = self.host.env.process(steps) if self._guest is None else self.host.process(self._guest, steps)

    @property
    def in_flight(self) -> int:
        """Requests that were handled and have no completion yet."""
        return len(self.under_way)

    def signalled(self) -> None:
        """The guest says that there is something to read, or room to write."""
        if self._backlog and not self.stopped:
            self._guarded(self._send_backlog)
        self._wake()

    def post(self, payload: Buffer) -> None:
        """Send an in-band message of the device's own accord, at once or, if the worker sleeps, when it has woken."""
        if not self.stopped:
            self._post((INBAND, payload, 0, 0, ()))

    def transfer(self, payload: Buffer, transaction_id: int, set_id: int, span: tuple[int, int], most: int) -> int:
        """Send word of what lies in a buffer that both sides know, `span` (bytes, offset) of the one called `set_id`.

        Returns the id of the record that will say so: the last one, if it still waits, has the same payload and
        fewer than `most` spans; otherwise a new one with this id, which the guest shall complete.
        """
        if self._backlog and self._backlog[-1][0] == TRANSFER_PAGES and not self.stopped:
            kind, same, number, flags, pages = self._backlog[-1]
            if same == payload and len(pages.ranges) < most:
                self._backlog[-1] = kind, same, number, flags, TransferPages(set_id, (*pages.ranges, span))
                return number
        if not self.stopped:
            self._post((TRANSFER_PAGES, payload, transaction_id, COMPLETION_REQUESTED, TransferPages(set_id, (span,))))
        return transaction_id

    def _post(self, record: Record) -> None:
        self._backlog.append(record)
        self._unpublished = self.batch      # it completes a batch: what is in flight may wait for the guest's reaction
        if self._asleep:
            self._posted = True
            self._wake()
        else:
            self._guarded(self._send_backlog)

    def _completed(self, payload: Buffer, transaction_id: int) -> bool:
        if self.stopped:
            self.dropped += 1
            return False
        self._backlog.append((COMPLETION, payload, transaction_id, 0, ()))
        try:
            self._send_backlog()
        except (RingCorrupt, NeverFits) as error:
            self._fail(error)
        if self._blocked:
            self._wake()
        return True

    def stop(self) -> Event | None:
        """Take no more requests.  Returns None, or an event: guest memory is in use until then."""
        self.stopped = True
        self._wake()
        return self.under_way.drained()

    def _run(self, again: bool = False) -> Steps[None]:
        end = self.end
        if self.begin is not None:
            yield self.begin
            self.begin = None
        try:
            while again or not self.stopped:
                if not again:
                    end.begin_read()
                    self._asleep = False
                    if self._posted:
                        self._posted = False
                        self._send_backlog()
                while again and self.packets or not (again or self.stopped) and self._take():
                    ns = None if again else self.host.costs.host_request_ns * len(self.packets)
                    again = False
                    yield from self.core.spend(ns)
                    packets, self.packets = self.packets, []
                    for packet in packets:
                        if self.stopped:
                            return
                        self._taking -= 1
                        request = Taken(self)
                        try:
                            self._handle(request, packet)
                        except BaseException:
                            request.end()                   # what is no request ends it, and the channel
                            raise
                if not again:
                    self._blocked = not self._room()
                    if self.stopped or not self._blocked and end.end_read():
                        continue
                    self.nap = self._idle = self.host.env.event()
                    self._asleep = True
                ns = None
                if self.nap is not None:
                    yield self.nap
                    self.nap = None
                    if self.stopped:
                        return
                    self.wakeups += 1
                    ns = self.host.costs.worker_wakeup_ns
                again = False
                yield from self.core.spend(ns)
        except (RingCorrupt, NeverFits) as error:
            self._fail(error)

    def _room(self) -> int:
        """How many requests may be taken now; none while the guest doesn't read our completions."""
        return 0 if self._backlog else min(self.batch, self.max_in_flight - len(self.under_way))

    def _take(self) -> bool:
        """Take the next requests from the ring, if there are any; their room is given back at once."""
        receive, packets = self.end.incoming.receive, self.packets
        for _ in range(self._room()):
            packet = receive()
            if packet is None:
                break
            packets.append(packet)
        if packets:
            self.end.commit()
            self.taken += len(packets)
            self._taking = len(packets)
        return bool(packets)

    def _send_backlog(self) -> None:
        """Write completions; show them when the batch is complete, or when no other could complete it."""
        backlog, outgoing = self._backlog, self.end.outgoing
        while backlog:
            try:
                outgoing.write(*backlog[0])
            except RingFull:
                break
            backlog.popleft()
            self._unpublished += 1
            self.completed += 1
        if self._unpublished >= self.batch or backlog or not (self.under_way or self._taking):
            self._unpublished = 0
            self.end.flush()
            if backlog:
                self._ask_for_room()

    def _ask_for_room(self) -> None:
        """The ring is full, and the guest has been shown everything: it shall signal when it has read enough."""
        try:
            self.end.outgoing.write(*self._backlog[0], wait=True)
        except RingFull:
            return
        self._backlog.popleft()     # it has read meanwhile
        self._unpublished += 1
        self.completed += 1
        self._send_backlog()

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (RingCorrupt, NeverFits) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.stopped:
            self.stopped = True
            self.end.error = self.end.error or error
            self._failed(error)

    def _wake(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.succeed()

