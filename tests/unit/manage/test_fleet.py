"""A fleet's day: sums against a look at each guest, evacuations against the arithmetic of each migration, and the command."""

import csv
import io
import json
from collections import Counter
from dataclasses import replace

import pytest
from tests.command_rig import refused, vmio

from vmio.manage.fleet.evacuate import Evacuation, evacuate, fullest, moving
from vmio.manage.fleet.fleet import half_hour, majority_lost, run
from vmio.manage.fleet.guests import KINDS, REPLICAS, SIZES, STEPS, FleetGuest, asked, day, guests, leaving
from vmio.manage.fleet.params import FleetParams
from vmio.manage.fleet.place import Placement
from vmio.manage.fleet.policies import FIRST, POLICIES, SPREAD
from vmio.manage.fleet.result import compared
from vmio.manage.fleet.service import Curve, sums

SMALL = FleetParams(hosts=12, guests=216, racks=3, seed=4)


def placed(count=200):
    placement = Placement(12, 3, FIRST)
    for guest in guests(count, 100, 4):
        placement.place(guest)
    return placement


def test_a_half_hour_is_what_its_guests_ask_for():
    placement, parts, of = placed(), day(4)[26], Curve((45_000.0, -60.0, -0.4), (98.0, 8.7, 5.4))       # twice as dear as a real one
    found = half_hour(placement.hosts, of, parts)
    rates = [asked(list(host.guests.values()), parts) for host in placement.hosts if host.guests]
    busy = [of.busy(*sums(row)) for row in rates]
    times = [(of.latency_us(*sums(row)), sum(row)) for row in rates]
    assert found.reads == pytest.approx(sum(map(sum, rates)))
    assert (found.mean_busy, found.most_busy, found.overloaded) == pytest.approx((sum(busy) / len(busy), max(busy), sum(one > 0.9 for one in busy)))
    steady = [(time, total) for time, total in times if time is not None]
    assert 0 < found.overloaded == len(times) - len(steady)
    assert found.latency_us == pytest.approx(sum(time * total for time, total in steady) / sum(total for _, total in steady))


def test_a_day_has_its_peaks():
    for seed in (1, 2):
        steps = day(seed)
        assert len(steps) == STEPS and all(0 < part <= 1.25 for parts in steps for part in parts)
        office, web, batch = zip(*steps)
        assert abs(office.index(max(office)) - 26) <= 4 and abs(batch.index(max(batch)) - 6) <= 4
        assert sum(part == 1.25 for part in web) == 2
    assert day(1) != day(2)


def test_guests_come_as_services():
    found = guests(300, 50, 7)
    assert [guest.number for guest in found] == list(range(300)) and found == sorted(found, key=lambda guest: guest.service)
    for service in range(100):
        assert len({(guest.memory, guest.kind, guest.rate) for guest in found[REPLICAS * service:REPLICAS * (service + 1)]}) == 1
    assert {(guest.memory, guest.rate * 2) for guest in found} == set(SIZES) and {guest.kind for guest in found} == set(range(len(KINDS)))
    assert len(set(leaving(100, 30, 7))) == 30


