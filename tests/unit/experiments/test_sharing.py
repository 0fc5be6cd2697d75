"""Many guests on one disk, and the block layer while guests, shares, depth and policy change."""

import json
from math import inf

import numpy as np
import pytest

from tests.unit.host.test_block import Rig
from vmio.experiments.disk import pattern
from vmio.experiments.sharing import SharedGuest, SharingParams, noisy_neighbour, run_sharing, weights_tree
from vmio.experiments.sharing_result import MIB, jain
from vmio.host.block import ABORTED, GONE, NOT_READY, BlockLayer
from vmio.host.mclock import MClock
from vmio.host.physical import PhysicalDisk, Slice
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import SECOND, Share
from vmio.host.service import Samples
from vmio.host.timed import TimedDisk
from vmio.machine.overlay import Overlay
from vmio.modes import Machine

MS = 1_000_000


# The block layer.

def shared_rig(scheduler=None, depth=None, entries=8):
    rig = Rig(entries=entries)
    rig.layer = BlockLayer(rig.host, rig.driver, scheduler, depth)
    return rig


def test_no_more_at_the_device_than_its_depth():
    rig, ends = shared_rig(depth=2), []
    for n in range(6):
        rig.layer.submit("a", "read", n, 1, [rig.page], ends.append)
    assert rig.layer.in_flight == 2 and len(rig.layer.queue) == 4
    rig.layer.set_depth(5)
    assert rig.layer.in_flight == 5
    rig.layer.set_depth(1)
    rig.host.env.run()
    assert ends == [0] * 6 and rig.layer.in_flight == 0


