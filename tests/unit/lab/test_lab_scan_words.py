"""What the text of *Scan in parallel* says of its tables: each number and each comparison, read from runs."""

from dataclasses import replace

import pytest

pytest.importorskip("ipywidgets")

from vmio.drivers import balloon
from vmio.experiments import scan_rules, scan_scaling
from vmio.hypervisor.costs import CostModel
from vmio.lessons.scan_in_parallel import panel as scanning


def test_what_the_text_says_of_ways_and_laws():
    one, four, split, passed = (scanning.run(params) for params in scanning.WAYS.values())
    assert 3.7 < one.virtual_ns / four.virtual_ns < 4 and abs(passed.virtual_ns / split.virtual_ns - 1) < 0.01
    assert passed.host_cpu_ns < split.host_cpu_ns / 20, "what changes is the work of the host"
    assert sum(one.found.values()) == 10_067 and one.params.rate == 250 and CostModel.preset("server-2022").disk_read_rate // 10**6 == 5696
    speeds = scanning.speeds()
    assert round(speeds[8], 2) == 6.88 and scanning.sixteen() == round(speeds[16], 1) == 11.4
    alone, _ = scan_scaling.fit({n: speeds[n] for n in (2, 4, 8)}, pairs=False)
    assert round(100 * (scan_scaling.amdahl(16, alone) / speeds[16] - 1)) == 7, "too hopeful by 7 percent"
    assert abs(scan_scaling.universal(16, *scan_scaling.fit({n: speeds[n] for n in (2, 4, 8)})) / speeds[16] - 1) < 0.02
    assert round(1283 / 891 - 1, 2) == 0.44, "MapReduce without backup tasks"


def test_what_the_text_says_of_the_greedy_one_and_of_pid():
    runs = {name: scanning.run(replace(scanning.GREEDY, **how)) for name, how in scanning.DEFENCES.items()}
    even, greedy, fair, limit, late = (one.of_the_disk() for one in runs.values())
    assert greedy[0][0] > 50 and fair[0][1] > 1.5 * greedy[0][1] and limit[0][0] < 28 < late[0][0], "most to who asks most; that guest waits; a late limit"
    assert len({one.virtual_ns for one in runs.values()}) == 1 and min(one.device_busy for one in runs.values()) > 98, "the same time in every row, the disk is busy"
    assert scanning.GREEDY.depth * runs["greedy, a fair queue"].params.greedy == 16 and scanning.GREEDY.rate == 4 * scanning.GREEDY.costs.disk_read_rate // 10**6
    assert (scan_rules.GAIN, scan_rules.RESET_US, scan_rules.RATE_US) == (0.008, 600, 150)
    assert all(50 < scanning.governed("PID", delay).kept < 100 for delay in (1, 4, 8)), "some reads are late"


def test_the_answer_that_the_report_asks_for_is_there_to_be_found():
    few = scan_scaling.speed_ups({n: scanning.run(scanning.ScanParams(workers=n, cores=4)) for n in (1, 2, 4, 8, 16)})
    assert few[8] < 1.01 * few[4] and few[16] < 1.01 * few[4], "with 4 cores more than 4 workers bring nothing"
    assert scan_scaling.universal(8, *scan_scaling.fit({n: few[n] for n in (2, 4)})) > 1.2 * few[8], "and the law does not know"


def test_what_the_text_says_of_memory():
    none, small, grows, large = (scanning.run(params) for params in scanning.ROOMS.values())
    assert none.params.rate == 4 * none.params.costs.disk_read_rate // 10**6 == 4000 and none.params.kib == 53 * none.params.piece_kib
    assert (len(small.hits), small.again, large.again) == (15, 38, 3) and large.virtual_ns < grows.virtual_ns < small.virtual_ns < none.virtual_ns
    assert grows.added == 6 * 256 and [what for _, what in grows.changes] == ["memory: 8", "guest0 has 8 MiB"]
    full, less = scanning.run(scanning.BACK), scanning.run(scanning.LESS)
    assert less.given == 10 * 256 and (full.again, less.again) == (0, 11) and full.found == less.found == large.found
    assert balloon.floor(40 * 256) == (8 + 20) * 256, "8 MiB and half of all"
    assert scanning.MEMORY.spare == 32
    for what in ("channels: 1", "cores: 1", "reads ahead: 8"):
        assert abs(scanning._changed(what, 2, 8, 2).virtual_ns / small.virtual_ns - 1) < 0.1, "changes little"
    assert scanning._changed("memory", 8, 2, 2).given == 0 and scanning._changed("functions", 2, 8, 2).virtual_ns > 0.95 * none.virtual_ns
