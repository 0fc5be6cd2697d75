"""The arbiter between virtual functions: turns, bursts, the window, resets, and what a flood costs the others."""

import pytest

from vmio.hardware.nvme.arbiter import BURST, Arbiter, Port
from vmio.host.physical import MediumTime
from vmio.modes import Machine

MIB = 2048      # sectors


class Medium:
    """Keeps what it is asked until it is told to end it."""

    def __init__(self):
        self.begun, self.asked = [], []

    def service(self, op, sectors, done):
        self.begun.append((op, sectors))
        self.asked.append(done)

    def end(self, number=1):
        for _ in range(number):
            self.asked.pop(0)()


@pytest.fixture
def medium():
    return Medium()


def ports(medium, window, number=2):
    arbiter = Arbiter(medium.service, window)
    return [Port(arbiter) for _ in range(number)]


def test_a_small_command_goes_through_as_it_is(medium):
    port, _ = ports(medium, {"read": 100})
    ended = []
    port("read", 8, lambda: ended.append(1))
    assert medium.begun == [("read", 8)] and not ended
    medium.end()
    assert ended == [1] and not medium.asked


def test_a_large_command_is_one_command_in_parts(medium):
    port, _ = ports(medium, {"read": 1})
    ended = []
    port("read", 2 * BURST + 5, lambda: ended.append(1))
    for part, left in ((BURST, 0), (BURST, 0), (5, 1)):
        assert medium.begun[-1] == ("read", part)
        medium.end()
        assert len(ended) == left


def test_functions_take_turns_whatever_they_have_queued(medium):
    greedy, modest = ports(medium, {"read": BURST})
    order = []
    for n in range(10):
        greedy("read", 4 * BURST, lambda: order.append("greedy"))
    modest("read", 8, lambda: order.append("modest"))
    medium.end(3)          # what has begun, one turn of the greedy one, its own
    assert order == ["modest"]


def test_sectors_count_and_not_commands(medium):
    large, small = ports(medium, {"read": BURST})
    served = [0, 0]
    for _ in range(100):
        large("read", 4 * BURST, lambda: None)
    for _ in range(800):
        small("read", 8, lambda: None)
    medium.begun.clear()
    while sum(served) < 100 * BURST:
        medium.end()
        for kind, sectors in medium.begun:
            served[sectors == 8] += sectors
        medium.begun.clear()
    assert abs(served[0] - served[1]) <= BURST


def test_the_window_bounds_what_has_begun_and_is_kept_full(medium):
    port, _ = ports(medium, {"read": 2 * BURST})
    for _ in range(50):
        port("read", 8, lambda: None)
    assert sum(sectors for _, sectors in medium.begun) == 2 * BURST
    medium.end(BURST // 8)
    assert sum(sectors for _, sectors in medium.begun) == 3 * BURST


def test_kinds_do_not_wait_for_each_other(medium):
    port, other = ports(medium, {"read": 8, "write": 8})
    for kind in ("read", "read", "write", "flush"):
        port(kind, 8, lambda: None)
    other("flush", 0, lambda: None)
    assert medium.begun == [("read", 8), ("write", 8), ("flush", 8), ("flush", 0)]


def test_without_a_window_it_is_first_come_first_served(medium):
    port, _ = ports(medium, {})
    port("read", MIB, lambda: None)
    port("read", 8, lambda: None)
    assert medium.begun == [("read", MIB), ("read", 8)]


def test_a_reset_voids_what_has_not_begun_and_nothing_else(medium):
    reset, other = ports(medium, {"read": BURST})
    ended = []
    for name, port in (("reset", reset), ("other", other)) * 3:
        port("read", 2 * BURST, lambda name=name: ended.append(name))
    reset.forget()
    reset.forget()
    while medium.asked:
        medium.end()
    assert ended == ["other"] * 3
    reset("read", 8, lambda: ended.append("again"))
    medium.end()
    assert ended[-1] == "again"


def neighbour_ns(window, flood):
    """How long 20 reads of 4 KiB take, one after the other, beside `flood` commands of 1 MiB of another function."""
    host = Machine(memory_mib=64).host
    medium = MediumTime(host)
    arbiter = Arbiter(medium.service, medium.window() if window else {}, medium.at)
    greedy, modest = Port(arbiter), Port(arbiter)
    for _ in range(flood):
        greedy("read", MIB, lambda: None)

    def reads():
        for _ in range(20):
            ready = host.env.event()
            modest("read", 8, ready.succeed)
            yield ready
    host.env.run(until=host.env.process(reads()))
    alone = host.env.now
    host.env.run()
    return alone, host.env.now


def test_what_a_flood_costs_the_neighbour():
    alone, _ = neighbour_ns(True, 0)
    assert alone == neighbour_ns(False, 0)[0]
    fair, unfair = neighbour_ns(True, 100)[0], neighbour_ns(False, 100)[0]
    assert fair < 2.5 * alone and unfair > 10 * alone


def test_the_medium_is_as_busy_as_without():
    (_, fair), (_, unfair) = neighbour_ns(True, 100), neighbour_ns(False, 100)
    assert fair < 1.02 * unfair


def test_a_guest_that_is_ahead_of_time_is_alone_there():
    host = Machine(memory_mib=64).host
    medium = MediumTime(host)
    arbiter = Arbiter(medium.service, medium.window(), medium.at)
    ahead, modest, times = Port(arbiter), Port(arbiter), []
    ahead.arrived(1_000_000)
    ahead("read", 8, lambda: times.append(("ahead", host.env.now)))
    modest("read", 8, lambda: times.append(("modest", host.env.now)))
    host.env.run(until=500_000)
    assert times == [("modest", host.costs.disk_ns("read", 8))]
    host.env.run(until=1_000_001)
    ahead.arrived(2_000_000)
    ahead("read", 8, lambda: times.append(("void", host.env.now)))
    ahead.forget()
    host.env.run()
    assert [name for name, _ in times] == ["modest", "ahead"]


def test_a_weight_is_so_many_bursts_in_a_turn(medium):
    arbiter = Arbiter(medium.service, {"read": BURST})
    heavy, light = Port(arbiter, 3), Port(arbiter)
    order = []
    for _ in range(4):
        heavy("read", 3 * BURST, lambda: order.append("heavy"))
        light("read", BURST, lambda: order.append("light"))
    while medium.asked:
        medium.end()
    assert order == ["heavy", "light"] * 4


@pytest.mark.parametrize("weight", [0, 257, 1.5, "2"])
def test_a_weight_that_the_standard_has_not_is_refused(medium, weight):
    with pytest.raises(ValueError, match=f"weight of a function {weight!r}: 1 to 256"):
        Port(Arbiter(medium.service, {}), weight)