def test_no_more_bytes_at_the_device_than_its_window():
    """One large request goes whatever the window; the next waits until there is room again."""
    rig, ends = shared_rig(), []
    rig.layer = BlockLayer(rig.host, rig.driver, window=8192)
    for n, sectors in enumerate((8, 128, 8, 8)):
        rig.layer.submit("a", "read", n, sectors, [rig.page] * -(-sectors // 8), ends.append)
    assert rig.layer.in_flight == 2 and len(rig.layer.queue) == 2
    rig.host.env.run()
    assert ends == [0] * 4 and rig.layer.in_flight == 0


@pytest.mark.parametrize("kib", (4, 64, 104, 200, 256))
def test_the_default_window_keeps_the_disk_busy(kib):
    ends = {}
    for window in (None, inf):
        host = Machine(memory_mib=1).host
        disk, ends[window] = TimedDisk(host, window=window), []
        for _ in range(1000):
            disk.layer.submit("a", "read", 0, kib * 2, (), ends[window].append)
        host.env.run()
        ends[window] = host.env.now
    assert ends[None] <= 1.001 * ends[inf]


def test_a_neighbour_keeps_a_third_of_its_speed_in_a_flood():
    """By default: requests of 64 x 256 KiB wait where the host can choose between guests."""
    host = Machine(memory_mib=1).host
    disk, quiet = TimedDisk(host), []

    def flood(status):
        disk.layer.submit("flood", "read", 0, 512, (), flood)

    def again(status):
        quiet.append(host.env.now)
        disk.layer.submit("quiet", "read", 0, 8, (), again)
    for _ in range(64):
        flood(0)
    again(0)
    host.env.run(until=20 * MS)
    assert len(quiet) >= 20 * MS / 75_100 / 3


@pytest.mark.parametrize("depth", (0, 8))
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match=f"depth {depth}: 1 to 7"):
        shared_rig().layer.set_depth(depth)


@pytest.mark.parametrize("op, sectors, pages", (("erase", 1, 1), ("read", 0, 1), ("read", 65_537, 1), ("write", 8, 514)))
def test_what_no_device_takes_is_refused_at_the_door(op, sectors, pages):
    rig = shared_rig()
    with pytest.raises(ValueError, match=op):
        rig.layer.submit("a", op, 0, sectors, [rig.page] * pages, None)
    assert not rig.layer.services or rig.layer.service("a").outstanding == 0


def test_somebody_else_has_filled_the_device_queue():
    rig, ends = shared_rig(), []
    while rig.driver.submit("read", 0, 1, [rig.page], None):
        pass
    assert not rig.driver.pairs[0].free
    rig.layer.submit("a", "read", 0, 1, [rig.page], ends.append)
    rig.layer.submit("b", "read", 1, 1, [rig.page], ends.append)
    assert rig.layer.in_flight == 0
    rig.layer.remove("a", abort=True)
    rig.host.env.run()
    assert ends == [ABORTED]


def test_caps_are_kept_in_the_layers_time():
    rig, ends = shared_rig(MClock()), []
    rig.layer.add("a", Share(cap=4096 * 1000))           # one request of 4 KiB each ms
    for n in range(5):
        rig.layer.submit("a", "read", 8 * n, 8, [rig.page], lambda status: ends.append(rig.host.env.now))
    started = rig.host.env.now
    rig.host.env.run(until=started + 2_500_000)
    assert [at - started for at in ends] == [80_000, 1_080_000, 2_080_000]
    rig.layer.change("a", cap=None)
    rig.host.env.run()
    assert [at - started for at in ends[3:]] == [2_580_000, 2_580_000]
    assert rig.layer.service("a").latencies.values == [at - started for at in ends]


def test_a_guest_leaves_when_its_last_request_is_over():
    rig, ends = shared_rig(make("fifo"), depth=1), []
    for name in ("a", "b", "a", "b"):
        rig.layer.submit(name, "read", 0, 1, [rig.page], lambda status, name=name: ends.append((name, status)))
    left = rig.layer.remove("a")
    rig.layer.submit("a", "read", 0, 1, [rig.page], lambda status: ends.append(("late", status)))
    with pytest.raises(ValueError, match="2 requests of it are still under way"):
        rig.layer.add("a")
    rig.host.env.run(until=left)
    assert ends == [("late", GONE), ("a", 0), ("b", 0), ("a", 0)]
    rig.host.env.run()
    assert ends[4:] == [("b", 0)] and rig.layer.service("a").refused == 1
    assert rig.layer.add("a", Share(weight=7)).requests == 2    # its account goes on
    assert rig.layer.remove("a") is None
    with pytest.raises(KeyError):
        rig.layer.remove("a")


def test_a_guest_that_is_aborted_gets_everything_back_at_once():
    rig, ends = shared_rig(depth=1), []
    def end(name):
        return lambda status: ends.append((name, status))
    rig.layer.submit("a", "write", 0, 8, [rig.page], end("at the device"))
    rig.layer.submit("a", "write", 8, 8, [rig.page], end("waits"))
    rig.layer.submit("a", "flush", 0, 0, [], end("flush"))
    rig.layer.submit("b", "read", 0, 8, [rig.page], end("neighbour"))
    left = rig.layer.remove("a", abort=True)
    rig.host.env.run(until=left)
    assert ends == [("waits", ABORTED), ("flush", ABORTED), ("at the device", 0)]
    rig.host.env.run()
    assert ends[3:] == [("neighbour", 0)]
    account = rig.layer.service("a")
    assert (account.requests, account.aborted, account.outstanding) == (1, 2, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_flush_waits_for_earlier_writes_under_every_policy(policy):
    rig, order = shared_rig(make(policy), depth=2), []
    for n in range(6):
        rig.layer.submit("ab"[n % 2], "write", 8 * n, 8, [rig.page], lambda status, n=n: order.append(n))
    rig.layer.submit("a", "flush", 0, 0, [], lambda status: order.append("flush"))
    rig.layer.submit("a", "write", 64, 8, [rig.page], lambda status: order.append("later"))
    rig.host.env.run()
    assert {0, 2, 4} <= set(order[:order.index("flush")]) and len(order) == 8


def test_another_policy_takes_over_what_waits_in_the_order_in_which_it_came():
    rig, ends = shared_rig(MClock(), depth=1), []
    rig.layer.add("a"), rig.layer.add("b", Share(weight=300))
    for n, name in enumerate("abbbab"):
        rig.layer.submit(name, "read", n, 1, [rig.page], lambda status, n=n: ends.append(n))
        rig.host.env.run(until=rig.host.env.now + 1)
    rig.layer.set_scheduler(make("fifo"))
    assert len(rig.layer.queue) == 5 and rig.layer.queue.flows["b"].share.weight == 300
    rig.host.env.run()
    assert ends == list(range(6))


def test_a_disk_is_plugged_in_and_out_while_another_is_used():
    host = Machine(memory_mib=8).host
    images = [Overlay(pattern(1)), Overlay(pattern(1))]
    disk = PhysicalDisk(host, images)
    page, busy, log = host.memory.allocate(1), [], []

    def again(status):
        busy.append(status)
        if len(busy) < 100:
            disk.slices[0].submit("old", "read", len(busy), 8, [page], again)
    disk.slices[0].submit("old", "read", 0, 8, [page], again)
    host.env.run(until=host.env.now + MS)
    added = Slice(disk.layer, images[0].sectors + 100, 50)     # a part of the second volume
    spa = host.memory.allocate(1)
    added.submit("new", "read", 0, 8, [spa], log.append)
    with pytest.raises(ValueError, match="the slice has 50"):
        added.submit("new", "read", 48, 8, [spa], log.append)
    host.env.run(until=host.env.now + MS)
    assert log == [0] and host.memory.read(spa, 4096) == images[1].read(100, 8)
    added.submit("new", "write", 0, 8, [spa], log.append)
    gone = added.remove()
    added.submit("new", "write", 8, 8, [spa], log.append)
    host.env.run(until=gone)
    host.env.run()
    assert log == [0, GONE, 0] and added.in_flight == 0 and added.remove() is None
    assert busy == [0] * 100


def test_a_slice_of_a_device_that_is_away_is_not_ready():
    rig, ends = shared_rig(), []
    rig.layer.close("lent")
    part = Slice(rig.layer, 0, 100)
    part.submit("a", "read", 0, 1, [rig.page], ends.append)
    rig.host.env.run()
    rig.layer.reopen(rig.driver)
    part.submit("a", "read", 0, 1, [rig.page], ends.append)
    rig.host.env.run()
    assert ends == [NOT_READY, 0] and part.in_flight == 0


def test_samples_are_bounded_and_evenly_spread():
    samples = Samples(8)
    assert samples.percentile(50) is None
    for n in range(1000):
        samples.add(n)
        assert len(samples.values) < 8
    assert samples.values == list(range(0, 1000, samples.stride)) and samples.stride == 256
    assert (samples.percentile(0), samples.percentile(50), samples.percentile(100)) == (0, 256, 768)


# The workload.

@pytest.mark.parametrize("make_params", (weights_tree, noisy_neighbour))
def test_the_timed_disk_is_the_nvme_disk_but_for_the_bytes(make_params):
    params = make_params()
    timed, whole = (run_sharing(SharingParams(params.guests, device=device)) for device in ("timed", "nvme"))
    assert timed.table() == whole.table()
    assert (timed.requests == whole.requests).all() and np.array_equal(timed.latency, whole.latency, equal_nan=True)


def test_the_tree_of_iocost_on_a_disk():
    result = run_sharing(weights_tree(), "mclock")
    assert result.shares[:, 2:19].mean(axis=1) == pytest.approx([0.5, 0.5, 0], abs=0.005)
    assert result.shares[:, 22:].mean(axis=1) == pytest.approx([0.125, 0.125, 0.75], abs=0.005)
    fifo = run_sharing(weights_tree(), "fifo")
    assert fifo.shares[:, 22:].mean(axis=1) == pytest.approx([0.17, 0.17, 0.67], abs=0.02)   # as they ask: 16, 16, 64
    assert result.bytes.sum() == fifo.bytes.sum()


def test_shares_change_in_mid_run():
    guests = (SharedGuest("a", queue_depth=32), SharedGuest("b", queue_depth=32), SharedGuest("c", queue_depth=32))
    changes = ((5 * MS, "b", {"weight": 200}), (10 * MS, "a", {"cap": 500 * MIB}), (15 * MS, "c", {"reservation": 4000 * MIB}))
    result = run_sharing(SharingParams(guests, changes=changes), "mclock")
    assert result.shares[:, 2:10].mean(axis=1) == pytest.approx([1 / 3] * 3, abs=0.01)
    assert result.shares[:, 12:20].mean(axis=1) == pytest.approx([0.25, 0.5, 0.25], abs=0.01)
    assert result.rates[0, 22:30].mean() == pytest.approx(500 * MIB, rel=0.05)
    assert result.shares[1:, 22:30].mean(axis=1) == pytest.approx([2 * 0.303, 0.303], abs=0.015)
    assert result.rates[2, 32:].mean() == pytest.approx(4000 * MIB, rel=0.02)
    assert result.weights[1].tolist() == [100] * 10 + [200] * 30
    assert result.requests.sum() == pytest.approx(20 * MS / 11_503, rel=0.01)      # the disk was never idle


def test_a_noisy_neighbour():
    """First come, first served: each quiet read waits for all of the noise; by weight: for what is at the device."""
    quiet = {}
    for policy in ("fifo", "mclock"):
        for depth in (16, 4):
            result = run_sharing(noisy_neighbour(device_depth=depth), policy)
            assert np.nanmax(result.latency[0, 1:9]) == pytest.approx(75_100, rel=0.01)
            quiet[policy, depth] = result.percentiles[0, 1]
    assert quiet["fifo", 16] > 4 * quiet["mclock", 16] > 8 * quiet["mclock", 4]


def test_depth_and_policy_change_in_mid_run():
    params = SharingParams(noisy_neighbour().guests, changes=((10 * MS, None, {"policy": "mclock"}),
                                                              (15 * MS, None, {"depth": 4})))
    mean = [np.nanmean(run_sharing(params, "fifo").latency[0, a:b]) for a, b in ((14, 20), (24, 30), (34, 40))]
    assert mean[0] > 3 * mean[1] > 6 * mean[2]


def test_guests_come_and_go():
    guests = (SharedGuest("stays", queue_depth=32), SharedGuest("goes", start_ns=5 * MS, stop_ns=10 * MS, queue_depth=32))
    result = run_sharing(SharingParams(guests), "fair")
    assert result.bytes[1, :10].sum() == 0 and result.bytes[1, 23:].sum() == 0
    assert result.shares[1, 12:20].mean() == pytest.approx(0.5, abs=0.01)
    assert result.active[1].tolist() == [0] * 10 + [1] * 10 + [0] * 20
    assert result.fairness[12:20].min() > 0.98 and result.fairness[30] == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_256_guests(policy):
    result = run_sharing(SharingParams(tuple(SharedGuest(f"g{n}", queue_depth=4, request_bytes=32768) for n in range(256))), policy)
    assert result.requests.sum() == pytest.approx(20 * MS / 5_752, rel=0.02)
    assert result.requests.sum(axis=1).min() > 0
    assert result.jain > 0.95


def test_a_result_is_plain_data():
    params = noisy_neighbour()
    one, other = run_sharing(params, "drr"), run_sharing(params, "drr")
    assert one.table() == other.table() and "noisy" in one.table()
    plain = json.loads(json.dumps(one.to_dict()))
    assert plain["params"]["guests"][3]["name"] == "noisy" and plain["latency"][3][0] is None
    assert plain["bytes"] == one.bytes.tolist()


def test_jain():
    assert jain([5, 5, 5]) == pytest.approx(1)
    assert jain([1, 0, 0, 0]) == pytest.approx(1 / 4)
    assert jain([0, 0]) == 1 and jain([1, 2, 3]) == pytest.approx(36 / 42)


GUEST = SharedGuest("a")


@pytest.mark.parametrize("wrong, text", (
    ({"guests": ()}, "guests 0"), ({"guests": (GUEST, GUEST)}, "guests 2"), ({"duration_ns": 5}, "duration_ns 5"),
    ({"buckets": 0}, "buckets 0"), ({"device_depth": 256}, "device_depth 256"), ({"device": "tape"}, "device 'tape'"),
    ({"guests": (SharedGuest("a", queue_depth=0),)}, "queue_depth 0"),
    ({"guests": (SharedGuest("a", op="flush"),)}, "guest a, op 'flush': choose one of read, write"),
    ({"guests": (SharedGuest("a", request_bytes=1000),)}, "request_bytes 1000"),
    ({"guests": (SharedGuest("a", weight=0),)}, "weight 0"),
    ({"guests": (SharedGuest("a", start_ns=5, stop_ns=5),)}, "stop_ns 5"),
    ({"changes": ((0, "b", {"weight": 1}),)}, "no guest 'b'"), ({"changes": ((0, "a", {"height": 1}),)}, "height"),
    ({"changes": ((0, None, {"weight": 1}),)}, "choose from depth, policy")))
def test_parameters_are_checked(wrong, text):
    with pytest.raises(ValueError, match=text):
        run_sharing(SharingParams(**{"guests": (GUEST,), **wrong}))


def test_an_alarm_is_not_set_twice():
    """A far cap must not leave an event behind for each request of somebody else's."""
    host = Machine(memory_mib=1).host
    disk = TimedDisk(host, scheduler=MClock())
    disk.layer.add("slow", Share(cap=1))
    disk.layer.add("b", Share(cap=10**9))
    for _ in range(2):
        disk.layer.submit("slow", "read", 0, 8, (), lambda status: None)
    for n in range(200):
        disk.layer.submit("b", "read", 0, 8, (), lambda status: None)
        host.env.run(until=host.env.now + 100_000)
    assert len(disk.layer._alarms) <= 2 and disk.layer._alarms[0] == pytest.approx(4096 * SECOND, rel=0.01)
