"""A channel's end: one ring out, one ring in, and a way to signal the other side.  Guest and host use the same class.

    end = ChannelEnd(RingWriter(out), RingReader(into), signal)
    end.send(payload, transaction_id=7, want_completion=True, ranges=[GpaRange(4096, 0, (0x1234,))])
    for packet in end.packets(): ...        # and then it is safe to sleep

Counters have the names of Linux's /sys/bus/vmbus/devices/*/channels/*.
"""

from collections.abc import Callable, Iterator, Sequence

from vmio.machine.contracts import Buffer
from vmio.vmbus.bus.packets import COMPLETION, COMPLETION_REQUESTED, GPA_DIRECT, INBAND, GpaRange, Packet, RingCorrupt
from vmio.vmbus.bus.ring import RingReader, RingWriter


class ChannelEnd:
    """One side of an open channel.

    `signal()` is called when the other side must be woken (HvCallSignalEvent, or
    an event flag and an interrupt); `on_signal()`, of who serves this end, when the
    other side has signalled.  The first `RingCorrupt` is latched in
    `error`: from then on every call raises it, and the owner closes the channel.
    """

    POINTS = {"signals": "() before the other side is signalled", "hears": "() when the other side has signalled"}
    signals: Callable[[], None] | None = None
    hears: Callable[[], None] | None = None

    def __init__(self, outgoing: RingWriter, incoming: RingReader, signal: Callable[[], None]) -> None:
        self.outgoing, self.incoming, self.signal = outgoing, incoming, signal
        self.error: Exception | None = None
        self.on_signal: Callable[[], None] | None = None
        self.interrupts = self.events = 0

    def send(self, payload: Buffer, transaction_id: int = 0, want_completion: bool = False, ranges: Sequence[GpaRange] = (),
             wait: bool = False) -> None:
        """Send a request or a message: GPA-direct if it has `ranges` (of `GpaRange`), in-band otherwise.

        `RingFull`: nothing was sent; with `wait` the other side will signal when there is room.
        """
        self._send(GPA_DIRECT if ranges else INBAND, payload, transaction_id,
                   COMPLETION_REQUESTED if want_completion else 0, ranges, wait)

    def send_completion(self, payload: Buffer, transaction_id: int, wait: bool = False) -> None:
        """Answer the request with this transaction id."""
        self._send(COMPLETION, payload, transaction_id, 0, (), wait)

    def _send(self, kind: int, payload: Buffer, transaction_id: int, flags: int, ranges: Sequence[GpaRange], wait: bool) -> None:
        if self.error is not None:
            raise RingCorrupt(str(self.error))
        try:
            if self.outgoing.send(kind, payload, transaction_id, flags, ranges, wait):
                self._signal()
        except RingCorrupt as error:
            self.error = error
            raise

    def receive(self) -> Packet | None:
        """Return the next `Packet`, or None."""
        if self.error is not None:
            raise RingCorrupt(str(self.error))
        try:
            return self.incoming.receive()
        except RingCorrupt as error:
            self.error = error
            raise

    def packets(self, stay_awake: bool = False) -> Iterator[Packet]:
        """Yield every packet there is, also what comes meanwhile; at the end signals are on again and it is safe to sleep.

        `stay_awake`: only what is there now, and signals stay off: for who polls.
        """
        self.begin_read()
        receive = self.incoming.receive
        while True:
            try:
                while self.error is None and (packet := receive()) is not None:
                    yield packet
            except RingCorrupt as error:
                self.error = error
            if self.error is not None:
                raise RingCorrupt(str(self.error))
            if stay_awake:
                return self.commit()
            if not self.end_read():
                return None

    def begin_read(self) -> None:
        """We are awake: no signals until `end_read`."""
        self.incoming.mask()

    def end_read(self) -> bool:
        """Give back the room of what was received, and unmask.  True: there is more, `receive` it before you sleep."""
        incoming = self.incoming
        try:
            if self.error is not None:
                raise RingCorrupt(str(self.error))
            if incoming.commit():
                self._signal()
            if not incoming.unmask():
                return False
            incoming.mask()
            return True
        except RingCorrupt as error:
            self.error = self.error or error
            raise

    def commit(self) -> None:
        """Give back the room of what was received; signals if the other side waits for it."""
        self._move(self.incoming.commit)

    def flush(self) -> None:
        """Publish what `outgoing.write` has put there: the end of a batch."""
        self._move(self.outgoing.publish)

    def interrupted(self) -> None:
        """The owner says: the other side has signalled us."""
        self.interrupts += 1
        if self.hears is not None:
            self.hears()
        if self.on_signal is not None:
            self.on_signal()

    def counters(self) -> dict[str, int]:
        """Linux's counters of this channel, as a dict."""
        return {"read_avail": self._count(self.incoming.available), "write_avail": self._count(self.outgoing.available),
                "interrupts": self.interrupts, "events": self.events,
                "intr_in_full": self.incoming.intr_in_full, "intr_out_empty": self.outgoing.intr_out_empty,
                "out_full_first": self.outgoing.out_full_first, "out_full_total": self.outgoing.out_full_total}

    def _signal(self) -> None:
        self.events += 1
        if self.signals is not None:
            self.signals()
        self.signal()

    def _move(self, index: Callable[[], bool]) -> None:
        """Show an index of ours, and signal if the other side waits for it."""
        if self.error is not None:
            raise RingCorrupt(str(self.error))
        try:
            waited_for = index()
        except RingCorrupt as error:
            self.error = error
            raise
        if waited_for:
            self._signal()

    def _count(self, call: Callable[[], int]) -> int:
        """A number for a table; a corrupt ring has 0 bytes of anything, and the next real use reports it."""
        try:
            return call()
        except RingCorrupt:
            return 0
