"""What was touched is measured; which wall stands where; what a refusal is worth; the double fetch, access by access."""

from collections import Counter

import pytest

from vmio.attacks import catalogue, places
from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.catalogue import DOORS, OF_THE_IOMMU
from vmio.attacks.emulated import EmulatedWorld
from vmio.attacks.fetches import WatchedWorld, watched
from vmio.attacks.net import NetWorld
from vmio.attacks.net_client import NEIGHBOURS_FRAMES
from vmio.attacks.places import PLACES, Touch, place, touches
from vmio.attacks.series import series
from vmio.attacks.split import SplitWorld
from vmio.attacks.tulip import TulipWorld
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.world import AFTER, CANARY, HOST, ROUNDS, World

ATTACKS = catalogue.attacks()
PASSED_THROUGH = [attack for attack in ATTACKS.values() if attack.mode == "passthrough"]
NO_IOMMU = {"dma-into-neighbour": ("neighbour", "RAM", "changed"), "dma-from-neighbour": ("neighbour", "RAM", "leaked"),
            "dma-into-the-tables": ("host", "tables", "changed"), "dma-stale-mapping": ("neighbour", "RAM", "leaked"),
            "msi-any-vector": ("host", "interrupts", "changed"), "engine-dma-outside": ("neighbour", "RAM", "changed")}


def harmed(kind, harm):
    """What a run finds touched in which the attacker does `harm(world)`, with nobody's leave."""
    def program(world, cpu):
        yield from world.begin(cpu)
        harm(world)
    return kind().attacked_by(program).touched


@pytest.mark.parametrize("kind, harm, found", [
    (World, lambda w: w.neighbour.memory.write(CANARY + 9, b"x"), "neighbour RAM changed"),
    (World, lambda w: w.loot.extend(HOST), "host memory leaked"),
    (SplitWorld, lambda w: w.theirs.write(255, bytes(512)), "neighbour disk changed"),
    (SplitWorld, lambda w: w.neighbours_rings[1].write(4095, b"x"), "neighbour rings changed"),
    (EmulatedWorld, lambda w: w.machine.guests[1].board.ata[0].write_control(8), "neighbour registers changed"),
    (AssignedWorld, lambda w: w.theirs_device.registers.__setitem__(0x24, 1), "neighbour registers changed"),
    (AssignedWorld, lambda w: w.host.memory.write(w.iommu.remapper.root + 4095, b"x"), "host tables changed"),
    (AssignedWorld, lambda w: w.effects.append("host's interrupts"), "host interrupts changed"),
    (NetWorld, lambda w: w.loot.extend(NEIGHBOURS_FRAMES), "neighbour frames leaked"),
    (NetWorld, lambda w: w.neighbour.memory.write(CANARY + 9, b"x"), "neighbour RAM changed"),
    (TulipWorld, lambda w: w.receive(HOST), "host memory leaked")])
def test_every_canary_has_its_place(kind, harm, found):
    assert [" ".join(one) for one in harmed(kind, harm)] == [found]


def test_who_stops_is_told_apart():
    def crash(world, cpu):
        yield from world.begin(cpu)
        world.host.env.timeout(10).callbacks.append(lambda _: [][0])
    outcome = SplitWorld().attacked_by(crash)
    assert outcome.touched == (("neighbour", "requests", "stopped"), ("host", "itself", "stopped")) and outcome.answered < ROUNDS
    assert SplitWorld().attacked_by(lambda world, cpu: world.begin(cpu)).answered == ROUNDS + AFTER


def test_places_are_in_order_and_once_each():
    assert touches(["host's page", "neighbour's RAM", "host's first page"], ["neighbour's RAM"], [], True, {"pages": (2, 1)}) == (
        Touch("neighbour", "RAM", "changed"), Touch("neighbour", "RAM", "leaked"), Touch("neighbour", "requests", "late"),
        Touch("host", "memory", "changed"), Touch("host", "itself", "filled"))
    assert touches([], [], [], False, {"pages": (1, 1)}) == ()
    with pytest.raises(ValueError, match="canary \"neighbour's hat\" is on no map"):
        place("neighbour's hat")


@pytest.mark.parametrize("id", ATTACKS)
def test_what_was_touched_agrees_with_the_verdict(id):
    attack = ATTACKS[id]
    on, off = attack.run(True), attack.run(False)
    assert not on.touched and on.answered == ROUNDS + AFTER and bool(on.refused) == (on.verdict == REJECT)
    worst = {one.how for one in off.touched}
    assert worst and (off.verdict == WEDGED) == bool(worst & {"late", "stopped", "filled"})
    assert {(one.whose, one.what) for one in off.touched} <= {(whose, what) for whose, whats in PLACES.items() for what in whats}
    assert attack.door in DOORS and 0 < len(attack.wall) <= 20


