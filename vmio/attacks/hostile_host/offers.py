"""Attacks by what the bus says: devices that a confidential guest doesn't take, and devices that go twice."""

from collections.abc import Iterator
from contextlib import contextmanager

from vmio.attacks.defence import without
from vmio.attacks.hostile_host.catalogue import HostAttack
from vmio.attacks.hostile_host.world import HostWorld
from vmio.attacks.verdict import FAIL, REJECT
from vmio.drivers.confidential.hardened import Hardened
from vmio.machine.contracts import Record
from vmio.vmbus.bus import messages as m

MANAGEMENT = "Linux drivers/hv/channel_mgmt.c"


def refused_class(world: HostWorld) -> None:
    """Offer dynamic memory, virtual PCI, and something that nobody knows."""
    for relid, kind in enumerate((m.MEMORY_CLASS, m.PCI_CLASS, bytes(range(16))), 0x200):
        world.attached.vsp.server._send(m.OFFERCHANNEL.pack(interface_type=kind, instance=bytes([relid & 0xFF] * 16), relid=relid))  # type: ignore[union-attr]


def rescinded_twice(world: HostWorld) -> None:
    """Take the network card away, and then again, and a device that there never was."""
    channel, server = world.network.vsp.channel, world.network.vsp.server
    assert channel is not None and server is not None
    server.rescind(channel)
    for relid in (channel.relid, channel.relid, 0x7FF):
        server._send(m.RESCIND_CHANNELOFFER.pack(relid=relid))


@contextmanager
def any_class(world: HostWorld) -> Iterator[None]:
    """Whatever the host offers is taken, and its driver loaded."""
    def takes(self: Hardened, offer: Record) -> bool:
        if not real(self, offer):
            world.effects.append(f"a driver for {m.CLASS_NAMES.get(offer.interface_type, 'an unknown class')} was loaded")
        return True
    with without(Hardened, "takes", takes) as real:
        yield


ATTACKS = [
    HostAttack("offer-refused-class", "Devices whose drivers nobody has hardened", "a confidential guest takes five kinds of device",
               f"{MANAGEMENT} (vmbus_is_valid_offer)", "bus", refused_class, "drivers.confidential.hardened:Hardened.takes",
               "its class is looked up in a list", any_class, REJECT, FAIL),
    HostAttack("rescind-twice", "A device that is taken away twice", "a device goes once", f"{MANAGEMENT} (vmbus_onoffer_rescind)", "bus",
               rescinded_twice, "drivers.vmbus:VmBusClient._rescinded", "a channel remembers that it is gone", None, REJECT, None),
]
