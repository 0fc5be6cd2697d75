"""The parallel scan: the known counts at every setting, what each resource changes, and what changes while it runs."""

from dataclasses import replace

import pytest

from vmio.experiments import many, scan
from vmio.experiments.scan import ScanParams
from vmio.experiments.scan_job import Job
from vmio.hypervisor.costs import CostModel

KNOWN = {b"license": 1794, b"copyright": 401, b"warranty": 207, b"the": 7665}      # of the whole image, without regard to case
GUESTS = ScanParams(kind="guests")
CHANGES = ((300, "channels", 1), (1000, "depth", 6), (1500, "channels", 8), (2500, "cores", 2), (3500, "cores", 32), (4000, "channels", 3))


def test_the_whole_image_has_the_known_counts():
    whole = scan.image().read(0, scan.image().sectors).lower()
    assert {word: whole.count(word) for word in scan.WORDS} == KNOWN
    assert not whole[8 << 20:].strip(b"\0").count(b"e")        # what the scans leave out has no text


SETTINGS = [ScanParams(workers=n) for n in (1, 2, 16)] + [
    ScanParams(workers=16, channels=1), ScanParams(workers=8, channels=3, depth=8), ScanParams(piece_kib=16), ScanParams(shared=False),
    ScanParams(slow=8, backup=True, depth=4), ScanParams(cores=1), ScanParams(depth=1), replace(GUESTS, mode="passthrough"),
    ScanParams(workers=1, mode="passthrough"), GUESTS, replace(GUESTS, changes=((3000, "passthrough", 1),)), ScanParams(workers=8, changes=CHANGES),
    ScanParams(kib=16384, piece_kib=256)]


@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_the_counts_are_the_known_ones_however_it_is_run(params):
    result = scan.run(params)
    assert result.found == KNOWN
    ends = sorted(until for _, _, until in result.spans)
    assert len(ends) >= params.kib // params.piece_kib
    assert params.backup or result.virtual_ns >= ends[-1]        # who is slow with a piece that another has done ends later


def test_a_sweep_on_all_cores_gives_the_same():
    points = [ScanParams(workers=n) for n in (1, 4)]
    assert many.run(scan.run, points, workers=2) == [scan.run(point) for point in points]


def test_without_an_overlap_a_match_across_a_border_is_nobodys_but_only_where_one_is():
    small, large = (scan.run(ScanParams(piece_kib=kib, overlap=False)).found for kib in (16, 64))
    assert large == KNOWN                        # no word lies across a border of 64 KiB: the mistake does not show
    assert small == {**KNOWN, b"license": 1793}


def test_a_match_is_counted_once_where_it_begins():
    job = Job(ScanParams(kib=8, piece_kib=4))
    first, second = job.pieces
    data = bytes(4093) + b"LICENSE" + bytes(4092)
    assert [job.reads(piece) for piece in job.pieces] == [(0, 9), (8, 8)]
    assert job.count(first, data[:9 * 512])[b"license"] == 1 and job.count(second, data[4096:])[b"license"] == 0
    inside = bytes(4096) + b"license" + bytes(4089)              # one that begins in the second is not the first one's
    assert job.count(first, inside[:9 * 512])[b"license"] == 0 and job.count(second, inside[4096:])[b"license"] == 1


def test_exits_go_with_reads_and_the_host_works_less_where_the_disk_is_passed_through():
    split, small, passed = (scan.run(params) for params in (GUESTS, replace(GUESTS, piece_kib=16), replace(GUESTS, mode="passthrough")))
    assert 3.5 < small.exits / split.exits < 6 and split.exits_per_mb == split.exits * 1e6 / (8 << 20)
    assert passed.host_cpu_ns < split.host_cpu_ns / 10
    assert split.guest_ns >= (8 << 20) * 1000 // split.params.rate


def test_the_last_one_joins_the_lists_and_the_device_passes_each_byte_once():
    with_merge, without = scan.run(ScanParams()), scan.run(ScanParams(merge_ns=0))
    assert with_merge.virtual_ns - without.virtual_ns == 50 * sum(KNOWN.values())
    assert with_merge.device_ns == ((8 << 20) + 127 * 512) * 10**9 // 5_696_913_408 and len(with_merge.latencies) == 128
    slices = with_merge.per_slice(1_000_000)
    assert sum(slices) == 128 and slices[0] < slices[4] == max(slices)           # the first reads must come first


def test_one_slow_worker_and_the_three_answers_to_it():
    even, own, shared, copies = (scan.run(replace(ScanParams(), **how)) for how in (
        {}, {"slow": 8, "shared": False}, {"slow": 8}, {"slow": 8, "backup": True}))
    assert own.virtual_ns > 7 * even.virtual_ns                  # each waits for the slow one's whole part
    assert even.virtual_ns < copies.virtual_ns < shared.virtual_ns < own.virtual_ns / 4
    assert copies.copies > 0 == shared.copies


