"""What a real processor said, for hosts that have none to ask: data/kvm-recorded.json.

    python -m vmio.processors.kvm.recorded        on a host with a usable /dev/kvm: replaces that file

Lessons ask here.  Where /dev/kvm is usable the answer is a live one, elsewhere
the recorded one.  Counts are the same on every host, so text made of them
is too; times are not.
"""

import json
import sys
from functools import cache
from typing import Any

from vmio import console, data
from vmio.hypervisor.costs import CostModel, recorded
from vmio.machine import files
from vmio.processors.kvm import probe, steps
from vmio.processors.kvm.programs import ALL

NEVER_MAPPED = 0xD000_0000                       # guest-physical: no slot, no device
# What a guest may do to itself, and how it ends: machine code that no driver has.
FAULTS = {
    "HLT, which ring 3 may not": b"\xf4",
    "UD2, no instruction": b"\x0f\x0b",
    "a jump to where no memory is": b"\x48\xb8" + NEVER_MAPPED.to_bytes(8, "little") + b"\xff\xe0",   # MOV RAX; JMP RAX
    "a jump to itself, for ever": b"\xeb\xfe",
}
ORDERS = {"in a row": tuple(range(64)), "every seventh": tuple(range(0, 1024, 7)), "three": (5, 700, 1023)}    # pages of 1,024 that a loop writes
INTERRUPTS = 20
SHARERS = 2, 4                                   # machines that have one page of the host's
COUNTS = tuple(1 << n for n in range(10))        # how often a program of each kind is repeated: 1 to 512
_ROUNDS, _FEWER = 151, 5                         # of measuring: the smallest time is to be a quiet one


@cache
def live() -> tuple[bool, str]:
    """Return (True, "") where /dev/kvm can be asked, or (False, why not)."""
    return probe.usable()


@cache
def counts(kind: str, n: int) -> tuple[int, int]:
    """Return (exits to user space, rings) of `n` accesses of a kind in `steps.KINDS`."""
    if live()[0]:
        seen = steps.on_kvm(steps.KINDS[kind](n))
        return len(seen.exits), seen.rings
    return tuple(recorded()["counts"][kind][str(n)])


def seen(program: Any) -> Any:
    """Return the exits of a program as `steps` has them; where none can be run, what the rules say (a test holds both together)."""
    return steps.on_kvm(program) if live()[0] else steps.expected(program)


@cache
def end(fault: Any) -> Any:
    """Return how a guest ends that does what FAULTS says; it has 0.1 s."""
    if not live()[0]:
        return recorded()["ends"][fault]
    from vmio.processors.kvm.code import Code
    from vmio.processors.kvm.guest import Guest
    with Guest() as guest:
        return str(guest.run(Code().raw(FAULTS[fault]), seconds=0.1).end)


@cache
def dirty(order: str) -> list[list[int]]:
    """Return the pages that the kernel's dirty log names, each time that it is asked in `dirty_log.told`, for an order in its ORDERS."""
    if live()[0]:
        from vmio.processors.kvm import dirty_log
        return dirty_log.told(ORDERS[order])
    return recorded()["dirty"][order]


@cache
def shared_page(machines: int) -> Any:
    """Return what that many machines in SHARERS saw of one page of the host's, as `shared_page.told` has it."""
    if live()[0]:
        from vmio.processors.kvm import shared_page
        return shared_page.told(machines)
    return recorded()["shared"][str(machines)]


@cache
def interrupts(n: int) -> Any:
    """Return (handler runs, exits to user space) of a guest that executes OUT `n` times and is interrupted by irqfd at each.

    Recorded also where KVM is usable and has no interrupt controller in the kernel.
    """
    if live()[0]:
        from vmio.processors.kvm import irq
        from vmio.processors.kvm.guest import DATA, Guest
        try:
            with Guest(interrupts=True) as guest:
                interrupt = irq.Interrupt(guest, 0x40, DATA)
                code = irq.enable(steps.Code())
                for _ in range(n):
                    code.out(steps.PORT, 1)
                run = guest.run(code, lambda exit: interrupt.signal())
                return interrupt.taken(), len(run.exits) - 1
        except OSError:
            pass
    return tuple(recorded()["interrupts"][str(n)])


@cache
def replay(name: str) -> dict[str, Any]:
    """Return the replay of a case in `programs.ALL`: {"model", "kvm", "rings": exits by instruction, "differences": [...], ...}."""
    if live()[0]:
        from vmio.processors.kvm.replay import replay as run
        case = ALL[name]
        return run(case.record(), case.doorbells, case.signals).to_dict()
    return recorded()["replays"][name]


@cache
def times() -> Any:
    """Return (host, {access: row of `measure`, as a dict}); measured once in a process."""
    if live()[0]:
        from vmio.processors.kvm import measure
        return measure.host(), {row.name: row._asdict() for row in measure.measure(rounds=_FEWER)}
    return recorded()["host"], {row["name"]: row for row in recorded()["exits"]}


@cache
def offer_this_host() -> Any:
    """Measure, and put "this-host" beside the cost presets.  Returns the model, or None where nothing can be measured."""
    if not live()[0]:
        return None
    host, rows = times()
    model = CostModel.measured({name: row["low"] for name, row in rows.items()}, "this-host")
    model.offer(f"this host ({host['cpu']})")
    return model


def main() -> None:
    """Record everything that lessons ask for; ValueError where nothing can be recorded."""
    works, reason = live()
    if not works:
        raise ValueError(f"nothing can be recorded: {reason}")
    from vmio.processors.kvm import measure
    kept = ("end", "differences", "model", "kvm", "rings", "bytes_read")
    files.write_text(data.checkout("data/kvm-recorded.json"), json.dumps({
        "host": measure.host(),
        "exits": measure.to_dict(measure.measure(rounds=_ROUNDS)),
        "counts": {kind: {n: counts(kind, n) for n in COUNTS} for kind in steps.KINDS},
        "ends": {fault: end(fault) for fault in FAULTS},
        "dirty": {order: dirty(order) for order in ORDERS},
        "shared": {machines: shared_page(machines) for machines in SHARERS},
        "interrupts": {INTERRUPTS: interrupts(INTERRUPTS)},
        "replays": {name: {key: replay(name)[key] for key in kept} for name in ALL}}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(console.run("vmio.processors.kvm.recorded", main))
