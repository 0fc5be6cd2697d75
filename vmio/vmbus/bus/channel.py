"""A channel's end: one ring out, one ring in, and a way to signal the other side.  Guest and host use the same class.

    end = ChannelEnd(RingWriter(out), RingReader(into), signal)
    end.send(payload, transaction_id=7, want_completion=True, ranges=[GpaRange(4096, 0, (0x1234,))])
    for packet in end.packets(): ...        # and then it is safe to sleep

Counters have the names of Linux's /sys/bus/vmbus/devices/*/channels/*.
"""

from vmio.vmbus.bus.packets import COMPLETION, COMPLETION_REQUESTED, GPA_DIRECT, INBAND, RingCorrupt


class ChannelEnd:
    """One side of an open channel.

    `signal()` is called when the other side must be woken (HvCallSignalEvent, or
    an event flag and an interrupt).  The first `RingCorrupt` is latched in
    `error`: from then on every call raises it, and the owner closes the channel.
    """

    POINTS = {"signals": "() before the other side is signalled", "hears": "() when the other side has signalled"}
    signals = hears = None

    def __init__(self, outgoing, incoming, signal):
        self.outgoing, self.incoming, self.signal = outgoing, incoming, signal
        self.error = None
        self.interrupts = self.events = 0

    def send(self, payload, transaction_id=0, want_completion=False, ranges=(), wait=False):
        """Send a request or a message: GPA-direct if it has `ranges` (of `GpaRange`), in-band otherwise.

        `RingFull`: nothing was sent; with `wait` the other side will signal when there is room.
        """
        self._send(GPA_DIRECT if ranges else INBAND, payload, transaction_id,
                   COMPLETION_REQUESTED if want_completion else 0, ranges, wait)

    def send_completion(self, payload, transaction_id, wait=False):
        """Answer the request with this transaction id."""
        self._send(COMPLETION, payload, transaction_id, 0, (), wait)

    def _send(self, kind, payload, transaction_id, flags, ranges, wait):
        if self.error is not None:
            raise RingCorrupt(str(self.error))
        try:
            if self.outgoing.send(kind, payload, transaction_id, flags, ranges, wait):
                self._signal()
        except RingCorrupt as error:
            self.error = error
            raise

    def receive(self):
        """The next `Packet`, or None."""
        if self.error is not None:
            raise RingCorrupt(str(self.error))
        try:
            return self.incoming.receive()
        except RingCorrupt as error:
            self.error = error
            raise

    def packets(self, stay_awake=False):
        """Every packet there is, also what comes meanwhile; at the end signals are on again and it is safe to sleep.

        `stay_awake`: only what is there now, and signals stay off: for who polls.
        """
        self.begin_read()
        while True:
            while (packet := self.receive()) is not None:
                yield packet
            if stay_awake:
                return self.commit()
            if not self.end_read():
                return None

    def begin_read(self):
        """We are awake: no signals until `end_read`."""
        self.incoming.mask()

    def end_read(self):
        """Give back the room of what was received, and unmask.  True: there is more, `receive` it before you sleep."""
        return self._guard(self._end_read)

    def _end_read(self):
        incoming = self.incoming
        if incoming.commit():
            self._signal()
        if not incoming.unmask():
            return False
        incoming.mask()
        return True

    def commit(self):
        """Give back the room of what was received; signals if the other side waits for it."""
        if self._guard(self.incoming.commit):
            self._signal()

    def flush(self):
        """Publish what `outgoing.write` has put there: the end of a batch."""
        if self._guard(self.outgoing.publish):
            self._signal()

    def interrupted(self):
        """The owner says: the other side has signalled us."""
        self.interrupts += 1
        if self.hears is not None:
            self.hears()

    def counters(self):
        """Linux's counters of this channel, as a dict."""
        return {"read_avail": self._count(self.incoming.available), "write_avail": self._count(self.outgoing.available),
                "interrupts": self.interrupts, "events": self.events,
                "intr_in_full": self.incoming.intr_in_full, "intr_out_empty": self.outgoing.intr_out_empty,
                "out_full_first": self.outgoing.out_full_first, "out_full_total": self.outgoing.out_full_total}

    def _signal(self):
        self.events += 1
        if self.signals is not None:
            self.signals()
        self.signal()

    def _guard(self, call):
        if self.error is not None:
            raise RingCorrupt(str(self.error))
        try:
            return call()
        except RingCorrupt as error:
            self.error = error
            raise

    def _count(self, call):
        """A number for a table; a corrupt ring has 0 bytes of anything, and the next real use reports it."""
        try:
            return call()
        except RingCorrupt:
            return 0
