"""A guest that seals what it sends: TLS 1.3's records over any `NetDriver`, so that who carries its frames sees where they go and no more.

    card = SealedNet(cpu, card, Sealer(ours), Opener(theirs), rate)
    card.send(frame)                    destination and source stay; type and data become one record
    card.reap()                         frames as the other side sent them; none after one that does not open

TLS stands on TCP, which brings every byte once and in order.  There is no TCP here, so a frame that a network loses ends the connection,
as one that somebody took away does.  Source: RFC 8446, 5.2; IEEE 802-2014, 9.2.3.4 (the type, for local experiments).
"""

from vmio.drivers.contracts import NetDriver
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Buffer
from vmio.machine.crypto.records import OVERHEAD, Opener, RecordRefused, Sealer
from vmio.machine.net.frames import ADDRESS, HEADER, MAX

TYPE = b"\x88\xb5"
FIRST = 2 * ADDRESS             # bytes that stay in clear: who it is for, and from
MAX_INNER = MAX - HEADER - OVERHEAD + FIRST     # bytes of the longest frame that still fits when it is sealed


class Records:
    """A guest's end of a connection whose bytes go as records; the cipher takes a second of the guest's time for `rate` bytes."""

    def __init__(self, cpu: Cpu, sealer: Sealer, opener: Opener, rate: int) -> None:
        self.cpu, self.sealer, self.opener, self.rate = cpu, sealer, opener, rate
        self.crypt_ns = 0

    def seal(self, content: Buffer) -> bytes:
        """Return the next record to send."""
        record = self.sealer.seal(content)
        self.took(len(record))
        return record

    def took(self, length: int) -> None:
        """The cipher has worked on so many bytes, in the guest's own time."""
        ns = length * 1_000_000_000 // self.rate
        self.cpu.compute(ns)
        self.crypt_ns += ns


class SealedNet(Records):
    """A `NetDriver` over another.

    `refused` is why the connection has ended, or None; `dropped` counts frames that came after that, or are no records.
    """

    def __init__(self, cpu: Cpu, card: NetDriver, sealer: Sealer, opener: Opener, rate: int) -> None:
        super().__init__(cpu, sealer, opener, rate)
        self.card = card
        self.refused: RecordRefused | None = None
        self.dropped = 0
        self._waiting: bytes | None = None      # a record has its number, so it must leave before the next is made

    @property
    def address(self) -> bytes:
        """The card's own."""
        return self.card.address

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""
        return self.card.pending + (self._waiting is not None)

    def send(self, frame: bytes, more: bool = False) -> bool:
        """Seal and send a frame; False if there is no room for it now.  ValueError for one that is too long once it is sealed."""
        if len(frame) > MAX_INNER:
            raise ValueError(f"a frame of {len(frame):,} bytes: a record adds {OVERHEAD + HEADER - FIRST}, so at most {MAX_INNER:,}")
        if not self._passed_on(True):
            return False
        self._waiting = frame[:FIRST] + TYPE + self.seal(frame[FIRST:])
        self._passed_on(more)
        return True

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Wait until frames have come, until what was sent has left, or until the time is `until` (ns)."""
        yield from self.card.wait(until)
        self._passed_on(False)

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call, opened; what can't be opened ends the connection."""
        return [frame for frame in map(self._opened, self.card.reap()) if frame is not None]

    def _opened(self, frame: bytes) -> bytes | None:
        if frame[FIRST:HEADER] != TYPE or self.refused is not None:
            self.dropped += 1
            return None
        self.took(len(frame) - HEADER)
        try:
            return frame[:FIRST] + self.opener.open(frame[HEADER:])
        except RecordRefused as refused:
            self.refused = refused
            return None

    def _passed_on(self, more: bool) -> bool:
        """Whether nothing waits for the card any more."""
        if self._waiting is not None and self.card.send(self._waiting, more):
            self._waiting = None
        return self._waiting is None
