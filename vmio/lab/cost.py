"""What an answer costs on a machine, beside the reference's cost on the same: exits, signals, interrupts, each counted.

An exercise's check.py says how: `cost(answer, **settings)` puts a machine together, runs the answer on it and returns
{what: count}; its docstring says what is run, with the settings in braces.  Of a guest's processor `meter` reads what was counted.
"""

from collections.abc import Callable
from typing import Any

from vmio.hypervisor.vcpu import VCpu
from vmio.lab import apart, inside
from vmio.lab.answer import RanTooLong, StepLimit, files_of, reason, where
from vmio.table import table

Counts = dict[str, int]
INSTRUCTION = " "       # of a line that is a part of the exits


def meter(cpu: VCpu) -> Callable[[], Counts]:
    """Begin to count; the function that it returns says what came since: exits, by instruction and by who answers, and interrupts."""
    before, worker, interrupts = cpu.exits.by_instruction(), _by_worker(cpu), cpu.interrupts

    def read() -> Counts:
        exits = cpu.exits.by_instruction()
        exits.subtract(before)
        return {"exits": exits.total(), **{f"{INSTRUCTION}{name}": count for name, count in exits.items() if count},
                "to the worker": _by_worker(cpu) - worker, "interrupts": cpu.interrupts - interrupts}
    return read


def _by_worker(cpu: VCpu) -> int:
    return cpu.exits.by(lambda row: row.handler)["worker"]


def count(cost: Callable[..., Counts], answer: Any, settings: dict[str, Any], steps: int, limits: apart.Limits) -> Counts | str:
    """Return what a run of `answer` in a process of its own counts; why there is nothing, in a few words, where it comes to no end."""
    def work() -> list[Counts | str]:
        watch = StepLimit(files_of(answer), steps, lambda: inside.leave([f"no end after {steps:,} steps"]))
        try:
            with watch:
                return [cost(answer, **settings)]
        except RanTooLong:
            return [f"no end after {steps:,} steps"]
        except BaseException as error:  # noqa: BLE001  whatever an answer raises, there is a sentence on it
            return [f"error in your code{where(error, watch.files)}: {reason(error)}"]

    ending = apart.run(work, limits)
    match ending.data:
        case [str(why)]:
            return why
        case [dict() as counts] if all(isinstance(count, int) for count in counts.values()):
            return {str(name): count for name, count in counts.items()}
    return ending.why or apart.FORGED


def table_of(yours: Counts, reference: Counts, what: str) -> str:
    """Return the counts of both as a table, with `what` was run as its title."""
    names = dict.fromkeys((*reference, *yours))
    parts = [name for name in names if name.startswith(INSTRUCTION)]
    rows = []
    for name in (name for name in names if name not in parts):
        rows += [(one, yours.get(one, 0), reference.get(one, 0)) for one in (name, *(parts if name == "exits" else ()))]
    return table(rows, ("counted", "yours", "reference"), "<>>", title=what)
