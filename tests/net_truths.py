"""What the panels with a network card must show at a setting: frames counted on the cable, exits and interrupts at the vCPU, signals at the host's end."""

import hashlib
from functools import lru_cache

from vmio import data
from vmio.experiments.net import MODES, _Run
from vmio.drivers.tulip_moderation import Moderation
from vmio.experiments.net_params import NetParams
from vmio.host.net.switch import VirtualSwitch
from vmio.host.net.vlan import Access
from vmio.hypervisor.simulation import Simulation
from vmio.machine.net import pcap
from vmio.machine.net.cable import Cable
from vmio.machine.probes import watch
from vmio.modes import Machine, attachment
from vmio.vmbus.bus.ring import WRITE

from tests.counting_rig import Counted, executed
from tests.disk_truths import DEVICE, GUEST, HOST, HYPERVISOR, stack
from tests.panel_rig import Truth

SIZES, FRAMES, BYTES = (1, 2, 4, 8, 16, 32), 32, 300


class Seen:
    """A guest with a card on a cable; `run(program)` lets `program(cpu, driver)` run and counts from when the card is up."""

    def __init__(self, mode, address, **options):
        self.cable = Cable()
        self.machine = Machine()
        self.guest = self.machine.guest().attach(attachment("net", mode, address=address, **options), backend=self.cable.ends[0])
        self.machine.power_on()
        self.passed, self.signals, self.records, self.setup = [], 0, 0, 0

    def run(self, program):
        def whole(cpu, driver):
            self.setup = cpu.exits.total
            self.counted = Counted(cpu)
            watch(self.cable, "passed", lambda end, frame, arrived: self.passed.append((end, frame, arrived)))
            card, = self.guest.attachments
            if hasattr(card, "vsp"):
                watch(card.vsp.channel.end, "hears", self._heard)
                ring, last = driver.end.outgoing, [driver.end.outgoing.memory.load32(WRITE)]
                watch(ring, "moved", lambda _: self._moved(ring, last))
            yield from program(cpu, driver)
        self.guest.run(whole)
        return self

    def _heard(self):
        self.signals += 1

    def _moved(self, ring, last):
        now = ring.memory.load32(WRITE)
        self.records += now != last[0]
        last[0] = now

    def count(self, name):
        return sum(executed(one) == name for one in self.counted.exits)

    def at(self, device):
        return sum(one.device == device for one in self.counted.exits)


@lru_cache(maxsize=None)
def _captured(mode, traffic, delivery):
    frames = [one.frame for one in pcap.load(data.path("http.pcap"))]
    if traffic == "pings":
        frames = [frame for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 1]
    elif traffic == "upload":
        frames = [frame for frame in frames[1:] if not frame[0] & 1]
    address = frames[0][6:12]
    seen = Seen(mode, address, **({"delivery": delivery} if mode == "passthrough" else {}))
    one = _Run(seen.guest, seen.cable, frames, address, NetParams(mode, delivery=delivery))
    seen.run(one.program)
    assert hashlib.sha256(b"".join(frame for _, frame, _ in seen.passed)).digest() == hashlib.sha256(b"".join(frames)).digest()
    return seen


def capture(mode, traffic, delivery):
    seen = _captured(mode, traffic, delivery)
    assert all(arrived for _, _, arrived in seen.passed)
    exits, frames, interrupts = len(seen.counted.exits), len(seen.passed), seen.counted.interrupts
    out, back = (sum(end == which for end, _, _ in seen.passed) for which in (0, 1))
    ns, in_exits = seen.counted.ns, seen.counted.parts["exit"]
    arrows = {(GUEST, HYPERVISOR): exits}
    if mode == "passthrough":
        arrows |= {(GUEST, DEVICE): out, (DEVICE, GUEST): back, **({(HYPERVISOR, GUEST): interrupts} if delivery == "injected" else {})}
    else:
        arrows |= {(HOST, DEVICE): out, (DEVICE, HOST): back, (HOST, GUEST): interrupts}
        arrows |= {(GUEST, HOST): out, (HYPERVISOR, HOST): seen.signals} if mode == "split" else {(HYPERVISOR, HOST): seen.at("tulip")}
    return Truth(
        [frames, sum(len(frame) for _, frame, _ in seen.passed), out, back, 0, exits, exits / frames, interrupts, interrupts / frames,
         seen.signals, seen.setup, ns / 1000], arrows,
        [{name: seen.count(name) for name in ("OUT", "IN", "VMCALL", "HLT", "EXTERNAL INTERRUPT")}, stack({"exit": in_exits / 1000, "waiting": (ns - in_exits) / 1000})],
        {0: exits, 1: ns / 1000})


