"""A model that is served: every answer is right in every setting, exits are those of calls and sleeps, and each way has its limits."""

from bisect import bisect_right
from dataclasses import replace
from math import isclose

import pytest

from vmio.experiments import digits, serving
from vmio.experiments.serving import HUGE_CALL, START_NS, ServingParams, in_parts, run
from vmio.experiments.serving_params import BULLIES, WAYS
from vmio.experiments.serving_requests import Requests, poisson
from vmio.hardware.accelerator.registers import LIMIT_NS

FEW = ServingParams(count=60)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bully", BULLIES)
@pytest.mark.parametrize("batch, wait_us", [(1, 0), (16, 50)])
def test_every_answer_is_the_known_one(way, bully, batch, wait_us):
    result = run(replace(FEW, way=way, bully=bully, batch=batch, wait_us=wait_us))
    assert [(one.images, one.wrong) for one in result.tenants] == [(60, 0)] * 3
    assert all(min(one.latencies) > 0 and sum(one.exits_by_instruction.values()) == one.exits for one in result.tenants)
    assert 0 < result.busy <= 100.0000001 and 0 < result.fairness <= 1


def test_the_known_answers_are_those_of_the_lesson():
    said = serving.known(32)
    assert sum(one == label for one, label in zip(said, digits.load().labels, strict=True)) == 437


def test_a_wrong_answer_would_be_seen(monkeypatch):
    said = bytearray(serving.known(32))
    said[7] ^= 1
    monkeypatch.setattr(serving, "known", lambda hidden: bytes(said))
    assert run(FEW).wrong == 3


@pytest.mark.parametrize("way", ["service", "functions"])
@pytest.mark.parametrize("hidden", [8, 512])
def test_other_models_are_served_too(way, hidden):
    assert run(replace(FEW, way=way, hidden=hidden, count=12)).wrong == 0


@pytest.mark.parametrize("way, of_a_call", [("service", {"VMCALL": 1, "HLT": 1}), ("functions", {"HLT": 1}), ("engines", {"HLT": 1})])
def test_a_call_has_the_exits_of_its_mode_and_at_most_one_more_sleep_before_it(way, of_a_call):
    for one in run(replace(FEW, way=way)).tenants:
        assert set(one.exits_by_instruction) == set(of_a_call) and one.exits_by_instruction.get("VMCALL", 0) == one.calls * of_a_call.get("VMCALL", 0)
        sleeps = one.exits_by_instruction["HLT"] - one.calls
        assert 0 < sleeps <= one.calls + 2


def test_larger_batches_cost_fewer_exits_and_longer_waits():
    runs = [run(replace(FEW, batch=batch, wait_us=200)) for batch in (1, 4, 16)]
    assert [one.exits_per_image for one in runs] == sorted((one.exits_per_image for one in runs), reverse=True)
    assert [one.tenants[0].percentile(50) for one in runs] == sorted(one.tenants[0].percentile(50) for one in runs)


def test_two_runs_are_one_and_parts_end_with_it():
    whole = run(FEW)
    parts = list(in_parts(FEW, 3))
    assert run(FEW) == whole == parts[-1] and len(parts) == 3
    assert [min(one.images for one in part.tenants) >= least for part, least in zip(parts, (20, 40, 60))] == [True] * 3
    assert parts[0].tenants[0].latencies == whole.tenants[0].latencies[:parts[0].tenants[0].images]
    assert run(replace(FEW, seed=2)) != whole


# Bullies.

@pytest.mark.parametrize("bully", BULLIES[1:])
def test_who_has_an_engine_of_its_own_does_not_notice_a_bully(bully):
    alone, beside = (run(replace(FEW, way="engines", bully=each)) for each in ("nobody", bully))
    assert alone.tenants == tuple(replace(one, engine_ns=other.engine_ns) for one, other in zip(beside.tenants, alone.tenants))
    assert beside.bully.engine_ns > 0.9 * beside.ns


def test_the_host_refuses_a_job_without_an_end_and_the_engine_ends_it():
    service, functions = (run(replace(FEW, way=way, bully="an endless job")) for way in ("service", "functions"))
    assert (service.bully.ended, service.bully.engine_ns) == (0, 0) and service.bully.refused > 5
    assert (functions.bully.refused, functions.bully.images) == (0, 0) and functions.bully.engine_ns > functions.ns / 2
    long = run(replace(FEW, way="functions", bully="an endless job", rate=10_000)).bully
    assert long.ended == long.engine_ns // LIMIT_NS == 3


