"""What a booted guest's network card is plugged into: a switch, with a station at another port that answers ARP and ping."""

from vmio.host.net.echo import Echo
from vmio.host.net.port import SwitchPort
from vmio.host.net.switch import VirtualSwitch
from vmio.hypervisor.simulation import Simulation
from vmio.machine.net.frames import parse_address

GUEST = parse_address("00:15:5d:00:01:02")      # of the range that Hyper-V takes its guests' addresses from
PEER = parse_address("00:15:5d:00:01:01")
PEER_IP = bytes((10, 0, 0, 1))


def port(env: Simulation) -> SwitchPort:
    """Return the guest's port of a new switch; at its port "peer" is an `Echo`, 10.0.0.1."""
    switch = VirtualSwitch(env)
    made = switch.port("guest", GUEST)
    Echo(switch.port("peer", PEER), PEER, PEER_IP)
    return made
