"""Grids of numbers: cut and added up as numpy does, which judges here."""

import math
from random import Random

import numpy as np
import pytest

from vmio.experiments.grid import NAN, Grid, Row, divided


@pytest.fixture(scope="module")
def pair():
    random = Random(7)
    rows = [[random.randrange(1, 1000) for _ in range(9)] for _ in range(5)]
    return Grid(rows), np.array(rows)


CUTS = [np.s_[2], np.s_[1:4], np.s_[3, 4], np.s_[2, 1:5], np.s_[1:, 3], np.s_[:3, 2:8], np.s_[-1, -2:], np.s_[:, ::2]]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("what", ("sum", "mean", "min", "max"))
def test_parts_are_numpys(pair, cut, what):
    ours, theirs = pair[0][cut], pair[1][cut]
    assert np.array_equal(ours, theirs)
    if not isinstance(ours, int):
        assert getattr(ours, what)() == pytest.approx(getattr(theirs, what)())
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("axis", (0, 1))
@pytest.mark.parametrize("what", ("sum", "mean", "min", "max"))
def test_rows_and_columns_are_numpys(pair, axis, what):
    assert getattr(pair[0], what)(axis=axis) == pytest.approx(getattr(pair[1], what)(axis=axis))
    assert pair[0].shape == pair[1].shape and np.array_equal(pair[0].columns(), pair[1].T)


def test_arithmetic_is_numpys(pair):
    ours, theirs = pair
    for do in (lambda x: x + x, lambda x: x - 3, lambda x: 2 * x, lambda x: x * x, lambda x: x / 7, lambda x: x / x, lambda x: 1 + x):
        assert np.allclose(do(ours), do(theirs))
        assert np.allclose(do(ours[1]), do(theirs[1]))
    assert (ours == ours).all() and not (ours != ours).any()
    assert Row([1, 2, 3]) == pytest.approx([1, 2, 3]) and not (Row([1, 2]) == Row([1, 3])).all()


def test_nothing_is_nan_and_is_left_out_by_name():
    assert math.isnan(divided(1, 0)) and divided(6, 3) == 2
    row = Row([1, 2]) / Row([0, 2])
    assert math.isnan(row[0]) and row[1] == 1 and row.there().tolist() == [1]
    assert math.isnan(Row([1, NAN]).max()) and math.isnan(Row([1, NAN]).min()) and math.isnan(Row().mean())
    assert Row([2**60, 1, -2**60]).sum() == 1


@pytest.mark.parametrize("do, said", ((lambda: Row([1]) + Row([1, 2]), "1 and 2 in a row"), (lambda: Grid([[1]]).sum(axis=2), "axis is 2")))
def test_what_does_not_go_together_is_said(do, said):
    with pytest.raises(ValueError, match=said):
        do()
