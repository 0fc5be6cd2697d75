"""Attacks on the split network card: sections and lengths that lie, pages of others, a completion that is none."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.gpadl import unchecked
from vmio.attacks.net import NetWorld
from vmio.attacks.net_client import ACCOMPLICE, ATTACKER, frame
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.world import BUFFER
from vmio.drivers.netvsc import NetVsc
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.vmbus.bus.packets import COMPLETION, GpaRange
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.net import netvsp
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r
from vmio.vmbus.net.buffers import SEND_SECTION, SharedBuffer
from vmio.vmbus.net.netvsp import NetVsp

OPENVMM, LINUX = "OpenVMM vm/devices/net/netvsp/src/lib.rs", "Linux drivers/net/hyperv/netvsc.c"
SCRATCH = 1 << 17
HEAD = frame(ACCOMPLICE, ATTACKER, b"")
ATTACKS, attack = collection("netcard", "split", NetWorld, "messages")


def packet(data_offset: int, data_length: int, data: bytes = b"", length: int | None = None) -> bytes:
    """Return an RNDIS PACKET that says of its frame whatever it likes."""
    whole = r.PACKET.size + len(data) if length is None else length
    return r.PACKET.pack(length=whole, data_offset=data_offset, data_length=data_length) + data


def send(card: NetVsc, section: int, length: int, ranges: Sequence[GpaRange] = ()) -> None:
    """Send a record of one section, or of pages."""
    card.end.send(n.RNDIS_PKT.pack(channel_type=n.DATA, section=section, section_bytes=length).ljust(40, b"\0"), 7, want_completion=True,
                  ranges=ranges)


@contextmanager
def sections_by_arithmetic(world: NetWorld) -> Iterator[None]:
    """A section's number and length are multiplied and added, and that is all."""
    def read(self: SharedBuffer, section: int, length: int) -> bytes:
        if self is not world.vsp.send_buffer:
            return bytes(real(self, section, length))
        first = (self.gpadl.whole_pages or (0,))[0]
        return world.host.memory.read(world.attacker.ram_spa(first * PAGE) + section * self.section_bytes, length)
    with without(SharedBuffer, "read", read) as real:
        yield


@attack("netcard-section-outside", "A section that is longer than the send buffer", "a section lies within its buffer", OPENVMM,
        "number and length are compared with the buffer's", sections_by_arithmetic, REJECT, FAIL, wall="section check", door="rings")
def outside(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.card(cpu)
    card.send_at = world.attacker.ram - card.send_bytes        # its end is the end of the RAM
    yield from card.init()
    yield from world.begin(cpu)
    last = card.send_bytes // SEND_SECTION - 1
    rest = card.send_bytes - last * SEND_SECTION
    cpu.write(card.send_at + last * SEND_SECTION, packet(rest - len(HEAD) - r.BODY, len(HEAD) + 512, length=rest + 512))
    cpu.write(world.attacker.ram - len(HEAD), HEAD)            # a frame that goes on behind it
    send(card, last, rest + 512)
    yield from world.rest(cpu)


def one_buffer_for_all(world: NetWorld) -> AbstractContextManager:
    """All guests' messages go through one buffer of the host's, and lengths are believed."""
    scratch = bytearray(SCRATCH)

    def to_frames(message: bytes) -> list[bytes]:
        scratch[:len(message)] = message
        said = r.PACKET.parse(message)
        start = r.BODY + said.data_offset
        return [bytes(scratch[start:start + said.data_length])]
    return without(netvsp, "to_frames", to_frames)


@attack("netcard-length-beyond", "An RNDIS message whose frame is longer than itself", "a frame lies within its message",
        "Microsoft, \"Remote NDIS (RNDIS) specification\"", "offset and length are compared with the message's", one_buffer_for_all,
        REJECT, FAIL, wall="RNDIS length check")
def beyond(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu)
    for _ in range(20):
        cpu.write(card.send_at, packet(r.FIRST_PPI, len(HEAD) + 1024, HEAD))
        send(card, 0, r.PACKET.size + len(HEAD))
        yield from world.rest(cpu, 20_000)


def in_32_bits(world: NetWorld) -> AbstractContextManager:
    """Offset and length are added as the message has them, in 32 bits."""
    def to_frames(message: bytes) -> list[bytes] | None:
        said = r.PACKET.parse(message)
        start = r.BODY + said.data_offset
        if start + said.data_length & 0xFFFF_FFFF > len(message):
            return None
        return [world.host.memory.read(world.secret, said.data_length)]      # wherever the copy begins, it runs off the host's memory
    return without(netvsp, "to_frames", to_frames)


@attack("netcard-length-overflows", "An RNDIS length that makes a sum of 32 bits small again", "a frame lies within its message",
        "Microsoft, \"Remote NDIS (RNDIS) specification\"", "the sum has room for what is added", in_32_bits, REJECT, WEDGED,
        wall="RNDIS length check")
def overflows(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu)
    cpu.write(card.send_at, packet(r.FIRST_PPI, (1 << 32) - 32, HEAD))
    send(card, 0, r.PACKET.size + len(HEAD))
    yield from world.rest(cpu)


def pages_by_arithmetic(world: NetWorld) -> AbstractContextManager:
    """A page's number is multiplied, and added to where the guest's RAM begins."""
    def lent(guest: Guest, ranges: Sequence[GpaRange], most: int) -> bytes:
        return b"".join(guest.host.memory.read(guest.ram_spa(0) + pages[0] * PAGE + offset, count) for count, offset, pages in ranges)
    return without(netvsp, "lent", lent)


@attack("netcard-foreign-page", "Send a frame from a page that is not the guest's", "a record names the guest's own RAM", OPENVMM,
        "each page is looked up in the guest's RAM", pages_by_arithmetic, REJECT, FAIL, wall="page check")
def foreign(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu)
    head = packet(r.FIRST_PPI, len(HEAD) + 512, HEAD, r.PACKET.size + len(HEAD) + 512)
    cpu.write(BUFFER, head)
    send(card, n.NO_SECTION, 0, (GpaRange(len(head), 0, (BUFFER // PAGE,)), GpaRange(512, 0, (world.attacker.ram // PAGE,))))
    yield from world.rest(cpu)


@attack("netcard-foreign-buffer", "Lend a receive buffer of pages that are not the guest's", "a GPADL names the guest's own RAM", OPENVMM,
        "each page is looked up in the guest's RAM", unchecked, REJECT, WEDGED, wall="GPADL's page check")
def buffer(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.card(cpu)
    card.receive_at = world.attacker.ram                       # behind its end
    yield from world.begin(cpu)
    yield from card.init()


def never_done(world: NetWorld) -> AbstractContextManager:
    """A record that was completed may be completed again."""
    def given_back(self: NetVsp, channel: int, number: int, payload: bytes) -> None:
        _, sections = self.outstanding.get(number, (channel, []))
        for section in sections if self.receive_buffer is not None else ():
            self.receive_buffer.give_back(section)     # type: ignore[union-attr]  # it is there
        self._send_waiting()
    return without(NetVsp, "_given_back", given_back)


@attack("netcard-stale-completion", "Complete the host's first record again and again", "a record is completed once", LINUX,
        "a completion names a record that is outstanding", never_done, REJECT, WEDGED, wall="outstanding check", door="rings")
def stale(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu)
    for _ in range(10):
        with suppress(RingFull):
            for _ in range(40):
                card.end.outgoing.write(COMPLETION, n.RNDIS_PKT_COMPLETE.pack(status=n.SUCCESS), 1)
        card.end.flush()
        yield from world.rest(cpu, 100_000)
