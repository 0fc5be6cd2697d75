"""A cloud's storage: the same bytes whatever the way, who suffers from whom, and a function that comes while the guest runs."""

from dataclasses import replace
from functools import lru_cache

import pytest

from vmio.experiments.cloud import run
from vmio.experiments.cloud_params import BULLY, MIB, MS, VICTIM, CloudGuest, CloudParams
from vmio.experiments.cloud_result import Busy, rank
from vmio.experiments.cloud_variants import VARIANTS, WORK_CONSERVING, variant
from vmio.experiments.traces.request import Request

SHORT = CloudParams(duration_ns=300 * MS, moved_ns=30 * MS)


@lru_cache
def result(name):
    return run(variant(name, SHORT))


def test_every_variant_moves_the_same_bytes():
    digests = {name: tuple(one.sha256 for one in result(name).guests) for name in VARIANTS}
    assert len(set(digests.values())) == 1 and len(set(digests["no policy"])) == 8
    assert {name: [one.bytes for one in result(name).guests] for name in VARIANTS} == dict.fromkeys(
        VARIANTS, [one.bytes for one in result("no policy").guests])


def test_a_digest_is_of_what_was_read_and_what_was_written():
    def of(*requests):
        return run(CloudParams((CloudGuest("g", requests, 1000),), duration_ns=5 * MS))["g"].sha256
    read, write = Request("R", 0, 8), Request("W", 64, 8)
    digests = [of(read), of(read._replace(lba=8)), of(write), of(write._replace(lba=72)), of(read, write)]
    assert len(set(digests)) == 5


def p99(name, guest=VICTIM):
    return result(name)[guest].at(990)


def test_every_policy_keeps_the_bully_from_the_victim():
    assert result("no policy").kept() < 50
    for name in ("weights", "token buckets", "reservation"):
        assert p99(name) < p99("no policy") / 5 and result(name).kept() == 100


def test_a_function_saves_an_exit_and_does_not_isolate_the_medium():
    before, alone, turns = (result(name) for name in ("no policy", "victim's function", "victim's, by turns"))
    assert before[VICTIM].exits_a_request - alone[VICTIM].exits_a_request == pytest.approx(1, abs=0.1)      # the signal's
    assert alone[VICTIM].at(500) < before[VICTIM].at(500) - 5000
    assert alone[VICTIM].at(990) > 0.9 * before[VICTIM].at(990) and alone.kept() == before.kept()
    assert turns[VICTIM].at(990) < before[VICTIM].at(990) / 5 and turns.kept() == 100
    assert turns[VICTIM].exits_a_request == pytest.approx(alone[VICTIM].exits_a_request, abs=0.1)


def test_a_bully_with_a_function_is_out_of_the_policys_reach():
    assert p99("bully's function") > 5 * p99("reservation") and p99("bully's function") > 0.9 * p99("no policy")
    assert p99("bully's, by turns") < p99("reservation")


def test_limits_leave_the_disk_idle_while_somebody_waits():
    limited = result("token buckets")
    assert limited.busy < result("no policy").busy and limited.rate < result("no policy").rate
    assert limited[BULLY].at(500) > 20 * result("no policy")[BULLY].at(500)
    cap = limited[BULLY].guest.cap
    assert cap == 125 * MIB and 0.5 * cap < limited[BULLY].bytes * 1e9 / limited.ns <= cap


def saturated(name, trace, **changes):
    """A run in which the disk is the bottleneck: the end of the last request says how fast it was."""
    found = run(replace(variant(name, CloudParams(duration_ns=10 * MS).with_guest(
        BULLY, trace=trace, per_second=20_000, on_ns=100 * MS)), **changes))
    assert found.ns > 1.5 * found.params.duration_ns and found.busy > 99
    return found


def test_work_conserving_policies_move_as_much():
    found = [saturated(name, [Request("R", 0, 2048), Request("R", 2048, 2048)]) for name in WORK_CONSERVING]
    rates = [one.rate for one in found]
    assert max(rates) < 1.05 * min(rates) and found[0][VICTIM].at(990) > 5 * max(one[VICTIM].at(990) for one in found[1:])


def test_a_short_queue_at_the_disk_costs_throughput_when_reads_and_writes_mix():
    """They pass side by side; with few bytes at the disk only one kind is there at a time.  More of them are a longer tail."""
    fifo, short, long = (saturated(name, "stream_1m", window=window) for name, window in (
        ("no policy", None), ("weights", None), ("weights", 8 * MIB)))
    assert short.rate < 0.8 * fifo.rate and long.rate > 0.9 * fifo.rate
    assert short[VICTIM].at(990) < long[VICTIM].at(990) / 3


