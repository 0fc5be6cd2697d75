"""What policies promise beyond weights: mClock's reservations and caps, token buckets, and who comes and goes."""

import pytest

from tests.scheduler_rig import Job, Server, irregular, parts
from vmio.host.fair import WeightedFair
from vmio.host.mclock import MClock
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import SECOND, Share, cost
from vmio.host.throttle import Bucket, Throttle

MS = 1_000_000
RATE = 100_000_000       # the server's, in bytes/s


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
