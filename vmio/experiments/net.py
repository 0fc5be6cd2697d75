"""A captured conversation, said once more between a guest and the rest of the network, and what that cost.

Who sent the first frame is the guest; all its frames are sent by the guest's driver, the others come from outside.  Each side
waits until the other has said what comes before in the capture, so frames are received in its order.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from vmio.drivers.contracts import NetDriver
from vmio.drivers.tulip_moderation import Moderation
from vmio.experiments.net_params import MODES, NetParams
from vmio.experiments.net_peer import Peer
from vmio.experiments.net_result import NetResult, Since
from vmio.hypervisor.contracts import Partition, Steps
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.recorded import kept
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import NEVER, Timers
from vmio.machine.contracts import Options
from vmio.machine.net.cable import Cable
from vmio.machine.net.frames import ADDRESS, station_address
from vmio.machine.net.pcap import Captured
from vmio.modes import GuestMachine, Machine, attachment
from vmio.modes.attachments import Attachment
from vmio.modes.net_split import SplitNet
from vmio.modes.net_virtio import VirtioSplitNet

__all__ = ["MODES", "NetParams", "NetResult", "planned", "result", "run"]
NET = Form("conversation", 1, "frames", "times", "waited", "peer", "cable")
GRACE_NS = 1_000_000          # so long after the last frame of a run that has not come, it is lost


class Heard:
    """What was received, by either side, in order."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.times: list[int] = []       # ns since power-on
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.waited: list[int] = []      # ns from a frame's arrival at the guest's card to its receipt

    def take(self, frame: bytes, ns: int) -> None:
        """One more."""
        self.frames.append(frame)
        self.times.append(ns)
        self.digest.update(frame)
        self.bytes += len(frame)


class _Run:
    """The guest's program, and what it counts.

    What stands outside of the guest - the peer, the list of what was received - the program uses by `told`, whose answers a
    checkpoint keeps.
    """

    def __init__(self, guest: GuestMachine, cable: Cable, frames: Sequence[bytes], address: bytes, params: NetParams) -> None:
        self.guest, self.frames, self.address, self.cable = guest, frames, address, cable
        self.heard, clock = Heard(), guest.guest.clock
        self.peer = Peer(clock, cable.ends[1], lambda frame: self.heard.take(frame, clock.now), params.gap_us * 1000)
        self.grace_ns = GRACE_NS + params.hold_us * 1000
        self.by_guest, self.params = 0, params
        self.counts: Any = None
        self.told: Any = None

    def runs(self) -> Iterator[tuple[bool, list[bytes]]]:
        """(are they the guest's?, frames) of one side at a time, in the capture's order."""
        for own, frames in groupby(self.frames, lambda frame: frame[ADDRESS:2 * ADDRESS] == self.address):
            yield own, list(frames)

    def program(self, cpu: VCpu, driver: NetDriver) -> Steps[None]:
        """All of it."""
        attachment, = self.guest.attachments
        self.counts = Since(self.guest.cpu, cpu, _signals(attachment))
        self.told = kept(cpu, self, "say", "received", "number_received")
        for own, frames in self.runs():
            yield from (self._say if own else self._hear)(cpu, driver, frames)

    def _say(self, cpu: VCpu, driver: NetDriver, frames: Sequence[bytes]) -> Steps[None]:
        """Frames of the guest's: as many as the card takes, then wait until some have left."""
        for left, frame in zip(range(len(frames) - 1, -1, -1), frames):
            while not driver.send(frame, more=left > 0):
                yield from self._wait(cpu, driver)
        while driver.pending:
            yield from self._wait(cpu, driver)
        self.by_guest += len(frames)

    def _hear(self, cpu: VCpu, driver: NetDriver, frames: Sequence[bytes]) -> Steps[None]:
        """Frames from outside, until all have come, or the rest won't."""
        yield from cpu.pay()
        expected, last = self.told.number_received() + len(frames), self.told.say(frames) + self.grace_ns
        while self.told.number_received() < expected and cpu.now < last:
            yield from self._wait(cpu, driver, last)

    def _wait(self, cpu: VCpu, driver: NetDriver, until: int = NEVER) -> Steps[None]:
        """Sleep until something has happened, and take what has come."""
        yield from driver.wait(until)
        for frame in driver.reap():
            self.told.received(frame, cpu.now)

    # Outside of the guest.

    @property
    def under_way(self) -> int:
        """How many frames the peer still has to say of what it was asked to."""
        return len(self.peer.timers())

    def say(self, frames: Sequence[bytes]) -> int:
        """Let the peer send frames from now on, and return when the last will have left (ns)."""
        self.peer.say(frames)
        return self.peer.done_at

    def number_received(self) -> int:
        """Return how many frames both sides have received."""
        return len(self.heard.frames)

    def received(self, frame: bytes, now: int) -> None:
        """The guest has received a frame."""
        self.heard.take(frame, now)
        self.heard.waited.append(self.peer.waited(frame, now))

    def timers(self, guest: Partition) -> Timers:
        """See `Beside`."""
        return self.peer.timers() if guest is self.guest.guest else []

    def save(self, saving: Saving) -> State:
        """See `Beside`."""
        heard = self.heard
        return NET.state(frames=heard.frames, times=heard.times, waited=heard.waited, peer=self.peer.save(), cable=self.cable.save())

    def restore(self, state: State, restoring: Restoring) -> None:
        """See `Beside`."""
        saved, heard = NET.take(state), Heard()
        for frame, ns in zip(saved["frames"], saved["times"], strict=True):
            heard.take(frame, ns)
        heard.waited, self.heard = list(saved["waited"]), heard
        self.peer.restore(saved["peer"])
        self.cable.restore(saved["cable"])