def test_the_function_comes_while_the_guest_runs():
    moved = result("victim's function")[VICTIM]
    assert moved.switched_ns > SHORT.moved_ns and moved.switched_ns < SHORT.moved_ns + MS
    late = sum(at >= moved.switched_ns for at in moved.came_ns)
    assert 0 < late <= moved.by_function < len(moved.came_ns) + 1
    assert all(one.switched_ns is None and one.by_function == 0 for one in result("victim's function").guests[1:])
    assert all(one.by_function == 0 for one in result("no policy").guests)


def test_equal_runs_are_equal_and_another_seed_is_not():
    short = replace(SHORT, duration_ns=40 * MS, moved_ns=4 * MS)
    one, two, other = run(short), run(short), run(replace(short, seed=2))
    assert one.rows() == two.rows() and one.busy_ns == two.busy_ns and one.rows() != other.rows()


def test_arrivals_are_poissons_and_stop_while_the_guest_is_off():
    guest = CloudGuest("g", per_second=10_000, on_ns=10 * MS, period_ns=50 * MS)
    at = list(guest.arrivals(5000 * MS, 1))
    assert at == sorted(at) and all(ns % (50 * MS) < 10 * MS for ns in at)
    assert len(at) == pytest.approx(10_000, abs=4 * 100)             # of a Poisson variable: four times the root of its mean
    gaps = [later - ns for ns, later in zip(at, at[1:]) if later - ns < 10 * MS]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(100_000, rel=0.04)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)      # 1/e of exponential gaps


def test_objective_windows_and_ranks():
    one = result("no policy")
    assert one.kept() < replace_objective(one, 100 * MS).kept() == 100
    assert replace_objective(one, 1).kept() == 0
    assert [rank(range(1, 1001), each) for each in (500, 990, 999, 1000)] == [500, 990, 999, 1000] and rank([], 990) == 0
    assert rank([7], 1) == 7


def replace_objective(one, objective_ns):
    return replace(one, params=replace(one.params, objective_ns=objective_ns))


def test_busy_spans_are_joined_and_cut():
    busy = Busy()
    for span in ((0, 10), (5, 7), (10, 20), (30, 40)):
        busy.begun("read", *span)
    assert busy.spans == [[0, 20], [30, 40]] and busy.within(0, 100) == 30 and busy.within(15, 35) == 10 and busy.within(21, 29) == 0


@pytest.mark.parametrize("change, said", [
    (dict(moved="nobody"), "moved 'nobody': choose one of victim, guest1"),
    (dict(moved_ns=300 * MS), "moved_ns 300,000,000: before the end, 300,000,000"),
    (dict(policy="best"), "policy 'best': choose one of fifo"),
    (dict(duration_ns=5), "duration_ns 5: 1,000,000 to"),
    (dict(guests=()), "guests 0: 1 to 16"),
    (dict(guests=(CloudGuest("a"), CloudGuest("a"))), "guests 2: 1 to 16, each with a name of its own"),
    (dict(guests=(CloudGuest("a", per_second=0),)), "guest a, per_second 0: 1 to"),
    (dict(guests=(CloudGuest("a", on_ns=2, period_ns=1),)), "guest a, on_ns 2: 1 to the period, 1"),
    (dict(guests=(CloudGuest("a", weight=0),)), "guest a, weight 0: 1 to 10,000"),
    (dict(guests=(CloudGuest("a", "nothing"),)), "trace 'nothing': choose one of"),
    (dict(guests=(CloudGuest("a", (Request("R", 65536, 8),)),)), "guest a, request 0: LBA 65536"),
    (dict(guests=(CloudGuest("a", ()),)), "guest a: its trace needs a request"),
    (dict(guests=(CloudGuest("a", (Request("D", 0, 8),)),)), "guest a: its trace needs a request, and reads, writes and flushes only"),
    (dict(arbitrated=True, function_weights=(0, 1)), "weight of a function 0: 1 to 256"),
])
def test_what_can_not_be_is_said(change, said):
    with pytest.raises(ValueError, match=said):
        run(replace(SHORT, **change))


def test_variants_and_guests_are_known_by_name():
    with pytest.raises(ValueError, match="variant 'best': choose one of no policy, weights"):
        variant("best")
    with pytest.raises(ValueError, match="guest 'nobody' weight: no such guest, or no such field"):
        SHORT.with_guest("nobody", weight=5)
    with pytest.raises(ValueError, match="guest 'victim' wight: no such guest, or no such field"):
        SHORT.with_guest(VICTIM, wight=5)