def test_services_that_lose_most_replicas():
    placement = Placement(4, 2, FIRST, lambda hosts, guest: {0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 5: 3, 6: 0, 7: 2, 8: 3}[guest.number])
    for number in range(9):
        placement.place(FleetGuest(number, number // 3, 0, 2, 1.0))
    assert majority_lost(placement) == 2                # the second and the third service, with rack 1
    assert run(replace(SMALL, policy=SPREAD)).majority_lost == 0 < run(SMALL).majority_lost


# Evacuation.

def test_one_host_takes_as_long_as_all_its_migrations():
    placement, parts = placed(), day(4)[26]
    host, = fullest(placement, 1)
    assert host.free == min(each.free for each in placement.hosts)
    leaving_guests, before = list(host.guests.values()), set(placement.where)
    report = evacuate(placement, [host], parts, 1250)
    how = [moving(guest, parts[guest.kind], 1250) for guest in leaving_guests]
    assert report.ended_ns == sum(one.total_ns for one in how) and report.down_ns == max(one.downtime_ns for one in how)
    assert report.moved == len(leaving_guests) and not host.guests and not host.open and set(placement.where) == before
    assert report.pages == sum(sum(step.pages for step in one.rounds) + one.rounds[-1].dirty for one in how)
    assert report.pages >= sum(guest.memory << 18 for guest in leaving_guests)          # each page once, zeros as a word only


def test_a_link_carries_one_migration_at_a_time():
    """Two hosts that are emptied into one: its link is the bottleneck."""
    placement = Placement(3, 1, FIRST, lambda hosts, guest: guest.number % 2 if hosts[0].open else 2)
    for number in range(4):
        placement.place(FleetGuest(number, number, 0, 7, 3000.0))
    report = evacuate(placement, placement.hosts[:2], (1.0, 1.0, 1.0), 1250)
    assert report.ended_ns == 4 * moving(FleetGuest(0, 0, 0, 7, 3000.0), 1.0, 1250).total_ns and report.moved == 4


def test_nobody_is_lost_where_there_is_no_room():
    placement = placed(count=400)
    hosts = fullest(placement, 3)
    before = set(placement.where)
    report = evacuate(placement, hosts, day(4)[0], 1250)
    assert report.no_room and set(placement.where) == before
    assert {number for host in hosts for number in host.guests} == set(report.no_room)
    assert all(placement.racks_of[guest.service][host.rack] for host in hosts for guest in host.guests.values())


def test_a_guest_that_writes_faster_than_the_link():
    placement = Placement(2, 1, FIRST)
    placement.place(FleetGuest(0, 0, 0, 7, 4000.0))
    report = evacuate(placement, placement.hosts[:1], (1.0, 1.0, 1.0), 20)
    assert report == Evacuation([0], 0, [], [0]) and placement.where == {0: 0}


def test_a_reserve_is_empty_until_it_is_needed():
    full = replace(SMALL, guests=252, evacuate=2)
    without, kept = run(full), run(replace(full, reserve=2))
    assert kept.used <= 10 < without.used
    assert len(kept.evacuation.no_room) < len(without.evacuation.no_room)


# A whole day.

def test_equal_runs_are_equal():
    chosen = replace(SMALL, evacuate=1)
    assert run(chosen) == run(chosen) != run(replace(chosen, seed=5))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_thousand_hosts(policy):
    result = run(FleetParams(hosts=1000, policy=policy, evacuate=4))
    assert result.placed == 18_000 and result.refused == 0 and result.evacuation.moved > 40
    assert (result.used < 900) == (policy in ("first-fit", "best-fit"))


def test_less_load_is_less_busy_and_the_split_driver_takes_less():
    half, split = run(replace(SMALL, load=50)), run(replace(SMALL, mode="split"))
    whole = run(SMALL)
    assert half.mean_busy < 0.52 * whole.mean_busy and split.mean_busy < 0.4 * whole.mean_busy
    assert half.overloaded_hours == 0 < whole.overloaded_hours


def test_the_csv_has_the_day():
    result = run(SMALL)
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert [float(row["hour"]) for row in rows] == [step / 2 for step in range(STEPS)]
    assert [int(row["reads_s"]) for row in rows] == [round(step.reads) for step in result.steps]
    assert [row["read_us"] for row in rows] == [f"{step.latency_us:.2f}" for step in result.steps]
    assert [float(row["most_busy_percent"]) for row in rows] == pytest.approx([100 * step.most_busy for step in result.steps], abs=0.006)


def test_the_table_says_what_is_left_out_and_how_far_the_curve_is_off():
    text = run(replace(SMALL, evacuate=1)).table()
    assert "left out: all resources but memory, cores and disks" in text and "off by 4.2 % on average, 8.3 % at most" in text
    assert dict(line.rsplit(None, 1) for line in text.splitlines()[2:8] if line)["guests placed"] == "216"
    lines = compared([run(replace(SMALL, policy=policy)) for policy in POLICIES]).splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(POLICIES)


@pytest.mark.parametrize("chosen, words", [
    (dict(hosts=0), "hosts 0: 1 to 10,000"), (dict(hosts=3), "racks 4: there are 3 hosts"), (dict(policy="best"), "policy 'best': choose one of first-fit"),
    (dict(reserve=100), "reserve 100: there are 100 hosts"), (dict(evacuate=100), "evacuate 100: of 100 hosts, 0 of them in reserve, one at least must stay"),
    (dict(hour=5), "hour 5: no effect where no host is evacuated"), (dict(load=126), "load 126: 10 to 125"), (dict(churn=91), "churn 91: 0 to 90")])
def test_refused(chosen, words):
    with pytest.raises(ValueError, match=words.split(":")[0]) as error:
        run(FleetParams(**chosen))
    assert words in str(error.value)


def test_the_command(tmp_path):
    file = tmp_path / "day.csv"
    done = vmio("fleet", "--hosts", "12", "--guests", "216", "--racks", "3", "--seed", "4", "--json", "--csv", file)
    found = json.loads(done.stdout)
    result = run(SMALL)
    assert done.returncode == 0 and found["schema"] == "vmio.fleet/1" and found["used"] == result.used
    assert file.read_text() == result.to_csv()
    refused(vmio("fleet", "--hosts", "4", "--evacuate", "4"), "evacuate 4: of 4 hosts, 0 of them in reserve, one at least must stay")
    refused(vmio("fleet", "--compare", "--csv", file), "--compare: one line for each policy")


def test_each_rack_gives_to_the_reserve():
    result = run(replace(SMALL, reserve=3, guests=30))
    assert result.placed == 30
    placement = Placement(12, 3, FIRST)
    from vmio.manage.fleet.fleet import _reserve
    assert Counter(host.rack for host in _reserve(placement, 3)) == {0: 1, 1: 1, 2: 1}
