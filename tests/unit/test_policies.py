"""Each policy against what its paper promises, on a server that does one request at a time."""

from itertools import accumulate

import pytest

from tests.scheduler_rig import Job, Server
from vmio.host.drr import DeficitRoundRobin
from vmio.host.fair import SCALE, WeightedFair
from vmio.host.mclock import MClock
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import SECOND, Fifo, Share, cost
from vmio.host.throttle import Bucket, Throttle

MS = 1_000_000
RATE = 100_000_000       # the server's, in bytes/s
WEIGHTED = ("drr", "fair", "mclock")


def parts(served):
    total = sum(served.values())
    return {name: count / total for name, count in served.items()}


# Shares.

@pytest.mark.parametrize("wrong", ({"weight": 0}, {"weight": 10_001}, {"weight": 1.5}, {"reservation": -1}, {"cap": 0},
                                   {"iops": 0}, {"burst_ns": -1}))
def test_shares_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Share(**wrong)


def test_a_reservation_above_the_cap_is_refused():
    with pytest.raises(ValueError, match="reservation 2,000: above the cap of 1,000"):
        Share(reservation=2000, cap=1000)


def test_limits_last_the_longer_of_both():
    assert Share().limit_ns(4096) == 0
    assert Share(cap=4096).limit_ns(4096) == SECOND
    assert Share(cap=4096 * 100, iops=10).limit_ns(4096) == SECOND // 10
    assert Share(cap=3).limit_ns(1) == 333_333_334


def test_unknown_policies_are_named():
    with pytest.raises(ValueError, match="policy 'lottery': choose one of fifo, limits, drr, fair, mclock"):
        make("lottery")


@pytest.mark.parametrize("policy", POLICIES)
def test_guests_must_be_known_and_are_known_once(policy):
    scheduler = make(policy)
    scheduler.add("a")
    with pytest.raises(ValueError, match="'a': is here already"):
        scheduler.add("a")
    for call in (lambda: scheduler.remove("b"), lambda: scheduler.change("b", Share())):
        with pytest.raises(KeyError):
            call()
    assert scheduler.next(0) == (None, None) and len(scheduler) == 0


# First come, first served.

def test_fifo_gives_most_to_who_asks_most():
    server = Server(Fifo(), {"quiet": Share(weight=1000), "loud": Share()}, sizes={"loud": 65536})
    server.want("quiet", "loud")
    served = server.run(100 * MS)
    assert served["loud"] / served["quiet"] == pytest.approx(16, rel=0.02)


# Weights.

@pytest.mark.parametrize("policy", ("fair", "mclock"))
def test_the_tree_of_iocost(policy):
    """A(100) with A0 and A1, B(300): B idle 50:50, B active 12.5:12.5:75."""
    server = Server(make(policy), {"A0": Share(50), "A1": Share(50), "B": Share(300)}, RATE)
    server.want("A0", "A1")
    assert parts(server.run(SECOND)) == pytest.approx({"A0": 0.5, "A1": 0.5, "B": 0}, abs=0.001)
    server.want("B")
    assert parts(server.run(SECOND)) == pytest.approx({"A0": 0.125, "A1": 0.125, "B": 0.75}, abs=0.0005)


def test_drr_shares_exactly_with_a_quantum_waiting():
    """Who runs dry loses the rest of its turn: a backlog of a few requests would not do."""
    server = Server(DeficitRoundRobin(65536), {"A0": Share(50), "A1": Share(50), "B": Share(300)}, backlog=64)
    server.want("A0", "A1", "B")
    assert parts(server.run(SECOND)) == pytest.approx({"A0": 0.125, "A1": 0.125, "B": 0.75}, abs=0.001)


