"""One channel of a split network card, for one vCPU: frames into sections of a shared buffer, records into a ring, and what comes back.

As Linux's hv_netvsc does it (drivers/net/hyperv/netvsc.c, netvsc_drv.c): up to 8 frames in a section while more is said to come;
no signal while the host reads; no more frames when less than 10 % of the ring is free, until 20 % are; sections of the receive
buffer are given back when a poll has ended.
"""

from collections.abc import Callable, Sequence

from vmio.drivers import netvsc_receive
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.netvsc_card import SplitCard
from vmio.drivers.pages import PAGE
from vmio.drivers.vmbus import GuestChannel, Rescinded
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.machine.net import frames
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import (
    COMPLETION,
    COMPLETION_REQUESTED,
    GPA_DIRECT,
    INBAND,
    GpaRange,
    Packet,
    RingCorrupt,
    TransferPages,
)
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r

TIMEOUT_NS = 10_000_000_000
STOP_PERCENT, WAKE_PERCENT = 10, 20      # of the ring: below the one no frame is sent, above the other again
LARGE_PAGES = 17                         # for one large segment: 64 KiB and its headers
ASK_ID, CONTROL_ID, LARGE_ID = 1 << 32, 2 << 32, 3 << 32      # transaction ids that are no section's
_DONE = n.RNDIS_PKT_COMPLETE.pack(status=n.SUCCESS)


