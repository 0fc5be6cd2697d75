"""The benchmarks' way of measuring, with a clock that the work itself moves."""

import json

import pytest

from vmio import bench
from vmio.bench import disk, growth, net, setup
from vmio.bench.steady import Steady
from vmio.experiments.disk import DiskParams


class Clock:
    """Processor time in ns, which only work takes; a burst makes one sample dearer."""

    def __init__(self):
        self.now, self.log, self.bursts = 0, [], {}

    def __call__(self):
        return self.now

    def work(self, name, each_ns):
        """Work for a sampler: n operations of `each_ns`."""
        def work(count):
            self.log.append((name, count))
            self.now += count * each_ns + self.bursts.get(len(self.log), 0)
        return work


def test_samples_are_equally_long_and_take_turns():
    clock = Clock()
    cheap, dear = (bench.sampler(clock.work(name, ns), clock) for name, ns in (("cheap", 100), ("dear", 40_000)))
    del clock.log[:]
    assert bench.turns({"cheap": cheap, "dear": dear}, rounds=3) == {"cheap": [100, 100, 100], "dear": [40_000, 40_000, 40_000]}
    assert clock.log == [("cheap", 20_000), ("dear", 50)] * 3     # 2 ms each
    assert clock.log[0][1] * 100 == clock.log[1][1] * 40_000 == bench.SAMPLE_NS < 3_000_000


def test_what_takes_longer_than_a_sample_is_sampled_one_by_one():
    clock = Clock()
    assert bench.sampler(clock.work("slow", 9_000_000), clock)() == 9_000_000
    assert clock.log == [("slow", 1), ("slow", 1)]


def test_work_that_goes_a_little_too_far_says_how_far():
    clock = Clock()

    def work(count):
        done = -(-count // 16) * 16
        clock.now += done * 1000
        return done
    assert [bench.sampler(work, clock)() for _ in range(3)] == [1000, 1000, 1000]


def test_a_whole_that_cannot_be_cut_is_done_once_a_sample():
    clock = Clock()
    work = clock.work("run", 700)
    assert bench.cost(lambda: work(1), clock)() == 700 and clock.log == [("run", 1)]


def test_a_burst_on_one_side_leaves_the_median_of_the_ratios():
    clock = Clock()
    one, other = (bench.sampler(clock.work(name, ns), clock) for name, ns in (("one", 300), ("other", 200)))
    clock.bursts = {len(clock.log) + at: 50_000_000 for at in (1, 4)}      # in the first and the second round
    samples = bench.turns({"one": one, "other": other}, rounds=7)
    found = bench.row("ratio", bench.ratios(samples["one"], samples["other"]), "at most 2")
    assert found.value == pytest.approx(1.5, rel=1e-3) and max(samples["one"]) > 20 * 300 and max(samples["other"]) > 20 * 200
    assert found.low < 1.5 < found.high and found[0] == "ratio" and found.target == "at most 2"


def test_a_row_is_the_median_and_where_four_fifths_of_the_samples_lie():
    assert bench.row("what", list(range(11))) == ("what", 5, 1, 9, "")
    assert bench.row("what", [3.5], "few") == ("what", 3.5, 3.5, 3.5, "few")


def test_ratios_are_of_the_same_round():
    assert bench.ratios([2, 8], [1, 2]) == [2, 4]
    with pytest.raises(ValueError):
        bench.ratios([1], [1, 2])


def test_json_is_one_object_with_a_schema(capsys, monkeypatch):
    monkeypatch.setattr("vmio.bench.exits.measure", lambda: [bench.row("OUT", [1, 2, 3], "at most 4")])
    bench.main("exits", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "schema": "vmio.bench/1", "exits": {"OUT": 2}, "spread": {"exits": {"OUT": [1.2, 2.8]}}}
    bench.main("exits")
    assert capsys.readouterr().out.split() == ["exits", "OUT", "2.000", "(1.200", "to", "2.800)", "at", "most", "4"]


def test_an_unknown_benchmark_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="benchmark 'speed': choose one of exits, disk, dirty, net, setup, start"):
        bench.main("speed")


@pytest.mark.parametrize("params", [
    dict(transfer="dma"), dict(mode="split", queue_depth=8), dict(mode="split", guests=3), dict(mode="passthrough", queue_depth=4)],
    ids=str)
def test_a_steady_machine_goes_on_by_so_many_reads(params):
    machine = Steady(reads=400, **params)
    assert all(guest.latencies for guest in machine.guests)
    for _ in range(5):
        before = sum(len(guest.latencies) for guest in machine.guests)
        done = machine(20)
        assert 20 + -20 % len(machine.guests) <= done < 30 and done == sum(len(guest.latencies) for guest in machine.guests) - before


@pytest.mark.parametrize("params", [params for _, params, _ in disk.SUBJECTS] + [*setup.SUBJECTS.values(), *growth.MODES.values()],
                         ids=str)
def test_what_is_measured_are_parameters_of_a_run(params):
    assert DiskParams(**params).check()


@pytest.mark.parametrize("what, mode, inward", net.SUBJECTS)
def test_frames_of_the_benchmark_arrive(what, mode, inward):
    traffic = net.Traffic(mode, inward)
    before = traffic.count
    assert traffic(20) >= 20 and traffic.count - before >= 20 and before >= 16
