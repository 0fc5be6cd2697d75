"""The network card that a back end serves: `Net` at a port of the virtual switch, at whose other port a station answers ARP and ping.

Its front end (QEMU, or the guest) says which address the guest has, and answers its commands itself: there are two rings, what comes and what goes.
"""

from vmio.host.net.echo import Echo
from vmio.host.net.switch import VirtualSwitch
from vmio.hypervisor.simulation import Simulation
from vmio.machine.net.frames import parse_address
from vmio.oracle.vhost_user.sharing.memory import GuestMemory
from vmio.virtio.net import Net
from vmio.virtio.net_wire import MRG_RXBUF

ADDRESS, PEER = parse_address("00:15:5d:00:02:02"), parse_address("00:15:5d:00:02:01")
PEER_IP = bytes((10, 0, 0, 1))
ENTRIES = 256                   # of a ring: what QEMU gives a network card


class Card(Net):
    """`peer` is the station at the other port, 10.0.0.1; its `heard` and `answered` count."""

    def __init__(self) -> None:
        super().__init__(GuestMemory(), ADDRESS, (ENTRIES, ENTRIES), MRG_RXBUF)
        switch = VirtualSwitch(Simulation())
        self.peer = Echo(switch.port("peer", PEER), PEER, PEER_IP)
        self.plug_in(switch.port("guest"))      # with any address: the front end gives its guest one
