"""What a boot of the lesson's has counted: out of data/linux-recorded.json, or live; both are the same.

    of("disks")                  as it was recorded (`python -m vmio.lessons.boot_a_real_linux.record` makes the file)
    of("disks", live=True)       booted now, where a kernel and Unicorn are there; else as it was recorded

A boot takes some seconds, so cells take the recording unless they ask for a live one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from vmio import data
from vmio.boot.result import Phase, Row, interrupts_in
from vmio.lessons.boot_a_real_linux import live as machine
from vmio.lessons.boot_a_real_linux.follow import Frame, Function, Run
from vmio.lessons.boot_a_real_linux.plans import READ

FILE = "linux-recorded.json"
CONSOLE = ("uart",)         # what is left out where the console is not the subject


@dataclass(frozen=True)
class Seen:
    """A boot; `plain` is what the file has of it."""

    plain: dict[str, Any]

    @cached_property
    def phases(self) -> list[Phase]:
        """Its phases; all exits are in one of them."""
        return [Phase(name, began, ns, [Row(*row) for row in rows]) for name, began, ns, rows in self.plain["phases"]]

    def phase(self, name: str) -> Phase:
        """Return the phase of that name."""
        return next(phase for phase in self.phases if phase.name == name)

    def reading(self, mode: str) -> Phase:
        """Return the phase in which the disk of a mode is read."""
        return self.phase(READ + mode)

    @property
    def exits(self) -> int:
        """All exits, those of the console, too."""
        return self.all_exits(())

    def all_exits(self, without: tuple[str, ...] = CONSOLE) -> int:
        """Return how many exits there were, of all devices but these."""
        return sum(phase.exits(without) for phase in self.phases)

    @property
    def virtual_ns(self) -> int:
        """How long it took, in ns of virtual time."""
        return self.plain["virtual_ns"]

    @property
    def console(self) -> str:
        """What the serial port has shown, with plain line ends; of a boot that was followed."""
        return self.plain["console"].replace("\r\n", "\n").replace("\r", "")

    def console_at(self, characters: int) -> str:
        """Return the console when so many bytes had been sent."""
        return self.plain["console"][:characters].replace("\r\n", "\n").replace("\r", "")

    @cached_property
    def frames(self) -> list[Frame]:
        """The console's length and the counters at equal steps of virtual time."""
        reasons, devices = self.plain["reasons"], self.plain["devices"]
        cut = 2 + len(reasons)
        return [Frame(frame[0], frame[1], _some(reasons, frame[2:cut]), _some(devices, frame[cut:])) for frame in self.plain["frames"]]

    @cached_property
    def functions(self) -> list[Function]:
        """The functions of the kernel in which exits happen."""
        return [Function(*one) for one in self.plain["functions"]]

    @cached_property
    def runs(self) -> list[Run]:
        """Its accesses to ports, the console's left out, the same ones in a row together."""
        return [Run(*one) for one in self.plain["runs"]]

    @property
    def delivered(self) -> dict[int, int]:
        """How often we have delivered each vector to the guest, until it showed its own counts."""
        return {int(vector): count for vector, count in self.plain["delivered"].items()}

    def interrupts(self) -> dict[str, tuple[int, str]]:
        """Return what the guest's own /proc/interrupts has said: {name: (count, what it is)}."""
        return interrupts_in(self.console)


def _some(names: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    """{name: count} of those that there are."""
    return {name: count for name, count in zip(names, counts) if count}


@cache
def file() -> dict[str, Any]:
    """Return the recording, as plain data."""
    return json.loads(data.path(FILE).read_text(encoding="utf-8"))


@cache
def of(name: str, live: bool = False) -> Seen:
    """Return the boot of that name in `plans.ALL`."""
    if live and machine.usable()[0]:
        return Seen(machine.LiveBoot(name).run())
    return Seen(file()["boots"][name])
