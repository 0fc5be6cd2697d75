"""Closed loops on the watched host: one shape, observed by the monitor alone, guests that run on whatever a controller does."""

import json
from functools import cache

import pytest

from vmio.drivers.dim import Dim, Rates
from vmio.manage.diagnose.faults import FAULTS
from vmio.manage.diagnose.scene import GUESTS, Plan
from vmio.manage.steer.command import WHO
from vmio.manage.steer.loops import closed, function, moderation, polling
from vmio.manage.steer.loops.registry import LOOPS, named, to_table
from vmio.manage.steer.show import MAKERS, who_runs
from vmio.table import number

from tests.command_rig import refused, vmio

WINDOWS, SEED = 24, 1


def told(*options):
    done = vmio(*options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def ran(name, who):
    return who_runs(LOOPS[name], who, SEED, WINDOWS)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_cures_its_fault(name):
    """Nobody: the objective is missed to the end.  The loop's own controller: missed at first, kept at the end."""
    alone, steered = ran(name, "nobody"), ran(name, "own")
    assert alone.onset == steered.onset == Plan.of(SEED, WINDOWS).onset and alone.changes == 0 and alone.settled is None
    assert alone.kept < 20 < 50 <= steered.kept
    assert steered.settled is not None and steered.settled > 0 and not steered.off and steered.changes > 0
    assert all(look.figure <= steered.loop.target for look in steered.after[steered.settled:])


@pytest.mark.parametrize("name", LOOPS)
def test_guests_run_on_under_a_bad_one(name):
    bad, alone = ran(name, "bad"), ran(name, "nobody")
    assert len(bad.looks) == WINDOWS and bad.turns > ran(name, "own").turns
    for guest in GUESTS:
        key = "vmio_user_request_seconds", (guest,)
        assert bad.scene.samples[-1].histograms[key].count > 0.3 * alone.scene.samples[-1].histograms[key].count


def test_what_is_set_is_in_force():
    """With 300 MB/s batch moves no more than that, and what is under way; the other settings are where the devices and the host keep them."""
    one = closed.run(LOOPS["limit"], SEED, lambda *_: 300.0, 14)
    moved = sum(window.get("vmio_disk_bytes_total", guest="batch") for window in one.scene.windows[one.onset:])
    assert moved <= 300_000 * (14 - one.onset) + 14 * 640 * 512 and {look.setting for look in one.looks} == {300}
    poll = ran("polling", "own")
    assert [cpu.poller.max_ns for guest in poll.scene.guests.values() for cpu in guest.guest.vcpus] == [poll.looks[-1].setting] * 7
    climb = ran("moderation", "own")
    assert moderation.read(climb.scene) == climb.looks[-1].setting and {look.setting for look in climb.looks} <= {1, 8, 64, 128, 256}
    assert ran("function", "own").looks[-1].setting == function.read(ran("function", "own").scene) == 1


def test_a_function_comes_and_goes_and_no_frame_is_lost():
    one = ran("function", "bad")
    settings = [look.setting for look in one.looks]
    assert 0 in settings and 1 in settings and one.turns >= 4
    net = one.scene.net
    assert net.lost == 0 and len(net.sent) <= 8          # what is left is on its way


def test_what_never_settles_is_switched_off():
    """All or nothing turns in nearly every window; after the thirteenth turn what is safe is set and stays."""
    one = ran("polling", "bad")
    assert one.turns == closed.MOST_TURNS + 1 and "has turned back 13 times; it never settles" in one.off
    assert one.off.endswith("it is off, and halt_poll_ns is 200,000 ns again")
    assert [look.setting for look in one.looks][-2:] == [200_000] * 2 == [one.loop.bounds.safe] * 2


@pytest.mark.parametrize("answer, words", [(lambda *_: float("nan"), "has answered nan; a number of VF from 0 to 1 is needed"),
                                           (lambda *_: [][0], "the controller stopped (IndexError")])
def test_nonsense_is_switched_off(answer, words):
    one = closed.run(LOOPS["function"], SEED, answer, 8)
    assert words in one.off and one.off.endswith("it is off, and what mail has is 1 VF again") and len(one.looks) == 8
    assert one.looks[-1].setting == 1, "the function is given back, though its host had lost it"


def test_what_is_observed_comes_from_samples_alone():
    window = ran("limit", "nobody").scene.windows[3]
    for loop in LOOPS.values():
        assert loop.observe(window) is not None and loop.figure(window) >= 0
    seen = moderation.traffic(window)
    assert seen.packets == window.get("vmio_net_way_frames_total") and seen.bytes == 300 * seen.packets
    assert seen.rates() == Rates(seen.packets, seen.bytes, seen.interrupts) and window.ns == 1_000_000


# Controllers, by hand.

def test_in_proportion():
    assert polling.in_proportion(100_000, 85, 100) == 100_000 == polling.in_proportion(100_000, 80, 100)
    assert polling.in_proportion(100_000, 100, 60) == 51_000 and polling.in_proportion(100_000, 400, 100) == 50_000
    assert polling.in_proportion(100_000, 0, 100) == 200_000
    assert polling.all_or_nothing(5, 61, 60) == polling.LEAST_NS and polling.all_or_nothing(5, 60, 60) == polling.MOST_NS


def test_two_thresholds_wait_for_quiet():
    decide = function.TwoThresholds()
    assert [decide(1.0, seen, 50) for seen in (1, 1, 1, 2, 1, 1, 1, 1, 6)] == [1, 1, 1, 1, 1, 1, 1, 0, 1]
    assert decide(0.0, 5, 50) == 0.0 and [function.one_threshold(0, seen, 50) for seen in (9, 10)] == [0, 1]


def test_the_climb_decides_after_64_interrupts_as_its_driver_does():
    climb, dim = moderation.Climb(), Dim()
    busy, more = moderation.Traffic(1_000_000, 40, 12_000, 16), moderation.Traffic(1_000_000, 80, 24_000, 16)
    assert [climb(122, busy, 200) for _ in range(3)] == [8, 8, 8]
    dim.decide(Rates(40, 12_000, 16))
    assert climb(122, busy, 200) == dim.us == 1, "the fourth window has the 64th interrupt"
    for _ in range(4):
        climb(1, more, 200)
    assert climb.dim.walk == dim.walk, "the window after a change is not counted"
    dim.decide(Rates(80, 24_000, 16))
    assert climb(1, more, 200) == dim.us


def test_two_runs_are_equal():
    assert who_runs(LOOPS["function"], "own", 2, 8) == who_runs(LOOPS["function"], "own", 2, 8)


# The command.

def test_the_command_tells_what_the_runs_say():
    said = json.loads(told("steer", "function", "--json"))
    for who, one in said["runs"].items():
        assert (one["kept"], one["changes"], one["turns"], one["off"]) == (ran("function", who).kept, ran("function", who).changes, ran("function", who).turns, ran("function", who).off)
        assert [look["setting"] for look in one["looks"]] == [look.setting for look in ran("function", who).looks]
    assert tuple(said["runs"]) == tuple(MAKERS) == WHO
    assert [row["loop"] for row in json.loads(told("steer", "--list", "--json"))["loops"]] == list(LOOPS)
    assert {loop.fault for loop in LOOPS.values()} <= set(FAULTS)
    words = to_table([("own", ran("limit", "own"))]).splitlines()[-1].split()
    assert words[0] == "limit" and str(round(ran("limit", "own").kept)) in words and str(ran("limit", "own").changes) in words


def test_the_command_shows_each_window():
    lines = told("steer", "polling", "--windows-of", "bad").splitlines()
    assert lines[-1] == ran("polling", "bad").off and len(lines) == WINDOWS + 3
    assert number(ran("polling", "bad").looks[-1].setting) in lines[-2] and "the fault" in lines[2 + ran("polling", "bad").onset]


@pytest.mark.parametrize("options, words", [(("nix",), "loop 'nix': choose one of limit, polling"), ((), "which loop?"),
                                            (("limit", "--windows", "5"), "--windows 5: 6 to 1,000")])
def test_refused(options, words):
    refused(vmio("steer", *options), words)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="loop 'x': choose one of limit"):
        named("x")