def test_changes_are_made_while_it_runs_and_each_is_told():
    told = scan.run(ScanParams(workers=8, changes=CHANGES)).changes
    said = [what for _, what in told]
    for host, guest in (("channels: 1", "the disk has 1 channel"), ("channels: 8", "the disk has 8 channels"), ("channels: 3", "the disk has 3 channels")):
        assert said.index(host) < said.index(guest)
    assert [when for when, what in told if what == "cores: 2"] == [2_500_000]
    slow = scan.run(ScanParams(workers=8, changes=((1000, "cores", 1),)))
    assert slow.virtual_ns > 3 * scan.run(ScanParams(workers=8)).virtual_ns


def test_guests_go_on_by_functions_of_their_own():
    result = scan.run(replace(GUESTS, changes=((3000, "passthrough", 1),)))
    assert sorted(what for _, what in result.changes if what.startswith("worker")) == [f"worker {n} has a function of its own" for n in range(4)]


def test_channels_that_are_wanted_when_nothing_is_left_to_begin_hold_nobody_up():
    for when in range(4500, 5000, 60):
        assert scan.run(ScanParams(workers=8, changes=((when, "channels", 2),))).found == KNOWN


LOADED = replace(GUESTS, kib=6784, rate=4000, merge_ns=0, shared=False, policy="fifo", costs=CostModel.preset("server-2022").with_(disk_read_rate=10**9))
LIMIT = replace(LOADED, greedy=8, policy="limits", changes=((0, "cap", 250),))


def test_a_greedy_guest_gets_most_and_is_contained_by_a_fair_queue_or_a_limit():
    even, greedy, fair, limit, late = (scan.run(params) for params in (
        LOADED, replace(LOADED, greedy=8), replace(LOADED, greedy=8, policy="fair"), LIMIT, replace(LIMIT, changes=((1000, "cap", 250),))))
    assert {tuple(one.found.items()) for one in (even, greedy, fair, limit, late)} == {tuple(KNOWN.items())}
    shares = [one.of_the_disk()[0][0] for one in (even, greedy, fair, limit, late)]
    assert abs(shares[0] - 25) < 2 and shares[1] > 60 and shares[2] < 31 and shares[3] < 28 and shares[3] < shares[4] < shares[1]
    others = [sum(us for _, us in one.of_the_disk()[1:]) / 3 for one in (even, greedy, fair, limit)]
    assert others[1] > 1.7 * others[0] and all(abs(each / others[0] - 1) < 0.05 for each in others[2:])
    assert fair.of_the_disk()[0][1] > 1.8 * greedy.of_the_disk()[0][1]          # who keeps a long line waits in it
    assert {one.virtual_ns for one in (even, greedy, fair, limit, late)} == {even.virtual_ns}    # the total does not show it
    assert limit.changes == [(0, "cap: 250")]


def test_the_hosts_account_has_each_read_and_shares_are_a_hundred_percent():
    result = scan.run(replace(LOADED, greedy=8))
    assert len(result.served) == len(result.latencies) == 106 and sum(share for share, _ in result.of_the_disk()) == pytest.approx(100)
    assert {guest for guest, _, _ in result.served} == {0, 1, 2, 3} and all(0 <= since < until for _, since, until in result.served)
    deepest = max(sum(since <= at < until for guest, since, until in result.served if guest == 0) for _, at, _ in result.served)
    assert deepest == 16
    with pytest.raises(ValueError, match="^mode passthrough: the host's block layer serves no guest of it$"):
        scan.run(replace(GUESTS, mode="passthrough")).of_the_disk()


@pytest.mark.parametrize("options, words", [
    ({"workers": 17}, "workers 17: 1 to 16"), ({"piece_kib": 6}, "piece_kib 6: 4 to 256, a multiple of 4"),
    ({"mode": "passthrough"}, "workers 4: an assigned disk is driven by one vCPU; with kind guests each worker has a function"),
    ({"channels": 5}, "channels 5: at most one for each vCPU, 4, of one guest with a split disk"),
    ({"backup": True, "shared": False}, "backup: only where workers take the next piece of one list (shared)"),
    ({"changes": ((1, "weather", 1),)}, "change 'weather': choose one of channels, depth, cores, memory, passthrough, cap"),
    ({"changes": ((1, "depth", 65),)}, "change of depth to 65 at 1 us: at 0 us or later, to 1 to 64"),
    ({"changes": ((1, "passthrough", 1),)}, "change to passthrough at 1 us: of guests with split disks, and here are vcpus in mode split"),
    ({"greedy": 33}, "greedy 33: with 2 reads for each worker at most 32"), ({"policy": "luck"}, "policy 'luck': choose one of fifo, limits, drr, fair, mclock"),
    ({"kind": "guests", "changes": ((1, "cap", 100),)},
     "change of cap at 1 us: of guests with split disks under limits or mclock, and here are guests in mode split under drr"),
    ({"kind": "guests", "policy": "limits", "changes": ((1, "cap", 0),)}, "change of cap to 0 at 1 us: at 0 us or later, to 1 to 100000"),
    ({"kind": "guests", "changes": ((1, "channels", 1),)}, "change of channels at 1 us: of one guest with a split disk, and here are guests in mode split")])
def test_what_can_not_be_is_refused(options, words):
    with pytest.raises(ValueError) as caught:
        scan.run(ScanParams(**options))
    assert str(caught.value) == words
