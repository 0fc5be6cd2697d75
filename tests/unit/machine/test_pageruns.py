"""Runs of page numbers against a set of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.machine.pageruns import PageRuns

CHANGES = st.lists(st.tuples(st.sampled_from(["add", "remove", "take"]), st.integers(0, 40), st.integers(1, 12)), max_size=40)


@given(CHANGES)
def test_runs_are_the_set(changes):
    runs, there = PageRuns(), set()
    for what, first, count in changes:
        pages = set(range(first, first + count))
        assert runs.overlaps(first, count) == bool(pages & there)
        if what == "take":
            taken = [page for start, length in runs.take(count) for page in range(start, start + length)]
            assert taken == sorted(there)[:count]
            there -= set(taken)
        elif pages & there if what == "add" else not pages <= there:
            with pytest.raises(ValueError):
                getattr(runs, what)(first, count)
        else:
            getattr(runs, what)(first, count)
            there = there | pages if what == "add" else there - pages
        assert [page for start, length in runs.runs for page in range(start, start + length)] == sorted(there)
        assert runs.total == len(there)
        assert all(a + n < b for (a, n), (b, _) in zip(runs.runs, runs.runs[1:]))


def test_a_place_at_a_multiple():
    runs = PageRuns([(3, 10), (20, 30)])
    assert (runs.find(8, 8), runs.find(4, 4), runs.find(31), PageRuns(runs.runs).total) == (24, 4, None, 40)
