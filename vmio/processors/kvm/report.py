"""All drivers of `programs`, recorded and replayed: what the model counts and what KVM does, side by side."""

from collections.abc import Collection, Mapping
from typing import Any

from vmio.processors.kvm.programs import CASES
from vmio.processors.kvm.replay import Replay, replay
from vmio.table import table


def run(names: Collection[str] = CASES) -> dict[str, Replay]:
    """Return {name: `Replay`} of these `CASES`."""
    return {name: replay(case.record(), case.doorbells, case.signals)
            for name, case in CASES.items() if name in names}


def to_table(replays: Mapping[str, Replay]) -> str:
    """Return one row for each driver and instruction, then what differs that no rule explains."""
    rows = []
    for name, one in replays.items():
        rules = one.rules
        rows += [(name, instruction, count, one.kvm[instruction], one.rings[instruction], rules.get(instruction, ""))
                 for instruction, count in one.model.items()]
        rows.append((name, f"all; {one.read:,} bytes read, {'equal' if one.equal else 'NOT equal'}",
                     one.model.total(), one.kvm.total(), one.rings.total(), ""))
    lines = [table(rows, ("driver", "exits by instruction", "model", "KVM", "rings", "because"))]
    lines += [f"{name}: {difference}" for name, one in replays.items() for difference in one.differences]
    return "\n".join(lines)


def to_dict(replays: Mapping[str, Replay]) -> dict[str, Any]:
    """Return plain data for JSON."""
    return {name: {"title": CASES[name].title} | one.to_dict() for name, one in replays.items()}
