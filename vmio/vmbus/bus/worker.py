"""A VSP's worker: a process on the host that drains one channel's ring, and sends the completions back.

    worker = RingWorker(host, end, handle, failed, batch=16)
    worker.signalled()                    the guest has signalled: look
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

from vmio.hypervisor.inflight import InFlight, Ticket
from vmio.vmbus.bus.packets import COMPLETION, INBAND, RingCorrupt
from vmio.vmbus.bus.ring import NeverFits, RingFull


class Taken(Ticket):
    """A request that `worker` has taken from the ring; `handle` completes it, now or later."""

    __slots__ = ("worker",)

    def __init__(self, worker):
        self.worker = worker
        super().__init__(worker.under_way)

    def complete(self, payload, transaction_id):
        """Send its completion and return True; the second time nothing happens.

        After `stop` it is dropped, as nobody is there to read it: False.
        """
        return self.end() and self.worker._completed(payload, transaction_id)


class RingWorker:
    """Serves `end` until it is stopped.

    `batch`: requests taken and completions published at a time (fewer if no
    other is in flight).  `most`: requests in flight; more wait in the ring.
    `failed(error)` is called once for a `RingCorrupt`, also one that `handle` raises, or for
    an answer that the guest's ring can never hold (`NeverFits`); any other error is a fault of `guest`, for whom it works (None: the host's own).
    """

    def __init__(self, host, end, handle, failed, batch=16, most=256, guest=None):
        if not 1 <= batch <= 1024:
            raise ValueError(f"batch {batch}: 1 to 1024")
        self.host, self.end, self.batch, self.most = host, end, batch, most
        self._handle, self._failed = handle, failed
        self.under_way = InFlight(host.env)
        self.stopped = False
        self.wakeups = self.taken = self.completed = self.dropped = 0
        self._taking = 0            # received, but not yet handled
        self._unpublished = 0       # completions written, but not yet shown
        self._backlog = deque()     # completions and messages that found no room
        self._asleep = True         # until it has begun to look into the ring
        self._posted = False        # a message came meanwhile
        self._blocked = False       # asleep, but not for want of requests: there was no room for more
        self._idle = None
        host.env.process(self._run()) if guest is None else host.process(guest, self._run())

    @property
    def in_flight(self):
        """Requests that were handled and have no completion yet."""
        return len(self.under_way)

    def signalled(self):
        """The guest says that there is something to read, or room to write."""
        if self._backlog and not self.stopped:
            self._guarded(self._send_backlog)
        self._wake()

    def post(self, payload):
        """Send an in-band message of the device's own accord, at once or, if the worker sleeps, when it has woken."""
        if self.stopped:
            return
        self._backlog.append((INBAND, payload, 0))
        self._unpublished = self.batch      # it completes a batch: what is in flight may wait for the guest's reaction
        if self._asleep:
            self._posted = True
            self._wake()
        else:
            self._guarded(self._send_backlog)

    def _completed(self, payload, transaction_id):
        if self.stopped:
            self.dropped += 1
            return False
        self._backlog.append((COMPLETION, payload, transaction_id))
        self._guarded(self._send_backlog)
        if self._blocked:
            self._wake()
        return True

    def stop(self):
        """Take no more requests.  Returns None, or an event: guest memory is in use until then."""
        self.stopped = True
        self._wake()
        return self.under_way.drained()

    def _run(self):
        end = self.end
        try:
            while not self.stopped:
                end.begin_read()
                self._asleep = False
                if self._posted:
                    self._posted = False
                    self._send_backlog()
                while not self.stopped and (packets := self._take()):
                    yield from self.host.work(self.host.costs.host_request_ns * len(packets))
                    for packet in packets:
                        if self.stopped:
                            return
                        self._taking -= 1
                        with Taken(self) as request:        # what is no request ends it, and the channel
                            self._handle(request, packet)
                self._blocked = not self._room()
                if not self.stopped and (self._blocked or not end.end_read()):
                    self._idle = self.host.env.event()
                    self._asleep = True
                    yield self._idle
                    if not self.stopped:
                        self.wakeups += 1
                        yield from self.host.work(self.host.costs.worker_wakeup_ns)
        except (RingCorrupt, NeverFits) as error:
            self._fail(error)

    def _room(self):
        """How many requests may be taken now; none while the guest doesn't read our completions."""
        return 0 if self._backlog else min(self.batch, self.most - self.in_flight)

    def _take(self):
        """The next requests from the ring; their room is given back at once."""
        packets, receive = [], self.end.receive
        for _ in range(self._room()):
            packet = receive()
            if packet is None:
                break
            packets.append(packet)
        if packets:
            self.end.commit()
            self.taken += len(packets)
            self._taking = len(packets)
        return packets

    def _send_backlog(self):
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
        if self._unpublished >= self.batch or backlog or not (self.under_way.tickets or self._taking):
            self._unpublished = 0
            self.end.flush()
            if backlog:
                self._ask_for_room()

    def _ask_for_room(self):
        """The ring is full, and the guest has been shown everything: it shall signal when it has read enough."""
        try:
            self.end.outgoing.write(*self._backlog[0], wait=True)
        except RingFull:
            return
        self._backlog.popleft()     # it has read meanwhile
        self._unpublished += 1
        self.completed += 1
        self._send_backlog()

    def _guarded(self, call):
        try:
            call()
        except (RingCorrupt, NeverFits) as error:
            self._fail(error)

    def _fail(self, error):
        if not self.stopped:
            self.stopped = True
            self.end.error = self.end.error or error
            self._failed(error)

    def _wake(self):
        if self._idle is not None and not self._idle.triggered:
            self._idle.succeed()

