"""Power cuts of *Emulate a device*: a store of values on an ATA disk with a volatile cache, and what is left of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.cached import VolatileCache
from vmio.machine.storage import SECTOR, Image
from vmio.modes.attachments import attachment
from vmio.modes.machine import Machine
from vmio.table import table

BUFFER = 0x20_0000     # guest-physical: free for data
VALUES = 10


class PowerCut(Exception):
    """There is no power for the next command."""


class Plug:
    """An `AtaDriver` that gets so many `commands` answered, then the power goes; `flushes` are counted."""

    def __init__(self, driver: Any, commands: Any) -> None:
        self.driver, self.left, self.flushes = driver, commands, 0

    def write(self, lba: int, sectors: Any, gpa: int) -> Iterator[Any]:
        """As the driver's; PowerCut if its time is over."""
        yield from self._one(self.driver.write(lba, sectors, gpa))

    def flush(self) -> Iterator[Any]:
        """As the driver's; PowerCut if its time is over."""
        self.flushes += 1
        yield from self._one(self.driver.flush())

    def _one(self, steps: Any) -> Iterator[Any]:
        if not self.left:
            raise PowerCut
        self.left -= 1
        yield from steps


class Left(NamedTuple):
    """What a power cut leaves: `saved` values were answered; the record names `named`, `missing` of which aren't there.

    `commands` were answered, `flushes` among them; `exits` and `ns` are what they cost.
    """

    saved: int
    named: int
    missing: list
    commands: int
    flushes: int
    exits: int
    ns: int

    @property
    def gone(self) -> Any:
        """How many of the saved values nobody finds again."""
        return sum(number > self.named or number in self.missing for number in range(1, self.saved + 1))


def sector(number: int) -> Any:
    """512 bytes that say `number`."""
    return number.to_bytes(8, "little") * (SECTOR // 8)


def run(save: Any, flush: Any, seed: Any = 0, commands: Any = 4 * VALUES, transfer: Any = "dma") -> Any:
    """Save the values 1 to `VALUES` by `save(cpu, ata, number, flush)`, cut the power after `commands` answers, and look."""
    medium = VolatileCache(Image.open(bytes(SECTOR * (VALUES + 1))))
    machine = Machine()
    guest = machine.guest("student", attachment("disk", "emulated", transfer=transfer), medium, ram_mib=4)
    machine.power_on()

    def program(cpu: VCpu, disk: Any) -> Steps[tuple]:
        ata, saved, exits, start = Plug(disk.driver, commands), 0, cpu.exits.total, cpu.now
        try:
            for number in range(1, VALUES + 1):
                yield from save(cpu, ata, number, flush)
                saved = number
        except PowerCut:
            pass
        yield from cpu.pay()
        return saved, commands - ata.left, ata.flushes, cpu.exits.total - exits, cpu.now - start
    (saved, *cost), = machine.run((guest, program))
    medium.power_cut(seed)
    named = int.from_bytes(medium.read(0)[:8], "little")
    missing = [number for number in range(1, named + 1) if medium.read(number) != sector(number)]
    return Left(saved, named, missing, *cost)


def left(save: Any, flush: Any, seed: Any) -> Any:
    """One cut after the last value was saved, in words."""
    one = run(save, flush, seed)
    missing = ", ".join(map(str, one.missing)) or "none"
    return (f"{one.saved} values saved, {one.commands} commands answered, {one.flushes} of them flushes\n"
            f"after the cut the record says {one.named} are saved; missing of those: {missing}; lost in all: {one.gone}")


def cuts_table(save: Any, choices: Any = ((), ("record",), ("value", "record"))) -> str:
    """A cut after each command, for each choice of what is flushed: promises broken, and the price."""
    rows = []
    for flush in choices:
        whole = run(save, flush)
        cuts = [run(save, flush, seed=at, commands=at) for at in range(1, whole.commands + 1)]
        rows.append((" and ".join(flush) or "nothing", len(cuts), sum(one.gone > 0 for one in cuts),
                     sum(bool(one.missing) for one in cuts), whole.exits / VALUES, whole.ns / VALUES / 1000))
    return table(rows, ("flushed", "cuts", "a saved value gone", "record without value", "exits a value", "us a value"),
                 title=f"power cut after each command, {VALUES} values")
