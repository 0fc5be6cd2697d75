"""The boots of *Boot a real Linux*: what each machine is told, and what its guest does.

The guest reads the first 64 KiB of each of its disks, in 16 direct reads of 4 KiB between two marks, reads them once more and tells
their checksums, then shows /proc/interrupts.  Everything that the lesson shows is of one of these boots.
"""

from typing import Any, NamedTuple

from vmio.boot.params import SPLIT, BootParams
from vmio.linux.initramfs import DISKS as DRIVERS

READS, BLOCK = 16, 4096                 # 64 KiB from each disk
MODES = ("emulated", SPLIT, "nvme", "passthrough")
# Each disk as Linux names it where all four are there: sda and sdb in the order of their drivers, NVMe in the order of PCI slots.
NAMES = {"emulated": "sda", SPLIT: "sdb", "nvme": "nvme0n1", "passthrough": "nvme1n1"}
READ, CHECKED, SHOWN = "read ", "check", "interrupts"       # marks: a phase called "read emulated", ..., what was read once more, the counters
DD = f"dd 2>/dev/null if=/dev/{{disk}} bs={BLOCK} count={READS} iflag=direct"
MINUTES = 15                            # of the clock on the wall, until somebody looks why


class Plan(NamedTuple):
    """A boot: what differs from the usual one, in words, and what it is told.  `follow` keeps what happens exit by exit.

    `modules` are those of Linux's that its first program loads, with their options.
    """

    what: str
    params: BootParams
    follow: bool = False
    modules: tuple[str, ...] = DRIVERS


def _plan(what: str, modes: tuple[str, ...] = MODES, follow: bool = False, quiet: bool = True, **params: Any) -> Plan:
    return Plan(what, BootParams(modes=modes, quiet=quiet, timeout=60 * MINUTES, **params), follow)


DISKS, SYMBOLS, CONSOLE, TRAPPED_CLOCK, PINS, PIO, POLLS = "disks", "symbols", "console", "no clock page", "pins", "PIO", "polls"
PLANS = {
    DISKS: _plan("all four disks", follow=True),
    SYMBOLS: _plan("the same, and at its end the guest writes its own symbols onto its disk on VMBus", follow=True),
    CONSOLE: _plan("all four disks, and the kernel says what it does", follow=True, quiet=False),
    TRAPPED_CLOCK: _plan("no clock page: each look at the clock is an exit", clock_page=False),
    PINS: _plan("devices interrupt by their pins, not by messages", pins=True),
    PIO: _plan("the IDE driver moves data by PIO, not by DMA")._replace(modules=("libata dma=0", *DRIVERS)),
    POLLS: _plan("a PC as of 1996 that does not say how fast its processor counts", (), follow=True, platform="pc", append="tsc_early_khz=0"),
}


class Choice(NamedTuple):
    """A machine of the exercise: one disk, and three things that may be had or left out."""

    mode: str
    quiet: bool
    clock_page: bool

    @property
    def plan(self) -> Plan:
        """The boot that this choice is."""
        return _plan(self.name, (self.mode,), quiet=self.quiet, clock_page=self.clock_page)

    @property
    def name(self) -> str:
        """The choice in words."""
        return f"{self.mode}, {'quiet' if self.quiet else 'with messages'}, {'clock page' if self.clock_page else 'no clock page'}"


CHOICES = tuple(Choice(mode, quiet, clock_page) for mode in MODES for quiet in (False, True) for clock_page in (False, True))
ALL = {**PLANS, **{choice.name: choice.plan for choice in CHOICES}}


def commands(params: BootParams, symbols: bool = False) -> list[str]:
    """Return what the guest runs, a line each; with `symbols` it writes its own onto its disk on VMBus at the end."""
    names = disks(params)
    lines = [f"await {' '.join(f'/dev/{name}' for name in names.values())}"] if names else []
    for mode, name in names.items():
        lines += [f"mark {READ}{mode}", f"{DD.format(disk=name)} of=/dev/null"]
    if names:
        lines += [f"mark {CHECKED}", f"for disk in {' '.join(names.values())}; do {DD.format(disk='$disk')} | md5sum; done"]
    lines += [f"mark {SHOWN}", "cat /proc/interrupts"]
    return [*lines, f"mark {SYMBOLS}", f"cat /proc/kallsyms > /dev/{names[SPLIT]}"] if symbols else lines


def disks(params: BootParams) -> dict[str, str]:
    """Return {mode: name of its disk in Linux}."""
    if len(params.modes) == len(MODES):
        return NAMES
    return {mode: "nvme0n1" if mode in ("nvme", "passthrough") else "sda" for mode in params.modes}
