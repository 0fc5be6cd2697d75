"""Attacks by virtio: the verdicts that each states, in every form of queue, device and transport; and each check, broken once, is missed."""

import inspect
import json
import sys
from importlib import import_module

import pytest

from tests.attacks.virtqueue_mutants import MUTANTS
from tests.fuzz.planted import planted
from vmio.__main__ import main
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.virtqueue import catalogue, report
from vmio.attacks.virtqueue.driver_world import SECRET, DriverWorld
from vmio.attacks.virtqueue.parts import NEIGHBOUR, RAM, Case
from vmio.attacks.virtqueue.world import QueueWorld

GUESTS, HOSTS = catalogue.attacks(), catalogue.attacks("host")
ATTACKS = GUESTS | HOSTS
ALL_CASES = [Case(ring, device, transport) for ring in catalogue.RINGS for device in catalogue.DEVICES for transport in catalogue.TRANSPORTS]


@pytest.mark.parametrize("case", ALL_CASES, ids="-".join)
def test_a_guest_that_does_nothing_has_no_effect_and_its_device_works(case):
    world = QueueWorld(case)
    assert world.run(lambda world: None)[:2] == (PASS, "no effect") and world.comes_back()


@pytest.mark.parametrize("id", ATTACKS)
def test_with_the_check(id):
    attack = ATTACKS[id]
    for case in attack.cases:
        outcome = attack.run(case)
        assert outcome.verdict == attack.on_verdict and outcome.verdict in (PASS, REJECT), (case, outcome)
        assert not outcome.crossed and bool(outcome.refused) == (outcome.verdict == REJECT)


@pytest.mark.parametrize("id", ATTACKS)
def test_without_it(id):
    attack = ATTACKS[id]
    for case in attack.cases:
        outcome = attack.run(case, False)
        assert outcome.verdict == attack.off_verdict and outcome.verdict in (FAIL, WEDGED), (case, outcome)
        assert outcome.touched or id in HOSTS and outcome.verdict in (FAIL, WEDGED)


@pytest.mark.parametrize("case", [Case("split", "blk"), Case("packed", "blk"), Case("split", "net")], ids="-".join)
def test_a_driver_that_nobody_attacks_has_nothing_to_say(case):
    world = DriverWorld(case)
    assert world.run(lambda world: None)[:2] == (PASS, "no effect") and world.finished and SECRET not in world.loot
    assert bool(world.loot) == (case.device == "net")


def test_the_checks_are_back_afterwards():
    attack = ATTACKS["table-in-table"]
    case = attack.cases[0]
    assert [attack.run(case, defended).verdict for defended in (False, True, False, True)] == [WEDGED, REJECT, WEDGED, REJECT]


def test_two_runs_are_equal():
    for attack in ATTACKS.values():
        assert attack.run(attack.cases[-1], False) == attack.run(attack.cases[-1], False)


def test_what_was_asked_for_is_there():
    assert set(ATTACKS) >= {"chain-loop", "buffer-read-outside", "buffer-write-outside", "chain-length-overflows", "table-in-table", "direction-wrong",
                            "queue-moved", "chain-double-fetch", "ring-index-jumps"}
    assert set(HOSTS) >= {"answer-unknown", "answer-too-long", "answer-index-jumps"}
    cases = {case for attack in GUESTS.values() for case in attack.cases}
    assert cases == set(ALL_CASES)
    for attack in ATTACKS.values():
        assert all(getattr(attack, name) for name in ("title", "rule", "source", "defence")), attack.id


def nothing_but_begin(world, cpu):
    """A guest at rest, in a world where time goes on."""
    yield from world.begin(cpu)