@pytest.mark.parametrize("way", ["service", "functions"])
def test_shorter_slices_shelter_the_tenants_and_slow_the_bully(way):
    runs = {us: run(replace(FEW, way=way, bully="huge calls", slice_us=us)) for us in (16, 256, 1024)}
    p99 = [one.worst.percentile(99) for one in runs.values()]
    assert p99 == sorted(p99) and p99[-1] > 8 * p99[0]
    assert all(one.bully.images % HUGE_CALL == 0 for one in runs.values())
    rates = [one.bully.engine_ns / one.ns for one in runs.values()]
    assert rates == sorted(rates) if way == "service" else min(rates) > 0.9
    assert {one.wrong for one in runs.values()} == {0}


def test_in_the_service_a_slice_as_short_as_a_switch_leaves_little_but_switches():
    tiny, short = (run(replace(FEW, way="service", bully="huge calls", slice_us=us)) for us in (1, 16))
    assert tiny.switches > short.switches and tiny.worst.percentile(99) > 3 * short.worst.percentile(99)


def test_without_batches_the_service_has_switches_only():
    alone, many = run(replace(FEW, way="service", batch=1)), run(replace(FEW, way="service", batch=16))
    assert alone.switches == pytest.approx(3 * 60, abs=4)
    assert max(one.per_second for one in alone.tenants) < 0.3 * 40_000 < 0.7 * 40_000 < min(one.per_second for one in many.tenants)


# Requests.

def test_requests_come_without_a_memory():
    times = poisson(20_000, 50_000, 1000, "x")
    gaps = [b - a for a, b in zip([1000, *times], times)]
    mean = sum(gaps) / len(gaps)
    assert isclose(mean, 20_000, rel_tol=0.02)
    assert isclose(sum(each * each for each in gaps) / len(gaps), 2 * mean * mean, rel_tol=0.05)          # exponential: E[x^2] = 2 E[x]^2
    assert isclose(sum(gap > 20_000 for gap in gaps) / len(gaps), 0.3679, rel_tol=0.03)                  # 1/e
    assert times == poisson(20_000, 50_000, 1000, "x") != poisson(20_000, 50_000, 1000, "y")


def test_a_call_is_due_when_it_is_full_or_its_first_has_waited():
    requests = Requests([10, 20, 30, 500, 510], 3, 100)
    assert requests.due_ns == 30
    requests.taken = 3
    assert requests.due_ns == 600
    requests = Requests([10, 20, 30, 500, 510], 1, 100)
    assert requests.due_ns == 10
    assert Requests([10, 400], 4, 100).due_ns == 110


def test_each_call_had_what_was_there():
    """The rule, told again from the latencies: no call before it was due, none with more than a batch."""
    params = replace(FEW, tenants=1, batch=4, wait_us=60)
    one = run(params).tenants[0]
    times = poisson(params.count, params.rate, START_NS, "1 1")
    ends = [time + each for time, each in zip(times, one.latencies)]
    at, calls = 0, 0
    while at < len(times):
        last = bisect_right(ends, ends[at]) - 1
        assert last - at < 4 and (last - at == 3 or ends[at] - times[at] > 60_000)
        at, calls = last + 1, calls + 1
    assert calls == one.calls


# What can't be.

@pytest.mark.parametrize("told, words", [
    ({"way": "magic"}, "way 'magic': choose one of service, functions, engines"), ({"tenants": 8}, "tenants 8: 1 to 7"), ({"rate": 0}, "rate 0: 1,000 to"),
    ({"batch": 257}, "batch 257: 1 to 256"), ({"wait_us": -1}, "wait_us -1: 0 to 10,000"), ({"bully": "me"}, "bully 'me': choose one of nobody"),
    ({"slice_us": 0}, "slice_us 0: 1 to 4,096"), ({"hidden": 513}, "hidden 513: 1 to 512"), ({"count": 0}, "count 0: 1 to 100,000"),
    ({"costs": "none"}, "cost preset 'none'")])
def test_parameters_that_cannot_be(told, words):
    with pytest.raises(ValueError, match=words):
        run(ServingParams(**told))


def test_the_table_has_a_line_for_each_guest():
    result = run(replace(FEW, bully="huge calls"))
    lines = result.table().splitlines()
    assert [line.split("  ")[0] for line in lines[3:]] == ["tenant 1", "tenant 2", "tenant 3", "bully"]
    told = result.to_dict()
    assert told["schema"] == "vmio.serving/1" and [one["p99_ns"] for one in told["tenants"]] == [one.percentile(99) for one in result.tenants]
