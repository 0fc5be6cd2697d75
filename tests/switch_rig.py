"""A switch with stations at its ports, and frames for it."""

from vmio.host.net.switch import VirtualSwitch
from vmio.hypervisor.simulation import Simulation
from vmio.machine.net import headers
from vmio.machine.net.headers import ICMP, IPV4, IPV6, UDP

BROADCAST = b"\xff" * 6


def address(name):
    """The MAC address of a station."""
    return b"\x02" + name.encode().ljust(5, b"\0")[:5]


class Card:
    """A station that keeps what it gets, while it has a place, and answers at once what `answers` says."""

    def __init__(self, port, places=1 << 30):
        self.port, self.places, self.got, self.links = port, places, [], []
        self.answers = lambda frame: []
        port.connect(self)

    def receive(self, frame):
        if len(self.got) >= self.places:
            return False
        self.got.append(frame)
        for each in self.answers(frame):
            self.send(each)
        return True

    def link_changed(self, up):
        self.links.append(up)

    def send(self, frame):
        return self.port.send(frame)


class Network:
    """A port and a station for each name; those with options: `a={"vlan": Access(5)}`."""

    def __init__(self, *names, env=None, **ports):
        self.env = env or Simulation()
        self.switch = VirtualSwitch(self.env)
        self.stations = {}
        for name, options in [*((name, {}) for name in names), *ports.items()]:
            self.stations[name] = Card(self.switch.port(name, **{"address": address(name), **options}))

    def says(self, name, to, source=None, tag=None, rest=bytes(46)):
        """Send a frame from a station to another, or to an address; {who has got something: how many}."""
        before = {each: len(station.got) for each, station in self.stations.items()}
        to = address(to) if isinstance(to, str) else to
        frame = to + (source or address(name)) + b"\x08\x00" + rest
        self.stations[name].send(headers.tag(frame, tag) if tag is not None else frame)
        return {each: len(station.got) - before[each] for each, station in self.stations.items() if len(station.got) > before[each]}


def ipv4(to, source, port=0, source_port=1000, payload=b"", protocol=headers.IS_UDP, ips=(b"\x0a\0\0\1", b"\x0a\0\0\x09")):
    """A UDP datagram, or another protocol's, from the first of `ips` to the second; checksums are zero."""
    body = UDP.pack(source=source_port, destination=port, length=8 + len(payload)) + payload if protocol == headers.IS_UDP else payload
    head = IPV4.pack(length=20 + len(body), protocol=protocol, source=ips[0], destination=ips[1])
    return (to + source + b"\x08\x00" + head + body).ljust(60, b"\0")


def dhcp_answer(source):
    """What only a DHCP server sends."""
    return ipv4(BROADCAST, source, port=68, source_port=67)


def router_advertisement(source):
    """What only an IPv6 router sends."""
    head = IPV6.pack(length=8, protocol=headers.IS_ICMPV6, source=b"\xfe\x80" + bytes(14), destination=b"\xff\x02" + bytes(13) + b"\1")
    return b"\x33\x33\0\0\0\1" + source + b"\x86\xdd" + head + ICMP.pack(type=134)
