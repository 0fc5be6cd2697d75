"""What a real processor said, for hosts that have none to ask: data/kvm-recorded.json.

    python -m vmio.kvm.recorded > data/kvm-recorded.json       on a host with a usable /dev/kvm

Lessons ask here.  Where /dev/kvm is usable the answer is a live one, elsewhere
the recorded one.  Counts are the same on every host, so text made of them
is too; times are not.
"""

import json
from functools import cache

from vmio.hypervisor.costs import CostModel, recorded
from vmio.kvm import probe, steps
from vmio.kvm.programs import CASES

COUNTS = tuple(1 << n for n in range(10))        # how often a program of each kind is repeated: 1 to 512
_ROUNDS = 51                                     # of measuring: the smallest time is to be a quiet one


@cache
def live():
    """(True, "") where /dev/kvm can be asked, or (False, why not)."""
    return probe.usable()


@cache
def counts(kind, n):
    """(exits to user space, rings) of `n` accesses of a kind in `steps.KINDS`."""
    if live()[0]:
        seen = steps.on_kvm(steps.KINDS[kind](n))
        return len(seen.exits), seen.rings
    return tuple(recorded()["counts"][kind][str(n)])


@cache
def replay(name):
    """The replay of a case in `programs.CASES`: {"model", "kvm", "rings": exits by instruction, "differences": [...], ...}."""
    if live()[0]:
        from vmio.kvm.replay import replay as run
        case = CASES[name]
        return run(case.record(), case.doorbells, case.signals).to_dict()
    return recorded()["replays"][name]


@cache
def times():
    """(host, {access: row of `measure`, as a dict}); measured once in a process."""
    if live()[0]:
        from vmio.kvm import measure
        return measure.host(), {row.name: row._asdict() for row in measure.measure()}
    return recorded()["host"], {row["name"]: row for row in recorded()["exits"]}


@cache
def offer_this_host():
    """Measure, and put "this-host" beside the cost presets.  The model, or None where nothing can be measured."""
    if not live()[0]:
        return None
    host, rows = times()
    model = CostModel.measured({name: row["low"] for name, row in rows.items()}, "this-host")
    model.offer(f"this host ({host['cpu']})")
    return model


def main():
    """Record everything that lessons ask for."""
    works, reason = live()
    if not works:
        raise SystemExit(f"nothing can be recorded: {reason}")
    from vmio.kvm import measure
    kept = ("end", "differences", "model", "kvm", "rings", "bytes_read")
    print(json.dumps({
        "host": measure.host(),
        "exits": measure.to_dict(measure.measure(rounds=_ROUNDS)),
        "counts": {kind: {n: counts(kind, n) for n in COUNTS} for kind in steps.KINDS},
        "replays": {name: {key: replay(name)[key] for key in kept} for name in CASES}}, indent=1))


if __name__ == "__main__":
    main()
