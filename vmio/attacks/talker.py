"""A guest's driver for a storage channel that says whatever it likes: right by default, wrong where an attack wants."""

from vmio.attacks.world import BUFFER
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.vmbus.bus.packets import COMPLETION, RingCorrupt
from vmio.vmbus.bus.ring import WRITE
from vmio.vmbus.storage import vstor as v

PATIENCE_NS = 5_000_000


class Talker:
    """`pages` a ring; `length` of each payload; `deaf`: it doesn't look at what comes back."""

    def __init__(self, world, cpu, pages=4, length=v.PACKET_SIZE, ready=True):
        self.world, self.cpu, self.pages, self.length, self.ready = world, cpu, pages, length, ready
        self.deaf = False
        self.answers = {}

    def open(self):
        """The bus, the channel, the storage protocol."""
        self.client = VmBusClient(self.cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from self.client.connect()
        self.channel, = yield from self.client.request_offers()
        if not self.ready:
            return
        self.end = yield from self.client.open(self.channel, pages=self.pages, on_signal=self._look)
        self.out, self.back = self.end.outgoing.memory, self.end.incoming.memory
        for operation, layout, fields in ((v.BEGIN_INITIALIZATION, v.PACKET, {}), (v.QUERY_PROPERTIES, v.PACKET, {}),
                                          (v.END_INITIALIZATION, v.PACKET, {})):
            yield from self.ask(layout.pack(operation=operation, flags=1, **fields))
            if operation == v.BEGIN_INITIALIZATION:
                yield from self.ask(v.VERSION.pack(operation=v.QUERY_PROTOCOL_VERSION, flags=1, version=v.WIN10))

    def post(self, *messages):
        """Control messages, and a while for the answers."""
        for message in messages:
            yield from self.client._post(message)
        yield from self.wait(200_000)

    def send(self, payload, ranges=(), number=1):
        """One request into the ring."""
        self.end.send(payload.ljust(self.length, b"\0"), number, want_completion=True, ranges=ranges)

    def ask(self, payload, ranges=(), number=1):
        """One request; its answer, or None if none comes."""
        yield from self.cpu.pay()
        self.answers.pop(number, None)
        self.send(payload, ranges, number)
        return (yield from self.answer(number))

    def answer(self, number):
        """Wait for an answer."""
        until = self.cpu.now + PATIENCE_NS
        while number not in self.answers and self.cpu.now < until:
            yield from self.cpu.hlt(until - self.cpu.now)
        return self.answers.get(number)

    def srb(self, cdb, length=0, direction=None, pages=None, count=None, **fields):
        """A SCSI request with data at `pages` (default: our own buffer), said to be `count` bytes; its answer."""
        return (yield from self.ask(*request(cdb, length, direction, pages, count, **fields)))

    def raw(self, record):
        """Bytes into the ring where the next record belongs; where they begin.  Nobody is told."""
        at = self.out.load32(WRITE)
        self.out.write(4096 + at, record)
        return at

    def publish(self, index):
        """A write index of our choice, and a signal."""
        self.out.store32(WRITE, index)
        yield from self.cpu.pay()
        self.channel.signal()
        yield from self.wait(PATIENCE_NS)

    def wait(self, ns):
        """Take interrupts for so long."""
        until = self.cpu.now + ns
        while self.cpu.now < until:
            yield from self.cpu.hlt(until - self.cpu.now)

    def _look(self, cpu):
        if self.deaf:
            return
        try:
            for packet in self.channel.end.packets():
                if packet.kind == COMPLETION:
                    self.answers[packet.transaction_id] = packet.payload
        except RingCorrupt:
            self.deaf = True


def request(cdb, length=0, direction=None, pages=None, count=None, **fields):
    """(payload, ranges) of a SCSI request."""
    if pages is None:
        pages = tuple(range(BUFFER >> 12, BUFFER + max(length, 1) + 0xFFF >> 12))
    direction = (v.TO_GUEST if length else v.NO_DATA) if direction is None else direction
    payload = v.SRB.pack(operation=v.EXECUTE_SRB, flags=1, cdb=cdb, cdb_length=len(cdb), direction=direction,
                         transfer_length=length, **fields)
    return payload, ((count or length, 0, pages),) if length else ()


def read10(lba, sectors):
    """READ(10)."""
    return b"\x28\0" + lba.to_bytes(4, "big") + b"\0" + sectors.to_bytes(2, "big") + b"\0"


def write10(lba, sectors):
    """WRITE(10)."""
    return b"\x2A\0" + read10(lba, sectors)[2:]
