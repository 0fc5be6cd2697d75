"""A guest's driver for a storage channel that says whatever it likes: right by default, wrong where an attack wants."""

from collections.abc import Sequence

from vmio.attacks.world import BUFFER, World
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.layout import FieldValue
from vmio.vmbus.bus.packets import COMPLETION, GpaRange, RingCorrupt
from vmio.vmbus.bus.ring import WRITE
from vmio.vmbus.storage import vstor as v

PATIENCE_NS = 5_000_000


class Talker:
    """`pages` a ring; `length` of each payload; `deaf`: it doesn't look at what comes back."""

    def __init__(self, world: World, cpu: VCpu, pages: int = 4, length: int = v.PACKET_SIZE, ready: bool = True) -> None:
        self.world, self.cpu, self.pages, self.length, self.ready = world, cpu, pages, length, ready
        self.deaf = False
        self.answers: dict[int, bytes] = {}     # by the number of the request

    def open(self) -> Steps[None]:
        """The bus, the channel, the storage protocol."""
        self.client = VmBusClient(self.cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from self.client.connect()
        self.channel, = yield from self.client.request_offers()
        if not self.ready:
            return
        self.end = yield from self.client.open(self.channel, pages=self.pages, on_signal=self._look)
        self.out, self.back = self.end.outgoing.memory, self.end.incoming.memory
        for operation in (v.BEGIN_INITIALIZATION, v.QUERY_PROPERTIES, v.END_INITIALIZATION):
            yield from self.ask(v.PACKET.pack(operation=operation, flags=1))
            if operation == v.BEGIN_INITIALIZATION:
                yield from self.ask(v.VERSION.pack(operation=v.QUERY_PROTOCOL_VERSION, flags=1, version=v.WIN10))

    def post(self, *messages: bytes) -> Steps[None]:
        """Control messages, and a while for the answers."""
        for message in messages:
            yield from self.client._post(message)
        yield from self.wait(200_000)

    def send(self, payload: bytes, ranges: Sequence[GpaRange] = (), number: int = 1) -> None:
        """One request into the ring."""
        self.end.send(payload.ljust(self.length, b"\0"), number, want_completion=True, ranges=ranges)

    def ask(self, payload: bytes, ranges: Sequence[GpaRange] = (), number: int = 1) -> Steps:
        """One request; its answer, or None if none comes."""
        yield from self.cpu.pay()
        self.answers.pop(number, None)
        self.send(payload, ranges, number)
        return (yield from self.answer(number))

    def answer(self, number: int) -> Steps:
        """Wait for an answer."""
        until = self.cpu.now + PATIENCE_NS
        while number not in self.answers and self.cpu.now < until:
            yield from self.cpu.hlt(until - self.cpu.now)
        return self.answers.get(number)

    def srb(self, cdb: bytes, length: int = 0, direction: int | None = None, pages: Sequence[int] | None = None,
            count: int | None = None, **fields: FieldValue) -> Steps:
        """A SCSI request with data at `pages` (default: our own buffer), said to be `count` bytes; its answer."""
        return (yield from self.ask(*request(cdb, length, direction, pages, count, **fields)))

    def raw(self, record: bytes) -> int:
        """Put bytes into the ring where the next record belongs, and return where they begin.  Nobody is told."""
        at = self.out.load32(WRITE)
        self.out.write(4096 + at, record)
        return at

    def publish(self, index: int) -> Steps[None]:
        """A write index of our choice, and a signal."""
        self.out.store32(WRITE, index)
        yield from self.cpu.pay()
        self.channel.signal()
        yield from self.wait(PATIENCE_NS)

    def wait(self, ns: int) -> Steps[None]:
        """Take interrupts for so long."""
        until = self.cpu.now + ns
        while self.cpu.now < until:
            yield from self.cpu.hlt(until - self.cpu.now)

    def _look(self, cpu: VCpu) -> None:
        end = self.channel.end
        if self.deaf or end is None:
            return
        try:
            for packet in end.packets():
                if packet.kind == COMPLETION:
                    self.answers[packet.transaction_id] = packet.payload
        except RingCorrupt:
            self.deaf = True


def request(cdb: bytes, length: int = 0, direction: int | None = None, pages: Sequence[int] | None = None,
            count: int | None = None, **fields: FieldValue) -> tuple[bytes, Sequence[GpaRange]]:
    """(payload, ranges) of a SCSI request."""
    if pages is None:
        pages = tuple(range(BUFFER >> 12, BUFFER + max(length, 1) + 0xFFF >> 12))
    direction = (v.TO_GUEST if length else v.NO_DATA) if direction is None else direction
    payload = v.SRB.pack(operation=v.EXECUTE_SRB, flags=1, cdb=cdb, cdb_length=len(cdb), direction=direction,
                         transfer_length=length, **fields)
    return payload, (GpaRange(count or length, 0, tuple(pages)),) if length else ()


def read10(lba: int, sectors: int) -> bytes:
    """READ(10)."""
    return b"\x28\0" + lba.to_bytes(4, "big") + b"\0" + sectors.to_bytes(2, "big") + b"\0"


def write10(lba: int, sectors: int) -> bytes:
    """WRITE(10)."""
    return b"\x2A\0" + read10(lba, sectors)[2:]