@lru_cache(maxsize=None)
def _burst(mode, size, batch):
    guest, other = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
    seen = Seen(mode, guest, **({"batch": batch} if mode == "split" else {}))
    rest = seen.cable.ends[1]
    rest.connect(_Deaf())

    def program(cpu, driver):
        for _ in range(FRAMES // size):
            before, until = len(seen.counted.exits), cpu.now + 30_000_000
            while cpu.now < until:
                yield from driver.wait(until)
            del seen.counted.exits[before:]                     # the sleep before a burst is no part of it
            for number in range(size):
                while not driver.send((other + guest + b"\x88\xb5").ljust(BYTES, b"\0"), more=number + 1 < size):
                    yield from driver.wait()
            while driver.pending:
                yield from driver.wait()
    seen.run(program)
    return seen


class _Deaf:
    def receive(self, frame):
        return True

    def link_changed(self, up):
        pass


def bursts(burst, batch):
    found = {mode: {size: _burst(mode, size, batch if mode == "split" else 8) for size in SIZES} for mode in MODES}
    here = [found[mode][burst] for mode in MODES]
    exits = [len(one.counted.exits) for one in here]
    handed = [one.records or len(one.passed) for one in here]
    curves = {mode: [(size, len(one.counted.exits) / FRAMES) for size, one in sizes.items()] for mode, sizes in found.items()}
    return Truth([burst, batch, *(len(one.passed) for one in here), *exits, *(count / FRAMES for count in exits),
                  *(one.counted.interrupts for one in here), *handed], {},
                 [curves, dict(zip(MODES, handed))])


class _Timed:
    """A driver whose frames are noted, with the time, as its program takes them."""

    def __init__(self, driver, cpu, taken):
        self._driver, self._cpu, self._taken = driver, cpu, taken

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def reap(self):
        found = self._driver.reap()
        self._taken += [self._cpu.now] * len(found)
        return found


@lru_cache(maxsize=None)
def _held(hold_us, hold_frames, gap_us, adaptive=False):
    frames = [one.frame for one in pcap.load(data.path("http.pcap"))]
    if not hold_us:
        hold_frames = 0
    how = Moderation(adaptive=True) if adaptive else Moderation(hold_frames, hold_us)
    seen, came, taken = Seen("emulated", frames[0][6:12], chip="21143", moderation=how), [], []
    clock = seen.guest.guest.clock
    one = _Run(seen.guest, seen.cable, frames, frames[0][6:12], NetParams(chip="21143", gap_us=gap_us, hold_us=hold_us))

    def program(cpu, driver):
        watch(seen.cable, "passed", lambda end, frame, arrived: came.append(clock.now) if end else None)
        yield from one.program(cpu, _Timed(driver, cpu, taken))
    seen.run(program)
    waits = sorted(now - then for then, now in zip(came, taken, strict=True))
    return len(seen.passed), seen.counted.interrupts, len(seen.counted.exits), seen.counted.ns, *(
        waits[-(-len(waits) * percent // 100) - 1] / 1000 for percent in (50, 99))


def moderation(hold_us, hold_frames, gap_us):
    found = _held(0, 0, gap_us), _held(hold_us, hold_frames, gap_us), _held(0, 0, gap_us, True)
    frames, interrupts, exits, ns, half, most = zip(*found)
    names = "not held back", "as set", "adaptive"
    return Truth([frames[1], 0, ns[1] / 1000, *interrupts, *exits, *half, 99, *most], {},
                 [dict(zip(names, (count / frames[0] for count in interrupts))), dict(zip(names, most))])


class _Counts:
    """A station that counts what it is given."""

    def __init__(self, port):
        self.got = 0
        port.connect(self)

    def receive(self, frame):
        self.got += 1
        return True

    def link_changed(self, up):
        pass


SAID = ("A", "all", "A"), ("router", "A", "router"), ("A", "router", "A"), ("A", "B", "A"), ("B", "A", "B"), ("C", "all", "C"), \
    ("router", "nobody", "router"), ("A", "all", "router"), ("B", "router", "B")


def switch(steps, any_address, own_vlan, mirror):
    at = {"A": "A", "B": "B", "C": "C", "router": "outside"}
    address = {name: bytes([2, 0, 0, 0, 0, 1 + n]) for n, name in enumerate((*at, "nobody"))} | {"all": b"\xff" * 6}
    made = VirtualSwitch(Simulation())
    options = {"A": {"spoofing": any_address, "mirror": "source" if mirror else None}, "B": {},
               "C": {"mirror": "destination" if mirror else None, **({"vlan": Access(9)} if own_vlan else {})}, "outside": {}}
    stations = {name: _Counts(made.port(name, address.get(name), **more)) for name, more in options.items()}
    sent, dropped = dict.fromkeys(stations, 0), dict.fromkeys(stations, 0)
    for sender, to, source in SAID[:steps]:
        made.ports[at[sender]].send(address[to] + address[source] + bytes(48))
        refused = source != sender and not any_address
        sent[at[sender]] += not refused
        dropped[at[sender]] += refused
    got = {name: station.got for name, station in stations.items()}
    arrows = {(name, "switch"): count for name, count in sent.items()} | {("switch", name): count for name, count in got.items()}
    return Truth([steps, len(SAID), *(count for name in stations for count in (sent[name], got[name], dropped[name]))], arrows, [got])
