"""The comparison of the modes: every ns in one part, the same bytes everywhere, words that follow from the numbers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.experiments import compare, compare_sweep, disk, times, trace
from vmio.experiments.compare import MODES, Comparison, params_of
from vmio.experiments.disk import DiskParams
from vmio.hypervisor.costs import CostModel

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=8)


@given(SPANS, SPANS)
def test_spans_are_sets_of_instants(some, others):
    def instants(spans):
        return {at for start, end in spans for at in range(start, end)}
    assert instants(times.union(some)) == instants(some)
    assert times.length(times.union(some)) == len(instants(some))
    assert instants(times.common(times.union(some), times.union(others))) == instants(some) & instants(others)


@pytest.mark.parametrize("settings", [dict(transfer="pio"), dict(transfer="dma", guests=2), dict(mode="split"),
                                      dict(mode="split", queue_depth=8, guests=3, host_cores=1), dict(mode="passthrough"),
                                      dict(mode="passthrough", polled=True), dict(mode="passthrough", iommu="strict")])
def test_every_ns_is_in_one_part(settings):
    result = disk.run(DiskParams(bytes=64 << 10, **settings))
    assert set(result.parts) == set(times.PARTS) and min(result.parts.values()) >= 0
    if result.params.guests == 1:
        assert sum(result.parts.values()) == result.virtual_ns
    assert sum(result.parts.values()) >= result.guest_ns + result.exit_ns + result.device_ns
    assert len(result.latencies) == result.requests
    assert json.loads(json.dumps(result.to_dict()))["latency_p99_ns"] == result.latency(99) >= result.latency(50)


def test_parts_of_single_reads_are_those_of_the_price_list():
    costs, reads = CostModel.preset(), 4
    emulated, split, passed = (disk.run(DiskParams(mode=mode, bytes=reads * 4096, transfer="dma")) for mode in MODES)
    copy = costs.copy_ns(4096)
    assert emulated.parts["copy"] == reads * copy and not split.parts["copy"] + passed.parts["copy"]
    assert split.parts["device"] == reads * costs.disk_read_ns
    woken = costs.worker_wakeup_ns + costs.host_request_ns - costs.hypercall_ns + costs.wakeup_ns   # meanwhile the guest's HLT exits
    assert split.parts["waiting"] == reads * woken
    assert emulated.host_cpu_ns == emulated.exit_ns + reads * copy
    assert split.host_cpu_ns == split.exit_ns + reads * (costs.worker_wakeup_ns + costs.host_request_ns)
    assert passed.host_cpu_ns == passed.exit_ns
    assert emulated.latencies == [emulated.virtual_ns // reads] * reads


def test_string_copies_are_no_exit_handling():
    result = disk.run(DiskParams(transfer="pio", bytes=8192))
    assert result.parts["copy"] + result.parts["exit"] == result.exit_ns
    assert result.parts["copy"] == 16 * CostModel.preset().copy_ns(512)


def test_a_model_in_place_of_a_preset():
    slow = CostModel.preset().with_(disk_read_ns=1_000_000)
    result = disk.run(DiskParams(mode="split", bytes=4096, costs=slow))
    assert result.parts["device"] == 1_000_000
    assert json.loads(json.dumps(result.to_dict()))["params"]["costs"]["disk_read_ns"] == 1_000_000


@pytest.mark.parametrize("workload", compare.WORKLOADS)
def test_all_modes_read_the_same(workload):
    one = compare.compare(workload, reads=50, order="random", queue_depth=8, iommu="lazy")
    assert one.same_bytes()
    assert {result.requests for result in one.results.values()} == {len(compare.requests(workload, reads=50, order="random"))}
    assert len(one.words()) == 5 and all(compare.PARTS[part] for part in one.parts_us("split"))


def test_a_mode_that_does_not_heed_a_setting_does_not_run_again():
    emulated = [params_of("emulated", iommu=iommu, queue_depth=depth) for iommu in ("off", "lazy") for depth in (1, 8)]
    assert len(set(emulated)) == 1
    assert params_of("split", transfer="DMA") == params_of("split", transfer="PIO words")


def test_words_follow_the_numbers():
    cheap = CostModel.preset().with_(**{term: 1 for term in compare_sweep.EXIT_TERMS})
    words = compare.compare(costs=cheap).words()
    assert words[0] == "emulated: 95 % is the device"
    assert words[3].startswith("split takes") and "more time than emulated" in words[3] and "waiting" in words[3]
    same = compare.compare().results["split"]
    assert Comparison({"emulated": same, "split": same}).words()[-1] == "split takes as long as emulated"


def test_sweeps_say_where_it_matters():
    sweep = compare_sweep.sweep("device")
    saved = dict(zip(sweep.points, sweep.saved("split")))
    assert sweep.words()[0] == "Splitting saves 10 % or more up to 128 us per read"
    assert saved[128] >= compare_sweep.MATTERS > saved[256]
    assert list(saved.values()) == sorted(saved.values(), reverse=True)
    assert compare_sweep.sweep("exits").saved("split")[0] < 0     # exits so cheap that the worker costs more
    assert sweep.table().count("\n") == len(saved) + 2
    with pytest.raises(ValueError, match="choose one of size"):
        compare_sweep.sweep("weather")


@pytest.mark.parametrize("savings, said", [([5, 1], "saves less than 10 % everywhere"), ([10, 50], "saves 10 % or more everywhere"),
                                           ([5, 20], "saves 10 % or more from 2 us"), ([20, 5], "saves 10 % or more up to 1 us"),
                                           ([5, 20, 5], "saves 10 % or more from 2 us to 2"),
                                           ([20, 5, 20], "saves 10 % or more at 1, 3 us")])
def test_where(savings, said):
    assert compare_sweep._where(list(range(1, len(savings) + 1)), savings, "us") == said


def test_synthetic_mixes():
    requests = trace.mixed(20, 4096, 70, random=True, span_bytes=1 << 20)
    assert [r.op for r in requests].count("R") == 14 and requests == trace.mixed(20, 4096, 70, True, 1 << 20)
    assert all(r.sectors == 8 and r.lba % 8 == 0 and r.lba + 8 <= 2048 for r in requests)
    assert [r.lba for r in trace.mixed(4, 4096, span_bytes=12288)] == [0, 8, 16, 0]
    assert {r.op for r in trace.mixed(5, 512, 0)} == {"W"}
    for bad in ((0, 4096), (1, 100), (1, 4096, 101), (1, 1 << 20, 0, False, 4096)):
        with pytest.raises(ValueError, match="at least one"):
            trace.mixed(*bad)


def test_the_middle_of_a_trace():
    requests = [trace.Request("R", n, n + 1) for n in range(9)]
    assert trace.middle(requests, 100, 1 << 20) == requests
    assert trace.middle(requests, 3, 1 << 20) == requests[3:6]
    assert trace.middle(requests, 9, 10 * 512) == requests[3:5]
    assert trace.middle(requests, 9, 512) == [trace.Request("R", 4, 1)]     # one is always left, but shorter
