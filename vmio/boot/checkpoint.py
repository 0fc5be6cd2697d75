"""A booted machine as plain data and back: the next start needs neither the kernel's file nor its four seconds of unpacking.

    state = saved(boot)                    while its processor stands still (`MachineCodeCpu.paused`)
    boot = restored(state, medium)         the same machine; `boot.run()` goes on as if nobody had been there

What is not in it: the image under the disks, of which size, beginning and end are compared, and whoever looks on.
Guest RAM is most of it, so the host's memory is packed.
"""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from vmio.boot import machine as pc
from vmio.boot.console import Console
from vmio.boot.params import BootParams, checked
from vmio.boot.result import Row
from vmio.boot.run import SHUTDOWN, Boot
from vmio.machine.checkpoint import CheckpointRefused, Form, State, plain, same
from vmio.machine.clock import Timer
from vmio.machine.media.medium import Medium
from vmio.modes import checkpoint as whole
from vmio.processors.unicorn import checkpoint as processor
from vmio.processors.unicorn import package

BOOT = Form("booted machine", 2, "params", "kernel", "marks", "console", "disk", "asking", "machine", "processor")
OWN = ("until", "mark", "timeout", "virtual_timeout")     # of the parameters: what each run is told anew
KEPT = tuple(each.name for each in fields(BootParams) if each.name not in OWN)
PARAMS = Form("booted machine, what it was told", 2, *KEPT)
LEVEL = 1                   # of zlib: more takes three times as long, for an eighth less
ENDS = 1 << 20              # bytes of a disk's beginning and end by which it is known again
MOST = 4 << 30              # bytes of memory that a file may speak of


def saved(boot: Boot) -> State:
    """Return its state; `CheckpointRefused` says which part can't be saved now, and why."""
    guest = boot.guest
    state = whole.save_still(guest.machine, boot.timers)
    memory = state["host"]["memory"]
    memory["runs"] = [[spa, len(data), zlib.compress(data, LEVEL)] for spa, data in memory["runs"]]
    return plain(BOOT.state(
        params=PARAMS.state(**{name: getattr(boot.params, name) for name in KEPT}), kernel=boot.kernel, console=boot.console.save(), disk=digest(boot.medium),
        asking=boot.asking and boot.asking.when, marks=[[name, at, [list(row) for row in rows]] for name, at, rows in boot.marks], machine=state, processor=processor.save(guest.cpu)))


def restored(state: State, medium: Medium | None = None, sink: Callable[[int], None] | None = None,
             keep: Callable[[Boot], State] | None = None, **own: Any) -> Boot:
    """Return the boot that was saved, to go on; `own` are the parameters in `OWN`, the others as in `Boot`.

    `CheckpointRefused`, one sentence, for a state that is none, and for another disk.
    """
    package.check()
    kept = BOOT.take(state)
    told = PARAMS.take(kept["params"])
    with whole.damage_refused():
        params = checked(BootParams(**{name: told[name] for name in KEPT if name != "modes"}, modes=tuple(told["modes"]), **own))
    if (medium is None) != (kept["disk"] is None):
        raise CheckpointRefused("checkpoint: it was booted with a disk, which must be there" if medium is None else
                                "checkpoint: it was booted without a disk, and has none")
    same("disk (size, and SHA-256 of its beginning and end)", kept["disk"], digest(medium))
    console = Console(params.until, params.mark, sink)
    guest = pc.planned(params, medium, console)
    cpu: Any = guest.cpu
    with whole.damage_refused():
        asking = None if kept["asking"] is None else Timer(kept["asking"], None)
        whole.restore_still(guest.machine, _unpacked(kept["machine"]), [(SHUTDOWN, asking)])
        cpu.power_on()
        processor.restore(cpu, kept["processor"])
        console.restore(kept["console"])
        marks = [(name, at, [Row(*row) for row in rows]) for name, at, rows in kept["marks"]]
    return Boot.of(params, kept["kernel"], guest, console, medium, marks, keep, asking)


def digest(medium: Medium | None) -> list | None:
    """Return [sectors, SHA-256] by which a disk is known again, without reading all of a large one; None for none."""
    if medium is None:
        return None
    count = min(medium.sectors, ENDS // 512)
    return [medium.sectors, hashlib.sha256(bytes(medium.read(0, count)) + bytes(medium.read(medium.sectors - count, count))).hexdigest()]


def _unpacked(state: Any) -> Any:
    """The machine's state with its memory as it was."""
    runs, total = [], 0
    try:
        for spa, length, data in state["host"]["memory"]["runs"]:
            total += length
            if total > MOST:
                raise CheckpointRefused(f"checkpoint: memory of more than {MOST:,} bytes")
            unpacker = zlib.decompressobj()
            bytes_ = unpacker.decompress(data, length)
            if len(bytes_) != length:
                raise CheckpointRefused(f"checkpoint: {len(bytes_):,} bytes of memory at {spa:#x}, {length:,} belong there")
            runs.append([spa, bytes_])
    except zlib.error as error:
        raise CheckpointRefused(f"checkpoint: its memory can't be unpacked: {error}") from None
    return {**state, "host": {**state["host"], "memory": {**state["host"]["memory"], "runs": runs}}}
