"""NetVSC, the guest's half of a split network card: frames go into sections of a buffer that the host knows, a record says where.

    card = NetVsc(client, channel)
    yield from card.init()
    card.send(frame, more=True); card.send(frame)      two in one record, at most one signal
    yield from card.wait()
    for frame in card.reap(): ...

    queue = card.on(cpu)                               for another vCPU: a channel of its own, with the same surface

How frames go and come is in `netvsc_queue.py`; the order of the start-up, which is Linux's, in `netvsc_start.py`.
"""

from vmio.drivers import channels, netvsc_channels, netvsc_start
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.netvsc_queue import ASK_ID, CONTROL_ID, TIMEOUT_NS, NetQueue
from vmio.drivers.pages import PAGE
from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Record
from vmio.machine.layout import Layout
from vmio.vmbus.bus.packets import GpaRange
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r

RETRY_NS = 3_000_000        # until a full bounce pool is asked again
UP = r.DIRECTED | r.ALL_MULTICAST | r.BROADCAST


class NetVsc(NetQueue):
    """The card behind an offered NIC `channel` of `client`; rings of `ring_kib` each, buffers of `receive_kib` and `send_kib`.

    `address`, `mtu`, `up`, `speed` (bit/s) are the card's, from `init` on.  `batch`: frames in a record at most (None: as the card
    allows).  `accelerated`: it says that it takes a virtual function besides.  `further` are the queues of its sub-channels, one for each vCPU that is online on the bus but its own.
    """

    def __init__(self, client: VmBusClient, channel: GuestChannel, ring_kib: int = 128, receive_kib: int = 2048, send_kib: int = 1024,
                 versions: tuple[int, ...] = n.VERSIONS, batch: int | None = None, accelerated: bool = False) -> None:
        for name, value, low in (("ring_kib", ring_kib, 8), ("receive_kib", receive_kib, 64), ("send_kib", send_kib, 16)):
            if value % 4 or not low <= value <= 16_384:
                raise ValueError(f"{name} {value}: {low} to 16,384, a multiple of 4")
        super().__init__(self, channel, client.cpu)
        self.accelerated = accelerated
        self.serial: int | None = None       # of the virtual function that the host has given besides
        self.client, self.ring_kib, self.versions, self.batch = client, ring_kib, versions, batch
        self.receive_bytes, self.send_bytes = receive_kib << 10, send_kib << 10
        pages = client.pages
        self.receive_at, self.send_at, self._control = pages.take(receive_kib // 4), pages.take(send_kib // 4), pages.take()
        self.tried: dict[int, bool] = {}     # versions that we asked for -> did the host agree?
        self.version = self.mtu = self.speed = self.section_bytes = self.sections = 0
        self.address, self.up, self.checksums, self.large_send = b"", False, False, False
        self.max_messages, self.alignment, self.max_channels = 1, 8, 1
        self.receive_gpadl = self.send_gpadl = 0
        self.free_sections: list[int] = []
        self.further: list[NetQueue] = []
        self.table: tuple[int, ...] = ()     # the host's word on which channel sends what
        self.answer: bytes | None = None     # to what `ask` waits for
        self.replies: dict[int, bytes] = {}  # RNDIS answers by the request's id;
        self.awaited = 0                     # of which this one is waited for
        self._next_request = 1

    def init(self) -> Steps[None]:
        """Open the channel, negotiate, lend buffers, ask, open sub-channels, and switch reception on.  `DriverError` if any of it fails."""
        yield from self.open()
        yield from self.cpu.pay()
        yield from netvsc_start.negotiate(self, self.versions)
        yield from netvsc_start.lend(self)
        yield from netvsc_start.introduce(self)
        self.further = yield from netvsc_channels.open_all(self)
        yield from self.listen(UP)

    def listen(self, wanted: int) -> Steps[None]:
        """Say which frames are wanted: bits of `rndis`, 0 for none."""
        yield from netvsc_start.put(self, r.Oid.PACKET_FILTER, wanted.to_bytes(4, "little"))

    def on(self, cpu: VCpu) -> NetQueue:
        """Return the queue of a vCPU; `DriverError` if it has none, because the host has offered fewer channels."""
        for queue in (self, *self.further):
            if queue.cpu is cpu:
                return queue
        raise DriverError(f"NetVSC: vCPU {cpu.index} has no channel; {1 + len(self.further)} are open")

    def close(self) -> Steps[None]:
        """No more frames; the host gives the buffers back, the channels are closed, and the memory is ours again."""
        yield from self.listen(0)
        yield from self.until(lambda: not any(queue.pending for queue in (self, *self.further)), "completions")
        self.tell(n.REVOKE_RECV_BUF.pack(id=n.RECEIVE_BUFFER))
        self.tell(n.REVOKE_SEND_BUF.pack(id=n.SEND_BUFFER))
        yield from self.cpu.pay()
        yield from channels.close_all(self.client, self.channel)
        self.further, self.error = [], DriverError("NetVSC: closed")
        for handle in (self.receive_gpadl, self.send_gpadl):
            yield from self.client.teardown_gpadl(self.channel, handle)

    def let_go(self) -> Steps[None]:
        """The host has taken the card away: have rings and buffers back, and release the channels' numbers; a generator."""
        yield from channels.let_go(self.client, self.channel, *filter(None, (self.receive_gpadl, self.send_gpadl)))
        pages = self.client.pages
        for at, size in ((self.receive_at, self.receive_bytes), (self.send_at, self.send_bytes), (self._control, PAGE)):
            pages.give_back(at, size // PAGE)
        self.further, self.receive_gpadl, self.send_gpadl = [], 0, 0

    # Messages that are no frames.

    def tell(self, message: bytes) -> None:
        """Send an NVSP message that has no answer."""
        self.guarded(lambda: self.end.send(message.ljust(40, b"\0")))

    def ask(self, message: bytes, layout: Layout) -> Steps[Record]:
        """Send an NVSP message and return its answer as a record of `layout`."""
        self.answer = None
        yield from self.cpu.pay()
        self.guarded(lambda: self.end.send(message.ljust(40, b"\0"), ASK_ID, want_completion=True))
        yield from self.until(lambda: self.answer is not None, layout.name)
        return layout.parse((self.answer or b"").ljust(40, b"\0"))

    def request(self, layout: Layout, answer: Layout, data: bytes = b"", **fields: int) -> Steps[tuple[Record, bytes]]:
        """Send an RNDIS request, in a page of ours, and return its answer: (record, whole message)."""
        number, self._next_request = self._next_request, self._next_request + 1
        self.awaited = number
        message = layout.pack(length=layout.size + len(data), id=number, **fields) + data
        yield from self.cpu.pay()
        self.cpu.write(self._control, message)
        deadline = self.cpu.now + TIMEOUT_NS
        while (at := self.bounced(CONTROL_ID + number, self._control, len(message))) is None:
            if self.cpu.now >= deadline:
                raise DriverTimeout(f"NetVSC {layout.name}: the bounce pool stays full")
            yield from self.cpu.hlt(RETRY_NS)
        payload = n.RNDIS_PKT.pack(channel_type=n.CONTROL).ljust(40, b"\0")
        self.guarded(lambda: self.end.send(payload, CONTROL_ID + number, want_completion=True,
                                           ranges=(GpaRange(len(message), 0, (at // PAGE,)),)))
        yield from self.until(lambda: number in self.replies, layout.name)
        reply = self.replies.pop(number)
        self.unbounce(CONTROL_ID + number)
        record = answer.parse(reply.ljust(answer.size, b"\0"))
        if record.type != answer.by_name["type"].default:
            raise DriverError(f"NetVSC: {layout.name} is answered by a message of type {record.type:#x}")
        return record, reply
