"""The honest side of the network's world: a server outside, and the neighbour's "disk", which is that server, by frames.

A request is one frame, or several with data; the server answers after a while.  What the neighbour reads and writes is a pattern
that nobody else has.  Frames with the attacker's own mark have no business here: who gets one tells the world.
"""

from typing import Any, NamedTuple

from simpy.events import Event

from vmio.drivers.errors import DriverError
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.simulation import Simulation
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.layout import Layout, u16, u32
from vmio.machine.memory import PAGE
from vmio.machine.net import headers
from vmio.machine.net.contracts import NetPort

SERVER, NEIGHBOUR, ATTACKER, ACCOMPLICE = (bytes.fromhex(f"02000000000{n}") for n in (1, 2, 3, 4))
NEIGHBOURS_FRAMES, FORGED = b"neighbour's mail", b"a forged message"
KIND = b"\x88\xb5"                  # IEEE 802's type for local experiments
READ, DATA, WRITE, DONE = range(1, 5)
BODY = Layout("BODY", u16("what"), u16("part"), u32("lba"))
PART = 1024                         # bytes of data in a frame
THINKS_NS, PATIENCE_NS, TRIES = 5_000, 2_000_000, 3


def frame(to: bytes, source: bytes, data: bytes) -> bytes:
    """Return a frame of the kind that all of them speak here."""
    return to + source + KIND + data


class Message(NamedTuple):
    """What a frame says: `what` of READ, DATA, WRITE and DONE, which `part`, about sectors from `lba` on; from `source`."""

    source: bytes
    what: int
    part: int
    lba: int
    data: bytes


def parse(got: bytes) -> Message | None:
    """Return what a frame says, or None if it is of another kind."""
    got, _, _ = headers.untag(got)
    if got[12:14] != KIND or len(got) < 14 + BODY.size:
        return None
    body = BODY.parse(got, 14)
    return Message(got[6:12], body.what, body.part, body.lba, got[14 + BODY.size:])


class Outside:
    """Behind the uplink `port`: the server, which serves pages of the neighbour's pattern; and an accomplice, whose frames are `loot`."""

    def __init__(self, env: Simulation, port: NetPort, loot: bytearray, harm: Any) -> None:
        self.env, self.port, self.loot, self.harm = env, port, loot, harm
        port.connect(self)

    def receive(self, got: bytes) -> bool:
        """See `Station`."""
        inner, vlan, _ = headers.untag(got)
        said = parse(got)
        if inner[:6] == ACCOMPLICE:
            self.loot += inner
        elif inner[:6] == SERVER and FORGED in inner:
            self.harm()
        elif inner[:6] == SERVER and said is not None:
            self._serve(said, vlan)
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""

    def _serve(self, said: Message, vlan: int | None) -> None:
        parts = range(PAGE // PART) if said.what == READ else (said.part,)
        for part in parts:
            data = NEIGHBOURS_FRAMES * (PART // len(NEIGHBOURS_FRAMES)) if said.what == READ else b""
            answer = frame(said.source, SERVER, BODY.pack(what=DATA if said.what == READ else DONE, part=part, lba=said.lba) + data)
            answer = answer if vlan is None else headers.tag(answer, vlan)
            self._later(answer)

    def _later(self, answer: bytes) -> None:
        def say(_: Event) -> None:
            self.port.send(answer)
        self.env.timeout(THINKS_NS).callbacks.append(say)


class FrameDisk:
    """`read` and `write` of pages, as a world's disk has them, by frames to the server."""

    def __init__(self, cpu: VCpu, driver: Any, harm: Any) -> None:
        self.cpu, self.driver, self.harm = cpu, driver, harm

    def read(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """A page, to memory at `gpa`.  `DriverError` if the server doesn't answer."""
        parts = yield from self._ask([BODY.pack(what=READ, lba=lba)], DATA, PAGE // PART, lba)
        self.cpu.write(gpa, b"".join(parts[n] for n in sorted(parts)))

    def write(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """A page, from memory at `gpa`.  `DriverError` if the server doesn't answer."""
        data = self.cpu.read(gpa, PAGE)
        said = [BODY.pack(what=WRITE, part=n, lba=lba) + data[n * PART:(n + 1) * PART] for n in range(PAGE // PART)]
        yield from self._ask(said, DONE, len(said), lba)

    def _ask(self, said: list[bytes], what: int, number: int, lba: int) -> Steps[dict[int, bytes]]:
        """Say it, and return the `number` parts of the answer; again, if they don't come."""
        for _ in range(TRIES):
            until, parts = self.cpu.now + PATIENCE_NS, dict[int, bytes]()
            for body in said:
                while not self.driver.send(frame(SERVER, NEIGHBOUR, body), more=body is not said[-1]):
                    yield from self.driver.wait(until)
            while len(parts) < number and self.cpu.now < until:
                yield from self.driver.wait(until)
                for got in self.driver.reap():
                    message = parse(got)
                    if FORGED in got:
                        self.harm()
                    elif message is not None and (message.source, message.what, message.lba) == (SERVER, what, lba):
                        parts[message.part] = message.data
            if len(parts) == number:
                return parts
        raise DriverError(f"the server gives no answer, {TRIES} times")