def test_a_tenth_of_the_weight_is_charged_ten_times():
    """At 12.5 % of the weights, 10 ms of I/O move the guest's clock as far as 80 ms of the whole device's."""
    scheduler = WeightedFair()
    for name, weight in (("A0", 50), ("A1", 50), ("B", 300)):
        scheduler.add(name, Share(weight))
    size = RATE // 100         # 10 ms
    scheduler.enqueue(Job("A0", size), 0)
    scheduler.next(0)
    whole = 50 + 50 + 300
    charged = scheduler.flows["A0"].start * whole / SCALE
    assert charged == pytest.approx(8 * (size // 512 * 512), rel=1e-6)


@pytest.mark.parametrize("policy, utilisation, b", (("mclock", 1.0, 0.9), ("limits", 0.6, 0.5)))
def test_what_one_does_not_use_the_others_get_unless_they_are_capped(policy, utilisation, b):
    """Equal weights, A wants 10 %: halves as limits leave 40 % idle, halves as weights leave nothing idle."""
    share = Share(cap=RATE // 2) if policy == "limits" else Share()
    server = Server(make(policy), {"A": share, "B": share}, RATE)
    server.want("B")
    step = 10 * 4096 * SECOND // RATE          # A asks for 4 KiB each 40.96 us
    for _ in range(2000):
        server.put("A")
        server.run(step)
    assert 1 - server.idle_ns / server.now == pytest.approx(utilisation, abs=0.01)
    assert server.served["A"] / (server.now * RATE / SECOND) == pytest.approx(0.1, abs=0.002)
    assert server.served["B"] / (server.now * RATE / SECOND) == pytest.approx(b, abs=0.01)


@pytest.mark.parametrize("policy", WEIGHTED)
def test_idle_time_earns_nothing(policy):
    server = Server(make(policy), {"a": Share(), "b": Share()}, backlog=256)
    server.want("a")
    server.run(SECOND)
    server.want("b")
    assert parts(server.run(100 * MS)) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.01)


@pytest.mark.parametrize("policy", WEIGHTED)
def test_weights_change_in_mid_run(policy):
    server = Server(make(policy), {"a": Share(), "b": Share()}, backlog=512)
    server.want("a", "b")
    server.run(SECOND)
    server.scheduler.change("b", Share(weight=300), server.now)
    assert parts(server.run(SECOND)) == pytest.approx({"a": 0.25, "b": 0.75}, abs=0.01)
    server.scheduler.change("b", Share(weight=25), server.now)
    assert parts(server.run(SECOND)) == pytest.approx({"a": 0.8, "b": 0.2}, abs=0.01)


# Bounds of the papers, over every interval in which both guests wait.

def worst_difference(log, one, other):
    """The greatest difference of what two got, over all intervals: the range of the running difference."""
    sums = [0, *accumulate(cost(job) if job.guest == one else -cost(job) if job.guest == other else 0 for _, job in log)]
    return max(sums) - min(sums)


def irregular(seed, most):
    return lambda number: 512 * (1 + (number * 7919 + seed * 104_729) % (most // 512))


@pytest.mark.parametrize("quantum", (4096, 65536, 262_144))
def test_drr_bound(quantum):
    """2 * Max + Quantum, also where the quantum is smaller than a request."""
    most = 65536
    server = Server(DeficitRoundRobin(quantum), {"a": Share(), "b": Share(), "c": Share()}, backlog=600,
                    sizes={"a": irregular(1, most), "b": irregular(2, 8192), "c": irregular(3, most)})
    server.want("a", "b", "c")
    server.run(300 * MS)
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        assert worst_difference(server.log, one, other) <= 2 * most + quantum


def test_start_time_fair_bound():
    """|W1/w1 - W2/w2| <= Max1/w1 + Max2/w2."""
    most = {"a": 65536, "b": 8192}
    server = Server(WeightedFair(), {"a": Share(200), "b": Share(50)}, sizes={n: irregular(3, m) for n, m in most.items()})
    server.want("a", "b")
    server.run(300 * MS)
    difference = [0, *accumulate(cost(job) / 200 if job.guest == "a" else -cost(job) / 50 for _, job in server.log)]
    assert max(difference) - min(difference) <= most["a"] / 200 + most["b"] / 50


def test_drr_saves_nothing_up_while_idle():
    scheduler = DeficitRoundRobin(65536)
    for name in "ab":
        scheduler.add(name)
    for _ in range(100):
        scheduler.enqueue(Job("a"), 0)
        assert scheduler.next(0)[0].guest == "a"
    for _ in range(100):
        for name in "ab":
            scheduler.enqueue(Job(name), 0)
    assert [scheduler.next(0)[0].guest for _ in range(32)] == ["a"] * 16 + ["b"] * 16


def test_a_request_larger_than_many_quanta_does_not_loop():
    scheduler = DeficitRoundRobin(1)
    for name in ("a", "b"):
        scheduler.add(name, Share(weight=1))
        scheduler.enqueue(Job(name, 32 << 20), 0)
    assert [scheduler.next(0)[0].guest for _ in range(2)] == ["a", "b"]


# mClock.

def test_reservations_first_then_weights():
    shares = {"a": Share(weight=100, reservation=60_000_000), "b": Share(weight=100), "c": Share(weight=300)}
    server = Server(MClock(), shares)
    server.want("a", "b", "c")
    assert parts(server.run(SECOND)) == pytest.approx({"a": 0.6, "b": 0.1, "c": 0.3}, abs=0.002)


def test_a_reservation_below_the_fair_share_adds_nothing():
    server = Server(MClock(), {"a": Share(reservation=20_000_000), "b": Share()})
    server.want("a", "b")
    assert parts(server.run(SECOND)) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.002)


def test_caps_and_who_gets_the_rest():
    server = Server(MClock(), {"a": Share(weight=900, cap=10_000_000), "b": Share(100), "c": Share(200)})
    server.want("a", "b", "c")
    assert parts(server.run(SECOND)) == pytest.approx({"a": 0.1, "b": 0.3, "c": 0.6}, abs=0.002)
    assert server.idle_ns == 0


@pytest.mark.parametrize("policy", ("mclock", "limits"))
def test_all_capped_the_device_idles_and_no_cap_is_passed(policy):
    cap, most = 5_000_000, 65536
    share = Share(cap=cap, burst_ns=0)
    server = Server(make(policy), {"a": share, "b": share}, sizes={"a": irregular(1, most), "b": most})
    server.want("a", "b")
    server.run(2 * SECOND)
    assert server.idle_ns / server.now == pytest.approx(0.9, abs=0.005)
    for name in "ab":
        starts = [(at, cost(job)) for at, job in server.log if job.guest == name]
        for first in range(0, len(starts), 50):        # from any request on
            total = 0
            for at, size in starts[first:]:
                total += size
                assert total <= cap * (at - starts[first][0]) / SECOND + 2 * most
        assert server.served[name] / server.now * SECOND == pytest.approx(cap, rel=0.005)


def test_iops_are_capped():
    server = Server(MClock(), {"a": Share(iops=1000), "b": Share()})
    server.want("a", "b")
    served = server.run(SECOND)
    assert served["a"] // 4096 in (1000, 1001)
    assert sum(served.values()) == pytest.approx(RATE, rel=0.001)


def test_no_guest_under_its_reservation_or_over_its_limit():
    shares = {f"g{n}": Share(weight=1 + 37 * n % 11 * 10, reservation=n % 3 * 4_000_000,
                             cap=9_000_000 if n % 4 == 1 else None) for n in range(12)}
    server = Server(MClock(), shares, sizes={name: irregular(n, 32768) for n, name in enumerate(shares)})
    assert sum(share.reservation for share in shares.values()) < RATE
    server.want(*shares)
    server.run(100 * MS)
    for _ in range(5):
        got = server.run(200 * MS)
        for name, share in shares.items():
            assert got[name] * 5 >= share.reservation - 5 * 2 * 32768
            assert share.cap is None or got[name] * 5 <= share.cap + 5 * 2 * 32768
        assert server.idle_ns == 0


def test_who_used_an_idle_device_is_not_punished():
    """All of a reserved guest's requests went because they were due; its clock must not run away from who comes."""
    server = Server(MClock(), {"a": Share(reservation=60_000_000), "b": Share()})
    for _ in range(5000):
        server.put("a")
        server.run(100_000)                # 41 MB/s: all of it is due
    assert server.scheduler.due == 5000
    server.scheduler.change("a", Share(), server.now)
    server.want("a", "b")
    assert parts(server.run(100 * MS)) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.01)


def test_who_was_capped_competes_like_everybody_when_others_come():
    shares = {"a": Share(cap=30_000_000), **{name: Share() for name in "bcdefghij"}}
    server = Server(MClock(), shares)
    server.want("a", "b")
    assert parts(server.run(SECOND))["a"] == pytest.approx(0.3, abs=0.002)
    server.want(*"cdefghij")
    assert parts(server.run(SECOND // 5))["a"] == pytest.approx(0.1, abs=0.01)


def test_who_was_capped_has_saved_nothing_up():
    server = Server(MClock(), {"a": Share(cap=1_000_000), "b": Share()})
    server.want("a", "b")
    server.run(SECOND)
    server.scheduler.change("a", Share(), server.now)
    assert parts(server.run(100 * MS)) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.01)


def test_caps_change_while_everybody_waits_for_them():
    scheduler = MClock()
    scheduler.add("a", Share(cap=4096))
    for _ in range(3):
        scheduler.enqueue(Job("a"), 0)
    assert scheduler.next(0)[0] is not None
    assert scheduler.next(0) == (None, SECOND)
    scheduler.change("a", Share(cap=8192), SECOND // 4)        # 3/4 s to go at half the price
    assert scheduler.next(SECOND // 4) == (None, SECOND // 4 + SECOND * 3 // 8)
    scheduler.change("a", Share(), SECOND // 4)
    assert scheduler.next(SECOND // 4)[0] is not None and scheduler.next(SECOND // 4)[0] is not None


# Token buckets.

def test_a_bucket_by_hand():
    bucket = Bucket(rate=1000, size=10)
    assert bucket.ready(10, 0) == 0
    bucket.take(10)
    assert bucket.ready(1, 0) == MS and bucket.ready(10, 0) == 10 * MS
    assert bucket.ready(5, 5 * MS) == 5 * MS
    bucket.take(5)
    assert bucket.ready(100, 10 * MS) == 15 * MS       # more than it holds: when it is full
    assert bucket.ready(100, 15 * MS) == 15 * MS
    bucket.take(100)
    assert bucket.ready(1, 15 * MS) == (15 + 91) * MS  # it pays its debt first


@pytest.mark.parametrize("size, real", ((1000, 1000), (10, 100)))
def test_a_cool_down_makes_two_limits_of_1000_differ(size, real):
    """Cloud Hypervisor's docs/io_throttling.md: 1000 per 1000 ms and 10 per 10 ms, with 100 ms of cool-down."""
    bucket, now, taken = Bucket(1000, size, cooldown_ns=100 * MS), 0, -size
    while now < 10 * SECOND:
        if (when := bucket.ready(1, now)) > now:
            now = when
        else:
            bucket.take(1)
            taken += 1
    assert taken / 10 == pytest.approx(real, rel=0.02)


def test_a_burst_then_the_rate():
    server = Server(Throttle(), {"a": Share(cap=40_960_000, burst_ns=10 * MS)}, 10 * RATE, backlog=200)    # 100 requests of burst
    server.want("a")
    server.run(100 * MS)
    assert sum(at < MS for at, _ in server.log) == pytest.approx(100 + 10, abs=2)
    assert server.served["a"] / 4096 == pytest.approx(100 + 1000, abs=5)


def test_limits_in_front_of_weights():
    server = Server(Throttle(WeightedFair()), {"a": Share(300), "b": Share(100), "c": Share(900, cap=20_000_000)})
    server.want("a", "b", "c")
    assert parts(server.run(SECOND)) == pytest.approx({"a": 0.6, "b": 0.2, "c": 0.2}, abs=0.01)


# Coming and going.

@pytest.mark.parametrize("policy", POLICIES)
def test_removed_requests_come_back_in_order_and_the_others_go_on(policy):
    scheduler = make(policy)
    for name in "abc":
        scheduler.add(name, Share(cap=4096 * 2, burst_ns=0))
        for number in range(5):
            scheduler.enqueue(Job(name, number=number), 0)
    assert len(scheduler) == 15
    scheduler.next(0)
    gone = scheduler.remove("b", 0)
    assert [job.number for job in gone] == list(range(5)) and len(scheduler) == 9
    with pytest.raises(KeyError):
        scheduler.enqueue(Job("b"), 0) if policy != "fifo" else scheduler.remove("b")
    scheduler.add("b", Share(), 0)
    scheduler.enqueue(Job("b", number=9), 0)
    got, now = [], 0
    while len(scheduler):
        job, when = scheduler.next(now)
        if job is None:
            now = when
        else:
            got.append((job.guest, job.number))
    assert sorted(got) == [("a", n) for n in range(1, 5)] + [("b", 9)] + [("c", n) for n in range(5)]
    assert [n for name, n in got if name == "c"] == list(range(5))


@pytest.mark.parametrize("policy", POLICIES)
def test_two_runs_are_the_same_run(policy):
    def log():
        server = Server(make(policy), {f"g{n}": Share(1 + n % 5, cap=(n % 2) * 3_000_000 or None) for n in range(20)},
                        sizes={f"g{n}": irregular(n, 16384) for n in range(20)})
        server.want(*server.sizes)
        server.run(20 * MS)
        return [(at, repr(job)) for at, job in server.log]
    assert log() == log()
