"""The virtual switch: any frame from any port, links that go, stations that answer; each VLAN stays for itself, and nothing grows."""

from tests.fuzz.engine import bruised
from tests.switch_rig import BROADCAST, Network, address, dhcp_answer, ipv4, router_advertisement
from vmio.host.net.port import REASONS
from vmio.host.net.rules import Rule
from vmio.host.net.table import MacTable
from vmio.host.net.vlan import Access, Trunk
from vmio.machine.net import headers

KINDS = ("say",) * 12 + ("spoof",) * 4 + ("hop", "hop", "flood", "link", "guarded", "denied", "time", "time", "answer")
OWN = {"a": {5}, "b": {6}, "c": {5, 7}, "d": {5}, "up": {5, 6, 7}}
SIZE, OF_PORT = 24, 10


class Machine:
    """Two tenants, a trunk that may spoof, a port with rules, a limit and guards, the world; an onlooker of the first tenant."""

    def __init__(self, dice):
        self.net = Network(a={"vlan": Access(5), "mirror": "source"}, b={"vlan": Access(6)}, c={"vlan": Trunk([5, 7], native=5), "spoofing": True},
                           d={"vlan": Access(5), "rules": [Rule("deny", "out", "10.0.0.8/29"), Rule("meter", "in")], "limit": 1, "queue": 4,
                              "dhcp_guard": True, "router_guard": True},
                           up={"address": None, "vlan": Trunk([5, 6, 7])}, ids={"vlan": Access(8), "mirror": "destination"})
        self.net.switch.table = MacTable(SIZE, OF_PORT)
        self.tries = dict.fromkeys(self.net.stations, 0)
        self.marks = 0

    def send(self, name, to, source, tags=(), kind=b"\x08\x00", rest=bytes(46), mark=True):
        """A frame that says who has sent it, and in which VLANs it may be."""
        body = (b"from " + name.encode().ljust(3) + rest) if mark else rest
        frame = to + source + kind + body
        for tag in reversed(tags):
            frame = headers.tag(frame, tag)
        self.tries[name] += 1
        return self.net.stations[name].send(frame)

    def step(self, dice, kind):
        net, name = self.net, dice.choice(list(OWN))
        targets = [address(each) for each in net.stations] + [BROADCAST, b"\x01\0\0\0\0\1", address("far")]
        own = net.switch.ports[name].address or address("far")
        if kind == "say":
            return kind, name, self.send(name, dice.choice(targets), own, dice.choice(((), (), (5,), (6,), (7,), (0,), (4095,))),
                                         rest=dice.randbytes(dice.choice((0, 46, 1400))))
        if kind == "spoof":
            before = {each: len(station.got) for each, station in net.stations.items()}
            source = dice.choice([each for each in targets if each != address(name)])
            sent = self.send(name, dice.choice(targets), source)
            if name not in ("c", "up") or source[0] & 1:
                assert not sent and before == {each: len(station.got) for each, station in net.stations.items()}, "a foreign source"
            return kind, name, sent
        if kind == "hop":
            sent = self.send(name, dice.choice(targets), own, (dice.choice((5, 6, 7, 0)), dice.choice((5, 6, 7, 0))))
            assert not sent, "a tag in a tag"
            return kind, name
        if kind == "flood":
            name = dice.choice(("c", "up"))
            for _ in range(40):
                self.send(name, address("a"), b"\x02" + dice.randbytes(5), (5,) if name == "up" else ())
            return kind, len(net.switch.table.entries)
        if kind == "link":
            net.switch.ports[name].link(dice.random() < 0.6)
            return kind, name, net.switch.ports[name].up
        if kind == "guarded":
            frame = bruised(dice, dice.choice((dhcp_answer, router_advertisement))(address("d")), 0.2)
            self.tries["d"] += len(frame) >= 14
            sent = len(frame) >= 14 and net.stations["d"].send(frame)
            return kind, sent
        if kind == "denied":
            self.tries["d"] += 1
            assert not net.stations["d"].send(ipv4(address("a"), address("d"))), "an access list"
            return kind, net.switch.ports["d"].dropped["access list"]
        if kind == "time":
            net.env.run(until=net.env.now + dice.choice((1000, 10**6, 10**9, 160 * 10**9, 160 * 10**9, 400 * 10**9)))
            return kind, len(net.switch.table.entries)
        station = net.stations[name]
        station.answers = (lambda frame: []) if dice.random() < 0.5 else (lambda frame: [frame[6:12] + own + frame[12:]] if self._once() else [])
        if name in OWN:
            self.answering = name
        return kind, name

    def _once(self):
        """Answers are few, so that no talk is endless; they are not counted as tries."""
        self.marks += 1
        return self.marks % 3 == 0

    def check(self):
        switch = self.net.switch
        counts = {}
        for where, _ in switch.table.entries.values():
            counts[where] = counts.get(where, 0) + 1
        assert len(switch.table.entries) <= SIZE and all(count <= OF_PORT for count in counts.values()), "a table that grows"
        assert {name: count for name, count in switch.table._counts.items() if count} == counts, "the table's own counts"
        assert all(known not in switch._own for _, known in switch.table.entries), "another's own address was learned"
        for name, station in self.net.stations.items():
            for frame in station.got:
                inner, tag, _ = headers.untag(frame)
                who = inner[14:22].removeprefix(b"from ").strip().decode("latin-1") if inner[14:19] == b"from " else None
                assert name in ("c", "up") or tag is None, "a tag at an access port"
                if name == "ids":
                    continue
                if who in OWN and not (who in ("c", "up") or name in ("c", "up")):
                    assert OWN[who] & OWN[name], "a frame in a VLAN that is not its own"
            station.got.clear()
        for name, port in switch.ports.items():
            waits = len(port.pace.waiting) if port.pace is not None else 0
            seen = port.sent[0] + waits + sum(port.dropped[reason] for reason in REASONS[1:6])
            assert seen >= 0 and waits <= 4, name

    def end(self):
        for port in self.net.switch.ports.values():
            port.link(True)
        for station in self.net.stations.values():
            station.answers = lambda frame: []
        assert self.net.says("a", "c") == {"c": 1, "ids": 1} and self.net.says("b", "a") in ({}, {"up": 1})
