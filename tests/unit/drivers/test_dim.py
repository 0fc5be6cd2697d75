"""Adaptive moderation: the decisions of Linux's own, compiled, over 3,000 interrupts of five loads; and what each rule is for."""

import json
from pathlib import Path

import pytest

from vmio.drivers.dim import INTERRUPTS, LEVELS_US, MOST_STEPS, Dim, Rates, Walk, compare

RECORDED = json.loads(Path(__file__).with_name("dim_samples.json").read_text(encoding="utf-8"))


def test_decides_as_linux_did():
    dim, decisions = Dim(), []
    for n, (ns, packets, size) in enumerate(RECORDED["samples"]):
        level, walk = dim.level, dim.walk
        changed = dim.interrupt(ns, packets, size)
        assert changed == (dim.level != level)
        if (dim.level, dim.walk) != (level, walk):
            decisions.append({"sample": n, "from": level, "to": dim.level, "state": dim.walk.value, "right": dim.right, "left": dim.left,
                              "tired": dim.steps})
    assert len(RECORDED["samples"]) == 3000 and len(decisions) == 27
    assert decisions == RECORDED["decisions"]


@pytest.mark.parametrize(("now", "before", "verdict"), [
    (Rates(9, 1000, 9), Rates(), 1), (Rates(), Rates(), 0),
    (Rates(9, 1110, 9), Rates(9, 1000, 9), 1), (Rates(9, 1109, 9), Rates(9, 1000, 9), 0), (Rates(9, 890, 9), Rates(9, 1000, 9), -1),
    (Rates(5, 1000, 9), Rates(9, 1000, 9), -1), (Rates(9, 1000, 5), Rates(9, 1000, 9), 1), (Rates(9, 1000, 12), Rates(9, 1000, 9), -1)])
def test_bytes_count_before_packets_before_interrupts(now, before, verdict):
    assert compare(now, before) == verdict


def feed(dim, packets_a_ms, decisions, start=(0, 0)):
    """Interrupts every 10 us with that load, until so many decisions are due; returns (ns, packets)."""
    ns, packets = start
    for _ in range(decisions * (INTERRUPTS + 1)):
        ns += 10_000
        packets += packets_a_ms(dim.level) * 10_000 // 1_000_000
        dim.interrupt(ns, packets, packets * 1000)
    return ns, packets


def test_walks_to_where_more_gets_through_and_parks_there():
    dim = Dim()
    feed(dim, lambda level: 1000 * (1, 2, 3, 4, 5)[level], 12)
    assert dim.us == LEVELS_US[-1] == 256 and dim.walk == Walk.ON_TOP
    dim = Dim()
    feed(dim, lambda level: 1000 * (1, 2, 5, 2, 1)[level], 9)
    assert dim.us == 64 and dim.walk == Walk.ON_TOP


def test_a_load_that_says_nothing_makes_it_tired():
    dim, place, seen = Dim(), (0, 0), []
    for _ in range(40):
        place = feed(dim, lambda level: 1000, 1, place)
        seen.append((dim.walk, dim.steps))
    assert max(steps for _, steps in seen) == MOST_STEPS and Walk.TIRED in [walk for walk, _ in seen]


def test_no_time_is_no_measurement():
    dim = Dim()
    for n in range(5 * INTERRUPTS):
        assert not dim.interrupt(7, n, 100 * n)
    assert Rates.between((0, 0, 0), (999, 5, 5)) is None
    assert Rates.between((0, 0, 0), (1000, 5, 7)) == Rates(5000, 7000, 64_000)
    assert Rates.between((0, 0, 0), (3_000_000, 10, 3001)) == Rates(4, 1001, 22)       # rounded up
