"""A story of frames at the host's virtual switch: who sends what, who is given it, what the switch learns from it, and why a frame is dropped.

Three guests, A, B and C, and, behind the physical port, a router.  A's port may let other source addresses in than its own, C's port may
be in a VLAN of its own, and may be shown a copy of all that goes to A and from it (a mirror).
"""

from dataclasses import dataclass, field

from vmio.host.net.port import DESTINATION, SOURCE, SwitchPort
from vmio.host.net.switch import VirtualSwitch
from vmio.host.net.vlan import Access
from vmio.hypervisor.simulation import Simulation
from vmio.machine.net.frames import BROADCAST, HEADER, MIN
from vmio.machine.probes import watch

ADDRESSES = {name: bytes([0x52, 0x54, 0, 0, 0, at]) for at, name in enumerate(("A", "B", "C", "router", "nobody"), 1)}
PORTS = "A", "B", "C", "outside"
WHERE = {"A": "A", "B": "B", "C": "C", "router": "outside"}       # at which port a station is
NAMES = {address: name for name, address in ADDRESSES.items()}
VLAN = 7


@dataclass(frozen=True)
class Send:
    """One step: `sender` sends to `to` (a station, or "all"), under the address of `source`."""

    sender: str
    to: str
    source: str


SCRIPT = (
    Send("A", "all", "A"), Send("router", "A", "router"), Send("A", "router", "A"), Send("A", "B", "A"), Send("B", "A", "B"),
    Send("C", "all", "C"), Send("router", "nobody", "router"), Send("A", "all", "router"), Send("B", "router", "B"))


@dataclass(frozen=True)
class Step:
    """What became of a frame: which ports were `given` it, which a mirror's `copied` it, why it was `dropped` at its sender's port ("": not)."""

    send: Send
    given: list[str]
    copied: list[str]
    dropped: str


@dataclass(frozen=True)
class Story:
    """All steps so far; {port: frames} `sent` into the switch, `got` out of it and `refused` at it; `learned` {station: port}."""

    steps: list[Step] = field(repr=False)
    sent: dict[str, int]
    got: dict[str, int]
    refused: dict[str, int]
    learned: dict[str, str]


class Sink:
    """A station that takes all it is given."""

    def receive(self, frame: bytes) -> bool:
        """Take a frame."""
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""


def switch(any_address: bool, own_vlan: bool, mirror: bool) -> VirtualSwitch:
    """Return the switch with a station at each of its ports."""
    made = VirtualSwitch(Simulation())
    made.port("A", ADDRESSES["A"], spoofing=any_address, mirror=SOURCE if mirror else None)
    made.port("B", ADDRESSES["B"])
    made.port("C", ADDRESSES["C"], vlan=Access(VLAN) if own_vlan else None, mirror=DESTINATION if mirror else None)
    made.port("outside")
    for port in made.ports.values():
        port.connect(Sink())
    return made


def play(steps: int = len(SCRIPT), any_address: bool = False, own_vlan: bool = False, mirror: bool = False) -> Story:
    """Let the first `steps` frames of the script be sent."""
    made, told = switch(any_address, own_vlan, mirror), []
    for send in SCRIPT[:steps]:
        told.append(_step(made, made.ports[WHERE[send.sender]], send))
    ports = made.ports.values()
    return Story(told, {port.name: port.sent[0] for port in ports}, {port.name: port.got[0] for port in ports},
                 {port.name: port.dropped.total() for port in ports}, {NAMES[address]: name for (_, address), (name, _) in made.table.entries.items()})


def _step(made: VirtualSwitch, port: SwitchPort, send: Send) -> Step:
    """Send one frame, and see what its sender's port and all others have counted."""
    to = BROADCAST if send.to == "all" else ADDRESSES[send.to]
    frame = (to + ADDRESSES[send.source]).ljust(HEADER, b"\x88").ljust(MIN, b"\0")
    got, dropped, given = {one.name: one.got[0] for one in made.ports.values()}, port.dropped.copy(), list[str]()
    stop = watch(made, "forwarded", lambda name, vlan, frame, took: given.extend(took))
    port.send(frame)
    stop()
    copied = [one.name for one in made.ports.values() if one.got[0] > got[one.name] and one.name not in given]
    return Step(send, given, copied, " ".join(port.dropped - dropped))
