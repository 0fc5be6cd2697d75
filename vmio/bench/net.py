"""Frames of 1,514 bytes per second of processor time, out of a guest and into it, of a card that is up."""

from typing import Any

from vmio.bench import Row, ratios, row, sampler, turns
from vmio.drivers.contracts import NetDriver
from vmio.experiments.net_peer import Peer
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net.cable import Cable
from vmio.machine.net.frames import MAX
from vmio.modes import Machine, attachment

US, OTHER = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")
BURST = 8
TICK_NS = 100_000
SUBJECTS: tuple[tuple[str, str, bool], ...] = (
    ("Tulip, frames out", "emulated", False), ("Tulip, frames in", "emulated", True),
    ("NetVSC, frames out", "split", False), ("NetVSC, frames in", "split", True),
    ("82576 VF, frames out", "passthrough", False), ("82576 VF, frames in", "passthrough", True))


class Traffic:
    """A guest in the midst of its frames, in bursts of eight: it goes on by so many of them whenever it is asked to."""

    def __init__(self, mode: str, inward: bool) -> None:
        machine, cable = Machine(), Cable()
        guest = machine.guest().attach(attachment("net", mode, address=US), backend=cable.ends[0])
        machine.power_on()
        self.count, self._env = 0, machine.host.env
        self._peer = Peer(guest.guest.clock, cable.ends[1], self._heard)
        machine.start((guest, self._into if inward else self._out))
        machine.host.env.process(self._tick())
        self(2 * BURST)

    def _heard(self, frame: bytes) -> None:
        self.count += 1

    def _tick(self) -> Steps:
        """Something else that happens now and then: a guest that is alone would run to its end in one step."""
        while True:
            yield self._env.timeout(TICK_NS)

    @staticmethod
    def _out(cpu: VCpu, driver: NetDriver) -> Steps:
        frame = OTHER + US + b"\x08\x00" + bytes(MAX - 14)
        while True:
            for left in range(BURST - 1, -1, -1):
                while not driver.send(frame, more=left > 0):
                    yield from driver.wait()
            while driver.pending:
                yield from driver.wait()

    def _into(self, cpu: VCpu, driver: NetDriver) -> Steps:
        frame = US + OTHER + b"\x08\x00" + bytes(MAX - 14)
        while True:
            yield from cpu.pay()
            self._peer.say([frame] * BURST)
            wanted = self.count + BURST
            while self.count < wanted:
                yield from driver.wait()
                self.count += len(driver.reap())

    def __call__(self, count: int) -> int:
        """Go on until `count` more frames have arrived, or a few more; return how many."""
        before = self.count
        while self.count < before + count:
            self._env.step()
        return self.count - before


def copies(count: int) -> None:
    """The floor: the bytes of `count` frames are moved, and nothing else."""
    data, frame = bytearray(MAX), bytes(MAX)
    for _ in range(count):
        data[:] = frame


def measure() -> list[Row]:
    """Return each way's rate, and what a frame costs over a bare copy of its bytes."""
    subjects: dict[str, Any] = {what: sampler(Traffic(mode, inward)) for what, mode, inward in SUBJECTS}
    ns = turns({"copy": sampler(copies)} | subjects)
    return ([row(f"{what}, of 1,514 bytes, a second", [1e9 / each for each in ns[what]]) for what, *_ in SUBJECTS]
            + [row(f"{what}: over a bare copy", ratios(ns[what], ns["copy"])) for what, *_ in SUBJECTS])
