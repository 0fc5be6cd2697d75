"""The fuzzing is not blind: each bug of `planted.BUGS` is found within a bounded run."""

import pytest

from tests.fuzz.__main__ import PARTS, life_of
from tests.fuzz.engine import run
from tests.fuzz.planted import BUGS, planted

SEEDS = {"chips": (2, 1), "vpci": (2, 3)}      # those that find most of them soon


@pytest.mark.parametrize("part,where,right,wrong", BUGS, ids=[f"{part} {where.split(':')[1]} {n}"
                                                              for n, (part, where, *_) in enumerate(BUGS)])
def test_a_planted_bug_is_found(part, where, right, wrong):
    with planted(where, right, wrong):
        for seed in SEEDS.get(part, (1, 2, 3)):
            if run(part, life_of(part), 5000, seed, max_findings=1).findings:
                return
    raise AssertionError(f"{where} without {right!r}: nobody noticed")


def test_each_part_has_its_bugs_and_the_product_is_whole_again():
    assert {part for part, *_ in BUGS} == set(PARTS)
    for part, where, right, wrong in BUGS[::12]:
        with planted(where, right, wrong):
            pass
        with planted(where, right, wrong):      # what was to be replaced stands there as before
            pass
    with pytest.raises(ValueError, match="choose another bug"):
        with planted("vmio.oracle.words:length_of", "no such words", ""):
            pass
