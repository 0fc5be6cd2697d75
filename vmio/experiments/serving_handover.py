"""A tenant leaves, and its virtual function goes to another one: what does the newcomer find on the chip?

Both serve the digits, each by a function of its own.  The host asks the first for its function (EJECT), has it back, and gives it to
the second, who looks at all of the on-chip memory before anything else, as no honest driver would, and then serves with it, too.
"""

from dataclasses import dataclass
from typing import Any

from vmio.drivers.accelerator import RingDriver
from vmio.experiments import digits
from vmio.hardware.accelerator.registers import SRAM, SRAM_BYTES
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes import Machine
from vmio.modes.accelerator_assigned import AssignedAccelerator

PIECE = 16                  # bytes by which the weights are known again
LEAVES_NS = 1_000_000       # when the host asks for the function
LOOK_NS = 20_000            # between two looks of a guest at what has changed
CALL = 50                   # images


@dataclass(frozen=True)
class Handover:
    """Of the first tenant's weights, in pieces of 16 bytes that are not all zero, so many were there and so many `found` by the other.

    `words` of the chip were not zero; each tenant had so many answers, of which `wrong` were other than numpy's.
    """

    pieces: int
    found: int
    words: int
    answers: tuple[int, int]
    wrong: int
    asked_ns: int
    given_ns: int


class _Curious(AssignedAccelerator):
    """A function whose new owner looks at the chip before it resets it."""

    seen = b""

    def start(self, driver: RingDriver) -> Steps[None]:
        """Read all of the on-chip memory by the BAR, without an exit; then as any other."""
        words = (driver.cpu.load(driver.bar + SRAM + at, 8) for at in range(0, SRAM_BYTES, 8))
        self.seen = b"".join(word.to_bytes(8, "little") for word in words)
        yield from super().start(driver)


class _Story:
    """The two guests, and what happens to the function."""

    def __init__(self) -> None:
        self.kept = digits.load()
        self.known = digits.predictions(digits.sums(self.kept.network, self.kept.images))
        self.machine = machine = Machine(cores=3)
        self.first, self.second = AssignedAccelerator(virtual=True), AssignedAccelerator(virtual=True)
        self.guests = machine.guest("first").attach(self.first), machine.guest("second", later_mib=9).attach(self.second)
        self.device = HostAccelerator(machine.host, 2)
        for guest, place in zip(self.guests, self.device.places):
            guest.backends[0] = place
        machine.power_on()
        self.answers, self.wrong, self.given_ns = [0, 0], 0, 0
        self.later = _Curious(virtual=True)

    def call(self, who: int, driver: RingDriver) -> Steps[None]:
        """One call, and a look whether its answers are right."""
        sums = yield from driver.infer(self.kept.images[:digits.PIXELS * CALL])
        self.answers[who] += CALL
        self.wrong += sum(one != other for one, other in zip(digits.predictions(sums), self.known[:CALL], strict=True))

    def leaver(self, cpu: VCpu, driver: RingDriver) -> Steps[None]:
        """Serve until the host wants the function back."""
        yield from driver.load(self.kept.network)
        self.machine.host.at(self.began + LEAVES_NS, lambda _: self.leave())
        while not (yield from self.guests[0].follow(cpu)):
            yield from self.call(0, driver)
            yield from cpu.hlt(LOOK_NS)

    def leave(self) -> None:
        """The host asks; when it has the function it gives it to the other."""
        gone = self.machine.remove(self.first)
        host = self.machine.host

        def look(_: Any = None) -> None:
            if gone.state.value == "gone":
                self.given_ns = host.env.now
                self.machine.add(self.guests[1], self.later, backend=self.device.places[0])
            else:
                host.at(host.env.now + LOOK_NS, look)
        look()

    def newcomer(self, cpu: VCpu, driver: RingDriver) -> Steps[None]:
        """Serve by the function that it has until there is a second, then by that one."""
        yield from driver.load(self.kept.network)
        mine = driver
        while mine is driver:
            yield from self.call(1, driver)
            yield from cpu.hlt(LOOK_NS)
            for _, mine in (yield from self.guests[1].follow(cpu)):
                yield from mine.load(self.kept.network)
                yield from self.call(1, mine)

    def run(self) -> Handover:
        """Return what there was when both have ended."""
        self.began = self.machine.host.env.now
        self.machine.run((self.guests[0], self.leaver), (self.guests[1], self.newcomer))
        constants = self.kept.network.constants
        pieces = {constants[at:at + PIECE] for at in range(0, len(constants) - PIECE + 1, PIECE)} - {bytes(PIECE)}
        seen = self.later.seen
        return Handover(len(pieces), sum(piece in seen for piece in pieces), sum(any(seen[at:at + 8]) for at in range(0, len(seen), 8)),
                        (self.answers[0], self.answers[1]), self.wrong, self.began + LEAVES_NS, self.given_ns)


def run() -> Handover:
    """Return what the newcomer found, and what both served."""
    return _Story().run()
