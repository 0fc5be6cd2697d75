"""Tables and panel of *Run on real hardware*: the same accesses on the model and on a real processor, live or as recorded.

What is counted is the same text either way; only `where` and what holds
wall-clock time say which it is.
"""

from collections.abc import Iterable
from functools import lru_cache
from textwrap import fill
from typing import Any

from vmio.hypervisor.costs import PRESETS, CostModel
from vmio.lab import charts
from vmio.lab.controls import choice, log2_slider
from vmio.lab.panel import Panel, Shown
from vmio.processors.kvm import reads, recorded, steps
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.programs import CASES
from vmio.table import table

COUNT = 64
RUNGS = ("hypercall_ns", "lookup_ns", "emulate_ns", "user_space_ns")
# What a guest reaches and what it doesn't: one instruction each.
REACHES = (
    ("RAM, last word", ("store", steps.RAM_BYTES - 4)), ("a mapped BAR, last word", ("store", steps.BAR + 4092)),
    ("one word further", ("store", steps.BAR + 4096)), ("a read-only page, read", ("load", steps.ROM)),
    ("a read-only page, write", ("store", steps.ROM)), ("no memory at all", ("load", recorded.NEVER_MAPPED)))


def _word() -> str:
    return "live" if recorded.live()[0] else "recorded"


def where() -> str:
    """Live or recorded, why, and on which machine."""
    works, reason = recorded.live()
    host, _ = recorded.times()
    machine = (f"{host['cpu']}, Linux {host['kernel']}, Python {host['python']}"
               + (", itself a virtual machine" if host["nested"] else ""))
    if works:
        return fill(f"LIVE. This host runs guests under KVM: {machine}.", 100)
    return fill(f"RECORDED. No guest can be run here: {reason}.", 100) + f"\nWhat follows was recorded elsewhere: {machine}."


def counts(kind: str, n: int = COUNT) -> tuple[int, int]:
    """(exits to user space, doorbell rings) of `n` accesses on the real processor."""
    return recorded.counts(kind, n)


def bytes_table() -> str:
    """A few instructions as the processor gets them."""
    rows = [(name, bytes(code).hex(" ")) for name, code in (
        ("OUT 3F8h, 'A'", Code().out(0x3F8, 0x41)), ("IN 3FDh", Code().in_(0x3FD)),
        ("REP OUTSB, 64 bytes", Code().rep_outs(0x3F8, steps.RAM, 64)), ("MOV [FEB01000h], 1", Code().store(steps.DOORBELL, 1)))]
    return table(rows, ("instruction", "machine code"))


def kinds_table(n: int = COUNT) -> str:
    """Every kind of access: exits on the model, exits that user space sees, and why."""
    rows = [(kind, steps.on_model(make(n)).exits, *counts(kind, n), steps.WHY.get(kind, ""))
            for kind, make in steps.KINDS.items()]
    return table(rows, (f"{n} accesses", "model", "KVM", "rings", "why"))


def drivers_table() -> str:
    """Whole drivers: exits on the model, exits and rings under KVM, bytes that they read, differences that no rule explains."""
    rows = []
    for name, case in CASES.items():
        one = recorded.replay(name)
        rows.append((case.title, sum(one["model"].values()), sum(one["kvm"].values()), sum(one["rings"].values()),
                     one["bytes_read"], len(one["differences"])))
    return table(rows, ("driver", "model", "KVM", "rings", "bytes read", "differences"))


def driver_table(name: str) -> str:
    """One driver by instruction."""
    one = recorded.replay(name)
    return table([(instruction, count, one["kvm"].get(instruction, 0), one["rings"].get(instruction, 0))
                  for instruction, count in one["model"].items()],
                 ("exits by instruction", "model", "KVM", "rings"), title=CASES[name].title)


def reads_table() -> str:
    """One read of 4 KiB in each mode: what our drivers, Linux's and KVM make of each part of it."""
    rows, found = [], reads.parts()
    for how in dict.fromkeys(part.how for part in found):
        mine = [part for part in found if part.how == how]
        for n, part in enumerate(mine):
            rows.append(("" if n else how, part.part, *map(_whole, (part.ours, part.linux, part.kvm)), part.why))
        ours, kvm = reads.totals(how) if how in reads.READS else [sum(getattr(part, side) for part in mine) for side in ("ours", "kvm")]
        rows.append(("", "all", *map(_whole, (ours, sum(part.linux or 0 for part in mine), kvm)), ""))
    return table(rows, ("4 KiB read", "to", "our exits", "Linux on QEMU", "our exits, KVM", "why they differ"), "<<>>><")


