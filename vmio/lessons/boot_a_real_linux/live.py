"""One of the lesson's boots, live: Debian's kernel on our board, its processor Unicorn."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from typing import Any

from vmio import data
from vmio.boot.params import SPLIT
from vmio.boot.result import BootResult, Phase, counted
from vmio.boot.run import Boot
from vmio.hypervisor.exits import OTHER
from vmio.hypervisor.vcpu import VCpu
from vmio.lessons.boot_a_real_linux.follow import Follower
from vmio.lessons.boot_a_real_linux.plans import ALL, READ, SYMBOLS, commands
from vmio.linux import initramfs, kept
from vmio.machine.probes import watch
from vmio.machine.storage import Image
from vmio.processors.unicorn import package

VARIABLE, NONE = "VMIO_LINUX", "none"       # in the environment: leave kernel and Unicorn alone, as if they were not there
MEDIUM = "licenses-ext4.img.gz"
HEAD = b"CPU0       \r"              # how the head of /proc/interrupts ends on a console, before its line feed


@cache
def usable() -> tuple[bool, str]:
    """(True, "") where Linux can be booted, or (False, why not and what to do)."""
    if os.environ.get(VARIABLE) == NONE:
        return False, f"Linux is left alone, for {VARIABLE} in the environment says so"
    missing = package.missing()
    if missing:
        return False, missing
    try:
        found = kept.find()
    except ValueError as error:
        return False, str(error)
    return (True, "") if found.whole else (False, f"{found.folder} is damaged: remove it, and run: python -m vmio linux get")


class LiveBoot:
    """The boot of this name, its machine switched on; `line()` is called with each line of the console, while it runs.

    ValueError, one sentence, where it can't be had.
    """

    def __init__(self, name: str, line: Callable[[], None] = lambda: None) -> None:
        works, why = usable()
        if not works:
            raise ValueError(why)
        params, files = ALL[name].params, kept.find()
        medium = Image.open(data.path(MEDIUM)) if params.modes else None
        self.name, self._line = name, line
        self._delivered: dict[int, int] = {}
        self.boot = Boot(params, files.read("vmlinuz"), initramfs.build(files, commands(params, SYMBOLS == name), ALL[name].modules), medium,
                         sink=self._byte, name="vmlinuz")
        self._follower = Follower(self.boot, where=name == SYMBOLS) if ALL[name].follow else None
        watch(self.boot.console, "marked", self._marked)

    def _marked(self, mark: str) -> None:
        if mark == SYMBOLS and self._follower is not None:
            self._follower.where = False        # what the guest does from now on, it does for the symbols alone

    def _byte(self, byte: int) -> None:
        if byte != ord("\n"):
            return
        if bytes(self.boot.console.data[-len(HEAD):]) == HEAD:      # Linux has just counted its own
            self._delivered = dict(self.boot.cpu.delivery.delivered)
        self._line()

    def run(self) -> dict[str, Any]:
        """Boot to the end, and return all that the lesson shows of it, as plain data."""
        result = self.boot.run()
        if not result.good:
            raise RuntimeError(f"{self.name}: {result.sentence()}")
        found = {
            "kernel": result.kernel, "command_line": result.command_line, "ended": result.end.reason, "virtual_ns": result.virtual_ns,
            "console_sha256": hashlib.sha256(result.console).hexdigest(),
            "phases": [[phase.name.split(" 6.")[0], phase.began, phase.ns, rows_of(phase)] for phase in result.phases]}
        return found if self._follower is None else {**found, **self._followed(self._follower, result)}

    def _followed(self, follower: Follower, result: BootResult) -> dict[str, Any]:
        """What only a boot has that was followed."""
        if self.name == SYMBOLS:
            return {"functions": [list(one) for one in follower.functions(_kallsyms(self.boot))]}
        reasons, devices = follower.names()
        frames = [[frame.ns, frame.characters, *(frame.reasons.get(one, 0) for one in reasons), *(frame.devices.get(one, 0) for one in devices)]
                  for frame in follower.frames(result.virtual_ns)]
        return {"console": result.console.decode("ascii", "replace"), "reasons": reasons, "devices": devices, "frames": frames,
                "delivered": {f"{vector}": count for vector, count in sorted(self._delivered.items())},
                "runs": [list(one) for one in follower.runs]}


def rows_of(phase: Phase) -> list[list[Any]]:
    """Return the exits of a phase as plain data: register by register while a disk is read, else one row for a device and instruction."""
    if phase.name.startswith(READ):
        return [list(row) for row in phase.rows]
    merged: dict[tuple, list[Any]] = {}
    for row in phase.rows:
        one = merged.setdefault((row.reason, row.instruction, row.device), [row.reason, row.instruction, OTHER, 0, row.device, 0, 0])
        one[5:] = one[5] + row.count, one[6] + row.moved
    return list(merged.values())


def exits_by(cpu: VCpu, field: str) -> dict[str, int]:
    """Return {value of a field of `Row`: exits} of a vCPU so far, most first."""
    return Phase("so far", 0, cpu.now, counted(cpu.exits)).by(field)


def _kallsyms(boot: Boot) -> str:
    """What the guest has written onto its disk on VMBus."""
    own = boot.media[SPLIT].own
    text = b"".join(own[lba] for lba in sorted(own))
    return text.rstrip(b"\0").decode("ascii", "replace")
