"""Each policy against what its paper promises, on a server that does one request at a time."""

from itertools import accumulate

import pytest

from tests.scheduler_rig import Job, Server, irregular, parts
from vmio.host.drr import DeficitRoundRobin
from vmio.host.fair import SCALE, WeightedFair
from vmio.host.mclock import MClock
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import SECOND, Fifo, Share, cost

MS = 1_000_000
RATE = 100_000_000       # the server's, in bytes/s
WEIGHTED = ("drr", "fair", "mclock")


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


def test_a_change_of_weight_is_charged_for_what_was_served_before():
    """a has sent one request of 4,096 bytes at weight 100; at 25 it is due when b, at 100, has sent four."""
    scheduler = WeightedFair()
    for name in "ab":
        scheduler.add(name, Share(weight=100))
        for number in range(6):
            scheduler.enqueue(Job(name, number=number), 0)
    assert scheduler.next(0)[0].guest == "a"
    scheduler.change("a", Share(weight=25), 0)
    assert [scheduler.next(0)[0].guest for _ in range(5)] == ["b", "b", "b", "b", "a"]
    scheduler.change("a", Share(weight=400), 0)      # it has sent one more at 25, four steps of b's: a quarter of one at 400
    assert [scheduler.next(0)[0].guest for _ in range(3)] == ["b", "a", "a"]


def test_a_change_of_a_reservation_rescales_what_is_still_to_wait_for():
    """a has had one of 10 requests a second at 1 s; with 20 a second it is due at 1.05 s, and b's weight takes all else."""
    scheduler = MClock()
    scheduler.add("a", Share(weight=1, reservation=40_960), SECOND)
    scheduler.add("b", Share(weight=10_000), SECOND)
    for name in "ab":
        for number in range(6):
            scheduler.enqueue(Job(name, number=number), SECOND)
    assert scheduler.next(SECOND)[0].guest == "a" and scheduler.due == 1
    scheduler.change("a", Share(weight=1, reservation=81_920), SECOND)
    due = SECOND + SECOND // 20
    assert [scheduler.next(now)[0].guest for now in (SECOND, due - 1, due, due + 1)] == ["b", "b", "a", "b"]
    assert scheduler.due == 2
