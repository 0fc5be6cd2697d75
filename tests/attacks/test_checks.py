"""The function that is said to be the wall in an attack's way: it exists, and each attack comes there, which a guest at rest does not."""

import sys
from collections import Counter
from functools import cache

import pytest

from tests.wall_rig import code_of
from vmio.attacks import checks
from vmio.attacks.catalogue import attacks
from vmio.attacks.checks import CHECKS, check

ATTACKS = attacks()


CODES = {id: code_of(check(id)) for id in CHECKS}


def calls(world, program):
    """{code: how often it was called} of all walls, in a run of a world with a program."""
    counted, walls = Counter(), set(CODES.values())

    def seen(frame, event, _):
        if event == "call" and frame.f_code in walls:
            counted[frame.f_code] += 1
    made = world()
    sys.setprofile(seen)
    try:
        made.attacked_by(program)
    finally:
        sys.setprofile(None)
    return counted


@cache
def at_rest(world):
    """`calls` beside a guest that does nothing."""
    return calls(world, lambda made, cpu: made.begin(cpu))


def test_each_attack_has_its_check_and_no_other_has_one():
    assert set(CHECKS) == set(ATTACKS)


@pytest.mark.parametrize("id", ATTACKS)
def test_an_attack_comes_to_its_wall(id):
    attack = ATTACKS[id]
    attack.world.at_rest()
    assert calls(attack.world, attack.program)[CODES[id]] > at_rest(attack.world)[CODES[id]]


@pytest.mark.parametrize("id", ATTACKS)
def test_its_file_is_the_one_in_which_it_stands(id):
    assert CODES[id].co_filename.replace("\\", "/").endswith(check(id).file)


def test_an_attack_without_one_gets_a_sentence(monkeypatch):
    monkeypatch.delitem(checks.CHECKS, "edge-read")
    with pytest.raises(ValueError, match="^attack 'edge-read': CHECKS in vmio/attacks/checks.py must say which function is the wall in its way$"):
        check("edge-read")