def test_every_place_is_reached_by_somebody():
    reached = {one[:2] for attack in ATTACKS.values() for one in attack.run(False).touched}
    assert reached == {(whose, what) for whose, whats in places.PLACES.items() for what in whats}


@pytest.mark.parametrize("attack", PASSED_THROUGH, ids=lambda attack: attack.id)
def test_without_an_iommu(attack):
    outcome = attack.run(True, iommu=False)
    wanted = NO_IOMMU.get(attack.id)
    assert outcome.touched == ((wanted,) if wanted else ()) and (outcome.verdict == FAIL) == bool(wanted)
    assert wanted is None or attack.wall in OF_THE_IOMMU
    assert outcome.answered == ROUNDS + AFTER


def test_a_machine_without_passthrough_does_not_miss_the_iommu():
    for id in ("ring-double-fetch", "ata-prd-into-neighbour", "edge-read"):
        assert ATTACKS[id].run(True, iommu=False) == ATTACKS[id].run(True)


@pytest.mark.parametrize("first, noticed", [("scsi-read-past-the-end", {"requests refused": 1}), ("scsi-buffer-too-small", {"requests refused": 1}),
                                            ("scsi-short-answer", {}), ("ring-double-fetch", {})])
def test_a_refusal_stops_the_next_attempt(first, noticed):
    left, stopped = series(first, "scsi-into-foreign-page", guarded=False), series(first, "scsi-into-foreign-page")
    assert left.noticed == stopped.noticed == noticed and left.tried and left.outcome.verdict == FAIL
    assert stopped.tried == (not noticed) and stopped.outcome.verdict == (REJECT if noticed else FAIL)


def test_a_series_needs_one_machine():
    with pytest.raises(ValueError, match="attack dma-into-neighbour: it needs a machine of its own"):
        series("dma-into-neighbour", "scsi-into-foreign-page")


def test_a_host_that_copies_first_fetches_once():
    log, outcome = watched(True)
    assert [(one.who, one.word, one.held) for one in log] == [
        ("guest", 640, None), ("host", 640, 640), ("guest's 2nd vCPU", 2304, 640), ("host", 2304, 640), ("disk", 2304, 640), ("disk", 2304, 640)]
    assert log[-1].what == "has filled the guest's own buffer" and outcome.verdict == PASS and not any(one.harm for one in log)


def test_a_host_that_fetches_twice_uses_what_it_has_not_checked():
    log, outcome = watched(False)
    assert [one.what for one in log] == [
        "asks for a read into page 640, its own", "fetches the page number: 640", "writes 2,304 over it, the neighbour's",
        "checks page 640: allowed", "fetches the page number again: 2,304", "is told to write to page 2,304, the neighbour's",
        "has written over the neighbour's canary"]
    assert [one.held for one in log] == [None, 640, 640, 640, 2304, 2304, 2304] and [one.harm for one in log] == [False] * 6 + [True]
    assert outcome.verdict == FAIL and [one.ns for one in log] == sorted(one.ns for one in log)


def test_the_log_is_of_a_run_that_it_does_not_change():
    for copy_first in (True, False):
        assert watched(copy_first)[1] == ATTACKS["ring-double-fetch"].run(copy_first)
    assert WatchedWorld().whose(1024) == "the host's"


def test_an_attack_shows_its_own_lines():
    lines = catalogue.lines(ATTACKS["dma-into-neighbour"])
    assert lines == ["def transfer(world, cpu, kind, spa):", "    driver = yield from world.drive(cpu)",
                     "    yield from getattr(driver, kind)(0, 8, spa)", "", "def into(world, cpu):",
                     '    yield from transfer(world, cpu, "read", world.neighbour.ram_spa(CANARY))']
    assert catalogue.lines(ATTACKS["dma-into-the-tables"])[5].lstrip().startswith("# Translated")
    assert catalogue.lines(ATTACKS["gpadl-missing-range"])[2].endswith("byte_count=3 * PAGE, pages=(0x150, 0x151, 0x152)))"), "one line again"
    assert max(len(catalogue.lines(attack)) for attack in ATTACKS.values()) <= 15


def test_no_mode_is_without_a_wall_and_doors_are_used():
    assert set(Counter(attack.door for attack in ATTACKS.values())) == set(DOORS)
    assert set(OF_THE_IOMMU) <= {attack.wall for attack in PASSED_THROUGH}