def _signals(card: Attachment) -> Callable[[], int]:
    """What counts how often the guest has told the host's half that there is something: signals of a channel, or kicks of queues."""
    if isinstance(card, SplitNet):
        channel = card.vsp.channel
        return lambda: 0 if channel is None else channel.signals
    return lambda: card.card.kicks if isinstance(card, VirtioSplitNet) else 0


def _options(params: NetParams) -> Options:
    """What else the guest's card is told in this mode."""
    if params.mode == "split" and params.dialect == "virtio":
        return {"dialect": params.dialect}
    if params.mode == "split":
        return {"batch": params.batch, **params.isolation}
    if params.mode == "passthrough":
        return {"delivery": params.delivery}
    moderation = Moderation(adaptive=True) if params.adaptive else Moderation(params.hold_frames, params.hold_us)
    return {"pace": params.pace, "chip": params.chip, "moderation": moderation, "budget": params.budget}


def run(params: NetParams, captured: Sequence[Captured], name: str = "capture") -> NetResult:
    """Let a guest have its part of a captured conversation; returns a `NetResult`.

    ValueError for parameters that can't be, and for a capture whose first frame is nobody's.
    """
    one = planned(params, captured, name)
    one.guest.run(one.program)
    return result(one)


def result(one: _Run) -> NetResult:
    """Return the result of a run that is over."""
    return one.counts.result(one.params, one)


def planned(params: NetParams, captured: Sequence[Captured], name: str = "capture", checkpoints: bool = False) -> _Run:
    """Return what `run` lets run, in a machine that is switched on; `checkpoints` as in `Machine`."""
    params.check()
    if not captured:
        raise ValueError(f"{name}: it holds no frames")
    try:
        address = station_address(captured[0].frame[ADDRESS:2 * ADDRESS])
    except ValueError as error:
        raise ValueError(f"{name}, frame 1: its source, which the guest's card is to have: {error}") from None
    machine, cable = Machine(params.costs, checkpoints=checkpoints, kind=params.host), Cable()
    guest = machine.guest().attach(attachment("net", params.mode, address=address, **_options(params)), backend=cable.ends[0])
    machine.power_on()
    one = _Run(guest, cable, [each.frame for each in captured], address, params)
    machine.beside.append(one)
    return one
