"""A host that attacks its guest: each row's verdicts are those that it states, and each attack comes to its wall."""

import json
import sys

import pytest

from tests.wall_rig import code_of
from vmio.__main__ import main
from vmio.attacks.hostile_host import catalogue
from vmio.attacks.hostile_host.leftover_world import LeftoverWorld
from vmio.attacks.hostile_host.world import SECRET, HostWorld
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED

ATTACKS = catalogue.attacks()


def test_a_guest_that_nobody_attacks_has_nothing_to_say():
    world = HostWorld()
    outcome = world.run(lambda world: None)
    assert (outcome.verdict, outcome.refused, world.finished) == (PASS, {}, True)
    assert len(world.loot) > 500 and SECRET not in world.loot


@pytest.mark.parametrize("id", ATTACKS)
def test_hardened(id):
    outcome = ATTACKS[id].run()
    left = ATTACKS[id].world is LeftoverWorld          # then there is nothing to notice, and nothing to be had
    assert outcome.verdict == ATTACKS[id].on_verdict == (PASS if left else REJECT), outcome
    assert bool(outcome.refused) is not left and not outcome.crossed         # else somebody counted it


@pytest.mark.parametrize("id", [id for id, attack in ATTACKS.items() if attack.off is not None])
def test_trusting(id):
    outcome = ATTACKS[id].run(False)
    assert outcome.verdict == ATTACKS[id].off_verdict, outcome
    assert outcome.verdict in (FAIL, WEDGED)


@pytest.mark.parametrize("id", ATTACKS)
def test_the_guest_goes_on_or_has_given_one_device_up(id):
    world = ATTACKS[id].world()
    outcome = world.run(ATTACKS[id].act)
    assert world.finished and sum("given up" in what for what in outcome.refused) <= 1


@pytest.mark.parametrize("id", ATTACKS)
def test_it_comes_to_its_wall(id):
    attack, world, calls = ATTACKS[id], ATTACKS[id].world(), []
    wall = code_of(attack.check)
    assert wall.co_filename.replace("\\", "/").endswith(attack.check.file)

    def seen(frame, event, _):
        if event == "call" and frame.f_code is wall:
            calls.append(event)

    def act(world):
        sys.setprofile(seen)
        attack.act(world)
    try:
        world.run(act)
    finally:
        sys.setprofile(None)
    assert calls


def test_all_that_were_asked_for_are_there():
    assert set(ATTACKS) >= {"ring-length", "ring-offset", "ring-index", "completion-twice", "completion-unknown", "transfer-length", "sense-length",
                            "rndis-offset", "ppi-endless", "section-beyond", "rescind-twice", "offer-refused-class", "ring-double-fetch",
                            "memory-read", "memory-write", "pool-exhaustion",
                            *(f"leftover-{what}" for what in ("pool", "disk", "page", "memory", "device"))}
    assert {attack.device for attack in ATTACKS.values()} == set(catalogue.DEVICES)
    assert [id for id, attack in ATTACKS.items() if attack.off is None] == ["sense-length", "attention-for-ever", "rescind-twice"]


@pytest.mark.parametrize("id", [id for id, attack in ATTACKS.items() if attack.world is LeftoverWorld])
def test_a_host_has_looked_at_what_is_left_and_it_is_no_empty_place(id):
    world = LeftoverWorld()
    world.run(ATTACKS[id].act)
    assert len(world.loot) >= 4096 and (any(world.loot) or id == "leftover-device")          # STOP leaves zeros, a cipher noise


def test_the_command(capsys):
    assert main(["attack", "--hostile", "host", "--only", "ppi-endless"]) in (0, None)
    assert "ppi-endless" in capsys.readouterr().out
    assert main(["attack", "--hostile", "host", "--only", "memory-write", "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out)
    row, = told["attacks"]
    assert told["schema"] == "vmio.attack.host/1" and told["holds"] and (row["on"], row["off"]) == (REJECT, FAIL)
    assert row["check"] == {"function": "PrivatePages.translate", "file": "vmio/hypervisor/isolation/pages.py"}
    assert main(["attack", "--hostile", "host", "--list"]) in (0, None)
    listed = capsys.readouterr().out
    assert all(id in listed for id in ATTACKS)


def test_who_asks_for_another_gets_a_sentence(capsys):
    with pytest.raises(ValueError, match="attack 'edge-read': no such attack of a host; `python -m vmio attack --hostile host --list` shows them"):
        catalogue.find("edge-read")
    with pytest.raises(ValueError, match="attack sense-length: there is no driver without this check to show"):
        ATTACKS["sense-length"].run(False)