class NetQueue:
    """Frames on `channel` of `card` (a `NetVsc`), whose signals interrupt `cpu`."""

    end: ChannelEnd          # while the channel is open

    def __init__(self, card: SplitCard, channel: GuestChannel, cpu: VCpu) -> None:
        self.card, self.channel, self.cpu = card, channel, cpu
        self.error: Exception | None = None
        self.sent = self.records = self.polls = self.unknown = self.refused = 0
        self.lost = 0                        # frames that were accepted, and of which nobody knows, as the card was taken away
        self.stopped = False                 # the ring is too full, or no section is free
        self._large = 0                      # where a large segment lies, once there was one
        self._open: list[int] = []           # [section, bytes, frames] that wait for more
        self._bounces: dict[int, int] = {}         # transaction id -> where in the bounce pool its data is
        self._outstanding: dict[int, int] = {}     # transaction id -> frames in the record
        self._give_back: list[int] = []      # receive records that are done with
        self._received: list[bytes] = []

    def open(self) -> Steps[None]:
        """Open the channel."""
        self.error, self.channel.on_rescind = None, self._rescinded
        self.end = yield from self.card.client.open(self.channel, pages=self.card.ring_kib // 4, on_signal=self._look, user=bytes(24),
                                                    cpu=self.cpu)

    def until(self, ready: Callable[[], object], what: str) -> Steps[None]:
        """Sleep until `ready()`; `DriverTimeout`."""
        deadline = self.cpu.now + TIMEOUT_NS
        while not ready():
            if self.error is not None:
                raise self.failure()
            if self.cpu.now >= deadline:
                raise DriverTimeout(f"NetVSC {what}: no answer")
            yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)

    # Out.

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""
        return sum(self._outstanding.values()) + (self._open[2] if self._open else 0)

    def send(self, frame: bytes, more: bool = False, about: bytes = b"") -> bool:
        """Send a frame; False if there is no room for it now.  `more`: another one follows at once, so this one may wait for it.

        `about` is per-packet information.  `DriverError` for a frame that is too long.
        """
        if len(frame) > frames.longest(frame):
            raise DriverError(f"NetVSC: a frame of {len(frame):,} bytes; at most {frames.longest(frame):,}")
        card = self.card
        if self.stopped:
            return False
        message = packet(frame, about, self.card.alignment)
        if self._open and (self._open[1] + len(message) > card.section_bytes or self._open[2] >= self._most):
            self.flush()
        if not self._open:
            if not card.free_sections:
                self.stopped = True
                return False
            self._open = [card.free_sections.pop(), 0, 0]
        section, filled, count = self._open
        self.cpu.write(card.send_at + section * card.section_bytes + filled, message)
        self._open = [section, filled + len(message), count + 1]
        self.sent += 1
        if not more:
            self.flush()
        return True

    @property
    def _most(self) -> int:
        """Frames in a record."""
        return self.card.max_messages if self.card.batch is None else min(self.card.batch, self.card.max_messages)

    def flush(self) -> None:
        """Let the host see what waits for more."""
        if self._open:
            (section, filled, count), self._open = self._open, []
            payload = n.RNDIS_PKT.pack(channel_type=n.DATA, section=section, section_bytes=filled).ljust(40, b"\0")
            self._put(INBAND, payload, section, (), count)

    def send_large(self, frame: bytes, mss: int, transport_offset: int) -> bool:
        """Send a TCP segment of up to 64 KiB in frames of `mss` bytes of data: the host cuts it.  False if there is no room now."""
        if not self.card.large_send or LARGE_ID in self._outstanding or self.stopped:
            return False
        self.flush()
        about = r.PPI.pack(size=16, type=r.LARGE_SEND, data=[r.LSO_V2.number(mss=mss, transport_offset=transport_offset, type=1)])
        message = packet(frame, about, self.card.alignment)
        if len(message) > LARGE_PAGES * PAGE:
            raise DriverError(f"NetVSC: a segment of {len(frame):,} bytes; at most 65,535 and its headers")
        self._large = self._large or self.card.client.pages.take(LARGE_PAGES)
        self.cpu.write(self._large, message)
        at = self.bounced(LARGE_ID, self._large, len(message))
        if at is None:
            return False
        pages = tuple(range(at // PAGE, (at + len(message) + PAGE - 1) // PAGE))
        payload = n.RNDIS_PKT.pack(channel_type=n.DATA).ljust(40, b"\0")
        self._put(GPA_DIRECT, payload, LARGE_ID, (GpaRange(len(message), 0, pages),), 1)
        self.sent += 1
        return True

    def bounced(self, number: int, gpa: int, length: int) -> int | None:
        """Return where the host finds this data: in a confidential guest a copy in the bounce pool, None if that is full."""
        pool = self.card.client.pool
        if pool is None:
            return gpa
        bounce = pool.map(self.cpu, gpa, length)
        if bounce is not None:
            self._bounces[number] = bounce
        return bounce

    def unbounce(self, number: int) -> None:
        """The host has read it."""
        bounce, pool = self._bounces.pop(number, None), self.card.client.pool
        if bounce is not None and pool is not None:
            pool.unmap(self.cpu, bounce, False)

    def _put(self, kind: int, payload: bytes, number: int, ranges: Sequence[GpaRange], count: int) -> None:
        """Write a record; there is room for it, or we would have stopped."""
        outgoing = self.end.outgoing

        def write() -> None:
            outgoing.write(kind, payload, number, COMPLETION_REQUESTED, ranges)
            self.end.flush()
        self.guarded(write)
        self._outstanding[number] = count
        self.records += 1
        if self._free_percent() < STOP_PERCENT:
            self.stopped = True

    def _free_percent(self) -> int:
        return self.end.outgoing.available() * 100 // self.end.outgoing.size

    # In.

    def _look(self, cpu: VCpu) -> None:
        """In the interrupt: take all that is there, with the host's signals masked, then give back what is done with."""
        self.polls += 1
        end = self.channel.end
        if end is None:
            return
        try:
            for each in end.packets():
                self._take(each)
            self._return_sections(end)
            if self.stopped and self.card.free_sections and (self._free_percent() > WAKE_PERCENT or not self._outstanding):
                self.stopped = False
        except RingCorrupt as error:
            self.error = error

    def _return_sections(self, end: ChannelEnd) -> None:
        """Say which records of the host's are done with, all at once; what finds no room waits."""
        outgoing = end.outgoing
        while self._give_back:
            try:
                outgoing.write(COMPLETION, _DONE, self._give_back[0])
            except RingFull:
                break
            del self._give_back[0]
        end.flush()

    def _take(self, each: Packet) -> None:
        """One record of the host's."""
        kind, number, payload = each.kind, each.transaction_id, each.payload
        card = self.card
        if kind == COMPLETION:
            self._completed(number, payload)
        elif isinstance(each.ranges, TransferPages):
            for length, offset in each.ranges.ranges:
                if offset + length <= card.receive_bytes:
                    self._message(self.cpu.read(card.receive_at + offset, length))
                else:
                    self.unknown += 1
            if len(self._give_back) >= card.sections:
                raise RingCorrupt(f"more than {card.sections} records in the receive buffer, which has no more sections")
            self._give_back.append(number)
        else:
            self._told(payload)

    def _completed(self, number: int, payload: bytes) -> None:
        if number == ASK_ID:
            self.card.answer = payload
        elif number in self._outstanding:
            del self._outstanding[number]
            self.unbounce(number)
            self.refused += len(payload) < n.RNDIS_PKT_COMPLETE.size or n.RNDIS_PKT_COMPLETE.parse(payload).status != n.SUCCESS
            if number < ASK_ID:
                self.card.free_sections.append(number)
        elif number < CONTROL_ID or number >= LARGE_ID:
            self.unknown += 1

    def _told(self, payload: bytes) -> None:
        """A message of the host's own accord: by which channel to send what, or that there is a virtual function, or none any more."""
        kind = n.HEAD.parse(payload).type if len(payload) >= n.HEAD.size else 0
        if kind == n.Nvsp.SEND_VF_ASSOCIATION and not self.card.client.trust.confidential and len(payload) >= n.VF_ASSOCIATION.size:
            told = n.VF_ASSOCIATION.parse(payload)
            self.card.serial = told.serial if told.allocated else None
            return
        if kind == n.Nvsp.SWITCH_DATA_PATH:
            return                           # the function goes: its bus says so, too
        if kind == n.Nvsp.SEND_INDIRECTION_TABLE and len(payload) >= n.INDIRECTION_TABLE.size:
            asked = n.INDIRECTION_TABLE.parse(payload)
            entries = payload[asked.offset:asked.offset + 4 * n.SEND_TABLE]
            if asked.entries == n.SEND_TABLE and len(entries) == 4 * n.SEND_TABLE:
                self.card.table = tuple(int.from_bytes(entries[at:at + 4], "little") for at in range(0, len(entries), 4))
                return
        self.unknown += 1

    def _message(self, message: bytes) -> None:
        """An RNDIS message: a frame, news of the link, or an answer."""
        if len(message) < r.HEAD.size:
            self.unknown += 1
            return
        kind = r.HEAD.parse(message).type
        if kind == r.Rndis.PACKET and len(message) >= r.PACKET.size:
            frame = netvsc_receive.frame(message)
            if frame is None:
                self.unknown += 1
            else:
                self._received.append(frame)
        elif kind == r.Rndis.INDICATE_STATUS and len(message) >= r.INDICATE_STATUS.size:
            self.card.up = r.INDICATE_STATUS.parse(message).status != r.LINK_DOWN
        elif kind & r.COMPLETE and len(message) >= r.SET_COMPLETE.size and r.SET_COMPLETE.parse(message).id == self.card.awaited:
            self.card.replies[self.card.awaited] = message
        else:
            self.unknown += 1

    @property
    def waiting(self) -> bool:
        """Whether there is something to reap."""
        return bool(self._received)

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until frames have come, what was sent has left, or the time is `until` (ns)."""
        self.flush()
        before = self.polls
        yield from self.cpu.pay()
        if not self._received and self.polls == before and until > self.cpu.now:
            yield from self.cpu.hlt(watchdog_ns=min(until - self.cpu.now, TIMEOUT_NS))
        if self.error is not None:
            raise self.failure()

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call."""
        received, self._received = self._received, []
        return received

    # What goes wrong.

    def guarded(self, call: Callable[[], None]) -> None:
        """Do it; `DriverError` if the ring can't."""
        if self.error is not None:
            raise self.failure()
        try:
            call()
        except (RingCorrupt, RingFull) as error:
            self.error = error
            raise self.failure() from None

    def _rescinded(self) -> None:
        """The host has taken the card away: what it had sent and answered is taken, what it had not is lost."""
        if self.channel.end is not None:
            self._look(self.cpu)
        self.lost += self.pending
        self._outstanding, self._open = {}, []
        self.error = Rescinded("NetVSC: the host has taken the card away")

    def failure(self) -> DriverError:
        """Return what ended this queue."""
        return self.error if isinstance(self.error, DriverError) else DriverError(f"NetVSC: {self.error}")


def packet(frame: bytes, about: bytes, alignment: int) -> bytes:
    """Return the RNDIS message of a frame, with what goes beside it; its length is a multiple of `alignment`."""
    data_offset = r.FIRST_PPI + len(about)
    length = -(-(r.BODY + data_offset + len(frame)) // alignment) * alignment
    head = r.PACKET.pack(length=length, data_offset=data_offset, data_length=len(frame), ppi_offset=r.FIRST_PPI if about else 0,
                         ppi_length=len(about))
    return (head + about + frame).ljust(length, b"\0")