def _whole(number: float | None) -> float | None:
    """The number, whole if it is; None stays."""
    return int(number) if number is not None and number == int(number) else number


def reach_table() -> str:
    """What is mapped and what isn't: the exit, if there is one."""
    rows = []
    for what, instruction in REACHES:
        exits = recorded.seen([instruction]).exits
        rows.append((what, f"{instruction[0]} {instruction[1]:X}h", len(exits),
                     f"{exits[0][0].value} at {exits[0][1]:X}h" if exits else ""))
    return table(rows, ("access", "instruction", "exits", "what user space learns"))


def ends_table() -> str:
    """How guests end that break the rules."""
    return table([(fault, recorded.end(fault)) for fault in recorded.FAULTS], ("the guest does", "the run ends with"))


def interrupts_line() -> str:
    """irqfd in one sentence."""
    taken, exits = recorded.interrupts(recorded.INTERRUPTS)
    return (f"{recorded.INTERRUPTS} signals by irqfd: the guest's handler ran {taken} times, "
            f"{exits - recorded.INTERRUPTS} exits to user space for them")


def times_table() -> str:
    """Wall-clock time of an access, live or recorded."""
    _, rows = recorded.times()
    null = rows["CPUID"]["low"]
    return table([(name, f"{row['low']:,.1f}", f"{row['ns']:,.1f}", f"{row['low'] / null:.2f}") for name, row in rows.items()],
                 (_word(), "least ns", "median ns", "CPUIDs"), "<>>>")


def prices_table(names: Iterable[str] | None = None) -> str:
    """The ladder's four rungs by preset, and what an exit to user space costs beside one that the kernel answers."""
    rows = []
    for name in names or PRESETS:
        model = CostModel.preset(name)
        kernel, user = model.access_ns("hypervisor", False), model.access_ns("worker", False)
        rows.append((name, *(getattr(model, rung) for rung in RUNGS), kernel, user, f"{user / kernel:.1f}"))
    return table(rows, ("preset", "null exit", "look up", "decode", "user space", "kernel OUT", "user OUT", "ratio"))


def this_host_table() -> str:
    """The same for this host, measured now; where that can't be, for the one recorded."""
    return f"{_word()}\n" + prices_table(("server-2022", "this-host" if recorded.offer_this_host() else "kvm-recorded"))


@lru_cache(maxsize=4096)
def _model(kind: str, count: int, costs: str) -> Any:
    program = steps.KINDS[kind](count)
    _, rows = recorded.times()
    return kind, count, costs, steps.on_model(program, costs), counts(kind, count), rows[kind]["low"] * count


def _view(result: Any) -> Shown:
    kind, count, costs, model, (exits, rings), ns = result
    text = "\n".join([
        f"{count:,} x {kind}", f"exits on the model {model.exits:,}", f"KVM, to user space  {exits:,}",
        f"doorbell rings {rings:,}", steps.WHY.get(kind, "the same on both"), "",
        f"{costs}: {model.ns / 1000:,.1f} us", f"{_word()}: {max(ns, 0) / 1000:,.1f} us"])
    times = {"model": model.ns / 1000, _word(): max(ns, 0) / 1000}
    return text, [charts.bars("Exits and rings", {"model": model.exits, "KVM": exits, "rings": rings}, "times"),
                  charts.bars("Time", times, "us", log=True, color="device")]


def _idle(**params: Any) -> dict[str, str]:
    """Which controls change nothing, and why."""
    _, _, _, model, (exits, rings), ns = _model(**params)
    why = {} if model.exits else {"costs": "a preset prices exits, and the model has none"}
    if not (model.exits or exits or rings) and ns <= 0:
        why["count"] = "none of them exits, and they take less time than the measuring does"
    return why


def panel() -> Panel:
    """Any access, any number of times: the model's exits and its price, KVM's exits and their time."""
    recorded.offer_this_host()
    return Panel(_model, [
        choice("kind", steps.KINDS, "REP OUTSB", label="Access"),
        log2_slider("count", 1, recorded.COUNTS[-1], COUNT, label="How many"),
        choice("costs", PRESETS, "kvm-recorded", label="Cost preset")],
        _view, name="run_on_real_hardware", idle=_idle)