def calls(world, act, wall):
    """How often this function was called in a run."""
    counted = 0

    def seen(frame, event, _):
        nonlocal counted
        counted += event == "call" and frame.f_code is wall
    sys.setprofile(seen)
    try:
        world.run(act)
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("id", ATTACKS)
def test_it_comes_to_its_wall(id):
    attack = ATTACKS[id]
    for case in attack.cases:
        check = attack.check(case)
        wall = import_module(check.module)
        for part in check.function.split("."):
            wall = getattr(wall, part)
        code = inspect.unwrap(wall).__code__
        assert code.co_filename.replace("\\", "/").endswith(check.file)
        rest = 0 if id in HOSTS else calls(attack.world(case), nothing_but_begin if id == "kick-storm" else lambda world: None, code)
        assert calls(attack.world(case), attack.act, code) > rest, case


@pytest.mark.parametrize("id, where, right, wrong, only", MUTANTS, ids=[f"{id} {where.split(':')[1]}" for id, where, *_ in MUTANTS])
def test_a_broken_check_is_missed(id, where, right, wrong, only):
    """With one line broken the same attack has another end, in each case that the line is for; mostly it succeeds."""
    attack = ATTACKS[id]
    for case in attack.cases:
        if not only or only in case:
            whole = attack.run(case)
            with planted(where, right, wrong):
                broken = attack.run(case)
            assert (broken.verdict, broken.evidence) != (whole.verdict, whole.evidence), case


def test_each_attack_has_a_check_to_break():
    assert {id for id, *_ in MUTANTS} == set(ATTACKS)


@pytest.mark.parametrize("harm, verdict", [
    (lambda world: world.host.write(world.base + NEIGHBOUR, b"x"), FAIL), (lambda world: world.host.write(world.base + RAM, b"x"), FAIL),
    (lambda world: world.host.write(world.below, b"x"), FAIL), (lambda world: world.medium.write(0, bytes(512)), FAIL),
    (lambda world: world.host.read(world.base + NEIGHBOUR, 1), FAIL), (lambda world: world.memory.write(0x1234, b"neighbour's disk"), FAIL),
    (lambda world: [][0], WEDGED), (lambda world: world._theirs.put("status", 0), WEDGED)])
def test_canaries_sing(harm, verdict):
    outcome = QueueWorld(ALL_CASES[0]).run(harm)
    assert outcome.verdict == verdict and outcome.touched


# The command.

def test_the_command(capsys):
    assert main(["attack", "--mode", "virtio", "--only", "chain-loop"]) == 0
    assert "the chain from descriptor 0 is longer than the table" in capsys.readouterr().out
    assert main(["attack", "--mode", "virtio", "--only", "buffer-write-outside", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    row, = told["attacks"]
    assert told["schema"] == report.SCHEMA and told["holds"] and row["source"] == "VIRTIO 1.2, 2.7.5, 2.8.4"
    assert {(case["ring"], case["device"], case["transport"], case["on"], case["off"]) for case in row["cases"]} == {(*case, REJECT, FAIL) for case in ALL_CASES}
    assert main(["attack", "--mode", "virtio", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(id in listed for id in GUESTS)
    assert main(["attack", "--mode", "virtio", "--list", "--json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["attacks"]] == list(GUESTS)


@pytest.mark.parametrize("hostile", catalogue.ROOMS)
def test_the_whole_table(hostile, capsys):
    assert main(["attack", "--mode", "virtio", "--hostile", hostile]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = catalogue.attacks(hostile)
    assert [line.split()[0] for line in lines[-len(found):]] == list(found)


def test_a_check_that_does_not_hold_is_an_exit_status(monkeypatch, capsys):
    attack = ATTACKS["chain-loop"]
    case = attack.cases[0]
    monkeypatch.setattr(report.Report, "run", lambda self, only, kept: [report.Row(attack, [(case, attack.run(case, False), attack.run(case, False))])])
    assert main(["attack", "--mode", "virtio", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


@pytest.mark.parametrize("hostile", catalogue.ROOMS)
def test_who_asks_for_another_gets_a_sentence(hostile, capsys):
    assert main(["attack", "--mode", "virtio", "--hostile", hostile, "--only", "edge-read"]) == 2
    assert (f"attack 'edge-read': no such attack of a {hostile} by virtio; `python -m vmio attack --mode virtio --hostile {hostile} --list` shows them"
            in capsys.readouterr().err)
