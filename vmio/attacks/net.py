"""The world of a network: two guests with split network cards at one virtual switch, a server and an accomplice outside.

The neighbour's work is to read from the server and to write to it, by frames.
"""

from typing import Any

from vmio.attacks.net_client import ATTACKER, NEIGHBOUR, NEIGHBOURS_FRAMES, FrameDisk, Outside
from vmio.attacks.world import World
from vmio.drivers.netvsc import NetVsc
from vmio.drivers.pages import GuestPages
from vmio.host.net.port import SPOOFED, VLAN
from vmio.host.net.switch import VirtualSwitch
from vmio.host.net.table import MacTable
from vmio.host.net.vlan import Access, Trunk
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes.net_split import SplitNet
from vmio.vmbus.net import rndis as r

ADDRESSES = 128, 32                 # of the switch's table: room for all, and for those of one port
EVERYTHING = r.DIRECTED | r.ALL_MULTICAST | r.BROADCAST | r.PROMISCUOUS


class NetWorld(World):
    """`port` and `vsp` are the attacker's; `vlans` are the attacker's and the neighbour's, 0 for none."""

    answers = NEIGHBOURS_FRAMES
    vlans = 0, 0
    spoofing = False                # may the attacker's guest use addresses of others, because it has guests of its own?

    def __init__(self) -> None:
        super().__init__()
        self.secrets.append(("neighbour's frames", NEIGHBOURS_FRAMES))
        self.switch = VirtualSwitch(self.host.env, MacTable(*ADDRESSES))
        mine, theirs = self.vlans
        self.port = self.switch.port("attacker", ATTACKER, vlan=Access(mine), spoofing=self.spoofing)
        ports = self.port, self.switch.port("neighbour", NEIGHBOUR, vlan=Access(theirs))
        Outside(self.host.env, self.switch.port("uplink", vlan=Trunk({mine, theirs} - {0})), self.loot, self.harmed)
        self._cards: dict[Partition, SplitNet] = {}
        for each, port, address in zip(self.machine.guests, ports, (ATTACKER, NEIGHBOUR)):
            card = self._cards[each.guest] = SplitNet(address, ring_kib=16)
            card.plug(each.platform, port)
        self.server, self.vsp = self.machine.guests[0].platform.bus, self._cards[self.attacker].vsp

    def harmed(self) -> None:
        """Somebody honest got a frame that is the attacker's, and can't know it."""
        self.effects.append("neighbour's frames")

    def card(self, cpu: VCpu) -> Steps[NetVsc]:
        """Generator: the guest's card, not yet initialized."""
        attachment, pages = self._cards[cpu.guest], GuestPages(0x10_0000, 0x20_0000)
        client, channel = yield from attachment.platform.channel(cpu, pages, attachment.vsp)
        return NetVsc(client, channel, 16, receive_kib=256, send_kib=64)

    def bring_up(self, cpu: VCpu) -> Steps[FrameDisk]:
        """The neighbour's card, and the server as its disk."""
        card = yield from self.card(cpu)
        yield from card.init()
        return FrameDisk(cpu, card, self.harmed)

    def plug(self, cpu: VCpu, wanted: int = r.DIRECTED | r.BROADCAST) -> Steps[NetVsc]:
        """The attacker's card, ready, with a filter; and the attack begun."""
        card = yield from self.card(cpu)
        yield from card.init()
        yield from card.listen(wanted)
        yield from self.begin(cpu)
        return card

    def rest(self, cpu: VCpu, ns: int = 1_000_000) -> Steps[None]:
        """Take interrupts for so long."""
        until = cpu.now + ns
        yield from cpu.pay()
        while cpu.now < until:
            yield from cpu.hlt(until - cpu.now)

    def counters(self) -> dict[str, int]:
        """Return the refusals of the bus, of the card's host and of the switch so far."""
        return {"messages refused": sum(self.server.refused.values()), "channel closed": self.vsp.corrupt,
                "RNDIS refused": self.vsp.dropped["invalid RNDIS"], "frames refused": self.port.dropped[SPOOFED] + self.port.dropped[VLAN],
                "addresses refused": self.switch.table.refused}

    def held(self) -> dict[str, tuple[int, int]]:
        """Return how long the list of free sections is, and how many sections the buffer has."""
        buffer: Any = self.vsp.receive_buffer
        return {} if buffer is None else {"free sections": (len(buffer.free) + len(buffer.free_control), buffer.sections)}


class Tenants(NetWorld):
    """Each guest is in a VLAN of its own."""

    vlans = 5, 7


class Nested(NetWorld):
    """The attacker has guests of its own, so its port may send from any address."""

    spoofing = True
