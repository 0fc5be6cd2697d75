"""Attacks with frames, on the switch: a source that is somebody else's, another VLAN, a full table, a mirror that nobody granted."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.net import EVERYTHING, Nested, NetWorld, Tenants
from vmio.attacks.net_client import ACCOMPLICE, ATTACKER, FORGED, NEIGHBOUR, SERVER, frame
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.host.net.port import DESTINATION, SOURCE
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net import headers
from vmio.vmbus.net import rndis as r
from vmio.vmbus.net.control import Control
from vmio.vmbus.net.rndis import Oid

SWITCH = "learn.microsoft.com, \"Hyper-V Virtual Switch\" (MAC address spoofing)"
ATTACKS, attack = collection("frames", "split", NetWorld, "rings")


def any_source(world: NetWorld) -> AbstractContextManager:
    """The port believes what a frame says of its source."""
    return without(world.port, "spoofing", True)


@attack("frame-from-the-neighbour", "Write to the server in the neighbour's name", "a port sends from its own address", SWITCH,
        "the port drops frames whose source is not its own", any_source, REJECT, FAIL, wall="source check")
def in_its_name(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu)
    card.send(frame(SERVER, NEIGHBOUR, FORGED))
    yield from world.rest(cpu)


@attack("frame-poisons-the-table", "Teach the switch that the server is here", "a port sends from its own address", SWITCH,
        "the port drops frames whose source is not its own", any_source, REJECT, WEDGED, wall="source check")
def poison(world: NetWorld, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu, EVERYTHING)
    for _ in range(20):
        card.send(frame(ACCOMPLICE, SERVER, bytes(46)))
        yield from world.rest(cpu, 50_000)


def believed(world: Tenants) -> AbstractContextManager:
    """An access port goes by the tag that the station has written."""
    def enter(data: bytes) -> tuple[int, int, bytes]:
        inner, vlan, priority = headers.untag(data)
        return world.vlans[0] if vlan is None else vlan, priority, inner
    return without(world.port.vlan, "enter", enter)


@attack("frame-hops-the-vlan", "Tag a frame with the neighbour's VLAN", "a station at an access port is in one VLAN", "IEEE 802.1Q-2022, 6.9",
        "an access port lets no tags in", believed, REJECT, FAIL, world=Tenants, wall="VLAN of the port")
def hop(world: Tenants, cpu: VCpu) -> Steps:
    card = yield from world.plug(cpu)
    card.send(headers.tag(frame(NEIGHBOUR, ATTACKER, FORGED), 7))
    yield from world.rest(cpu)


@attack("frame-floods-the-table", "Fill the switch's table, and hear what it then floods", "a port's addresses are its own share of the table",
        "IEEE 802.1Q-2022, 8.7 (learning), 8.8.6 (size of the table)", "a share of the table for each port",
        lambda world: without(world.switch.table, "of_port", world.switch.table.size), REJECT, FAIL, world=Nested, wall="share of the table", long=True)
def flood(world: Nested, cpu: VCpu) -> Steps:
    card = yield from world.card(cpu)
    yield from card.init()
    yield from card.listen(EVERYTHING)
    for n in range(140):
        while not card.send(frame(ACCOMPLICE, b"\x06" + n.to_bytes(5, "big"), bytes(46)), more=n % 8 < 7):
            yield from card.wait()
    yield from world.rest(cpu)
    yield from world.begin(cpu)
    card.send(frame(ACCOMPLICE, b"\x06more!", bytes(46)))
    yield from world.rest(cpu)


@contextmanager
def mirror_for_everyone(world: NetWorld) -> Iterator[None]:
    """Whoever asks for all frames gets a mirror of all ports."""
    def change(self: Control, oid: int, given: bytes) -> int:
        if self is world.vsp.control and oid == Oid.PACKET_FILTER and given[0] & r.PROMISCUOUS:
            for port in world.switch.ports.values():
                port.mirror = DESTINATION if port is world.port else SOURCE
        return real(self, oid, given)
    with without(Control, "_change", change) as real:
        yield


@attack("frame-mirror-without-right", "Ask for all frames, as only a mirror's port may", "a mirror is the administrator's to grant",
        "learn.microsoft.com, \"Set-VMNetworkAdapter\" (PortMirroring)", "a guest's filter chooses among its own frames",
        mirror_for_everyone, PASS, FAIL, wall="no mirror by wish")
def mirror(world: NetWorld, cpu: VCpu) -> Steps:
    yield from world.plug(cpu, EVERYTHING)
    yield from world.rest(cpu, 3_000_000)
