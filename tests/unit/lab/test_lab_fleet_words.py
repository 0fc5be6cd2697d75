"""What the lesson on steering says of many hosts, held against the runs that it shows."""

from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio.lessons.watch_and_steer import fleet
from vmio.manage.fleet.calibrate import CORES, READS
from vmio.manage.fleet.guests import OFTEN, REPLICAS, SIZES, guests, leaving
from vmio.manage.fleet.host import MEMORY_GIB
from vmio.manage.fleet.params import FleetParams
from vmio.manage.fleet.policies import FIRST, SPREAD

TEXT = " ".join((Path(fleet.__file__).parent / "lesson.py").read_text(encoding="utf-8").replace("\n#", " ").split())


def test_what_the_text_says_of_hosts_and_guests():
    assert f"{fleet.HOSTS} hosts with {MEMORY_GIB} GiB each stand in four racks, and there are {fleet.GUESTS} guests" in TEXT and FleetParams().racks == 4
    assert "four have guests with 2 GiB, three with 7, two with 15 and one with 30" in TEXT and [gib for gib, _ in SIZES] == [2, 7, 15, 30] and OFTEN == (4, 3, 2, 1)
    assert "Each service has three *replicas*" in TEXT and REPLICAS == 3 and "the host's two cores" in TEXT and CORES == 2
    assert f"{READS} reads of each guest are few" in TEXT and "At one o'clock two hosts" in TEXT and FleetParams().hour == 13 and fleet.LEAVING == 2


def test_what_the_text_says_of_first_fit():
    first = fleet.fleet(FIRST)
    assert "First fit leaves five hosts that could be switched off" in TEXT and first.used == fleet.HOSTS - 5
    assert f"{first.majority_lost} services that a single rack takes down" in TEXT and first.most_busy > 1


def test_what_the_text_says_of_a_reserve():
    without, kept = (fleet.fleet(SPREAD, reserve=reserve, guests=840) for reserve in (0, 2))
    came = guests(840 + REPLICAS * len(leaving(840 // REPLICAS, FleetParams().churn, 1)), 100, 1)
    assert "Two guests of 30 GiB fit into none of them" in TEXT and [came[number].memory for number in without.evacuation.no_room] == [30, 30]
    assert "nobody has to stay, but fewer guests were taken" in TEXT and not kept.evacuation.no_room and kept.placed < without.placed


def test_the_tables_are_those_of_the_runs():
    rows = {line.split()[0]: line.split()[1:] for line in fleet.policies_table().splitlines()[2:]}
    for policy, row in rows.items():
        one = fleet.fleet(policy)
        assert [float(word) for word in row] == pytest.approx([one.used, 100 * one.most_busy, one.overloaded_hours, one.majority_lost, one.evacuation.moved,
                                                               len(one.evacuation.no_room), one.evacuation.minutes], rel=0.005, abs=0.01)
    modes = [line.split() for line in fleet.modes_table().splitlines()[2:]]
    assert [row[0] for row in modes] == ["emulated", "split", "passthrough"] and [float(row[3]) for row in modes] == sorted((float(row[3]) for row in modes), reverse=True)
    reads, now, was, said = (float(word) for word in fleet.again().replace(":", "").split() if word.replace(".", "").isdigit())
    assert now == was and reads == 48 and said != now
