"""What a request costs does not grow with how many there are, how many guests, how many in flight: counted, not timed."""

import random
import sys

import pytest

from vmio.experiments import disk, times, trace
from vmio.experiments.disk import DiskParams
from vmio.experiments.inflight import Ranges

MODES = {"emulated DMA": dict(transfer="dma"), "split": dict(mode="split"), "passthrough": dict(mode="passthrough"),
         "passthrough strict": dict(mode="passthrough", iommu="strict")}


def lines_of_a_run(count, reads=70, **params):
    """Lines of Python that a run of `count` requests executes."""
    requests = trace.mixed(count, 4096, reads, random=True)
    lines, before = 0, sys.gettrace()

    def step(frame, event, arg):
        nonlocal lines
        lines += event == "line"
        return step
    sys.settrace(step)
    try:
        disk.run(DiskParams(**params), requests, disk.pattern(32))
    finally:
        sys.settrace(before)
    return lines


def lines_a_request(count, guests=1, **params):
    """Lines for each request beyond the first few of each guest, which also pay for the set-up."""
    few = lines_of_a_run(4, guests=guests, **params)
    return (lines_of_a_run(4 + count, guests=guests, **params) - few) / (count * guests)


@pytest.mark.parametrize("mode", MODES)
def test_a_request_costs_no_more_when_there_are_many(mode):
    params = dict(MODES[mode], queue_depth=8)
    lines_of_a_run(4, **params)                    # whatever is read only once
    assert lines_a_request(512, **params) < 1.05 * lines_a_request(64, **params)


@pytest.mark.parametrize("reads", [100, 70, 0], ids="{} % reads".format)
@pytest.mark.parametrize("mode", [mode for mode in MODES if "emulated" not in mode])
def test_a_request_costs_no_more_with_many_in_flight(mode, reads):
    lines_of_a_run(4, **MODES[mode])
    few, many = (lines_a_request(400, reads=reads, queue_depth=depth, **MODES[mode]) for depth in (8, 256))
    assert many < 1.1 * few


@pytest.mark.parametrize("mode", MODES)
def test_a_request_costs_no_more_with_many_guests(mode):
    params = dict(MODES[mode], queue_depth=8)
    lines_of_a_run(4, **params)
    assert lines_a_request(12, guests=24, **params) < 1.2 * lines_a_request(12, guests=3, **params)


class Counted(list):
    """A list that counts how many of its members were looked at or copied."""

    looked = 0

    def __getitem__(self, at):
        found = super().__getitem__(at)
        Counted.looked += len(found) if isinstance(at, slice) else 1
        return found

    def __iter__(self):
        for one in super().__iter__():
            Counted.looked += 1
            yield one


def looks(count):
    """How often `common` looks at two lists of `count` spans each."""
    Counted.looked = 0
    found = times.common(Counted((10 * n, 10 * n + 8) for n in range(count)), Counted((10 * n + 5, 10 * n + 12) for n in range(count)))
    assert times.length(found) == 3 * count + 2 * (count - 1)
    return Counted.looked


def test_common_looks_at_each_span_a_few_times():
    assert looks(8000) == pytest.approx(8 * looks(1000), rel=0.01)


def test_common_is_what_lies_in_both():
    chance = random.Random(5)
    for _ in range(300):
        one, other = (times.union([(at, at + chance.randrange(6)) for at in chance.sample(range(60), chance.randrange(12))])
                      for _ in range(2))
        inside = [{at for low, high in spans for at in range(low, high)} for spans in (one, other)]
        found = times.common(one, other)
        assert sorted(at for low, high in found for at in range(low, high)) == sorted(inside[0] & inside[1])


def test_ranges_meet_as_sets_of_sectors_do():
    chance = random.Random(7)
    ranges, there = Ranges(), []
    for _ in range(3000):
        lba = chance.randrange(200)
        end = lba + (chance.randrange(1, 9) if chance.randrange(8) else chance.randrange(1, 150))
        assert ranges.meet(lba, end) == any(low < end and lba < high for low, high in there)
        if chance.randrange(2) and len(there) < 12:
            ranges.add(lba, end)
            there.append((lba, end))
        elif there:
            ranges.remove(*there.pop(chance.randrange(len(there))))
    assert there


def test_ranges_with_many_in_flight_are_found_in_few_looks():
    """1,000 requests of 8 sectors: a neighbour is found free by looking at its own blocks."""
    ranges = Ranges()
    for n in range(1000):
        ranges.add(16 * n, 16 * n + 8)
    assert max(len(counts) for table in ranges._tables.values() for counts in table.values()) == 1
    assert not ranges.meet(8, 16) and not ranges.meet(15_992, 16_100) and ranges.meet(15_991, 16_100)
