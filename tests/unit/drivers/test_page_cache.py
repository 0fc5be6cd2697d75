"""Memory that keeps what was read until somebody needs it."""

import pytest

from vmio.drivers.page_cache import PageCache


def cache_of(*wheres, pages=4, size=16):
    """A cache of `size` pages from 100 on that keeps `pages` pages for each of `wheres`."""
    cache = PageCache(100, size, 200)
    for where in wheres:
        cache.keep(where, cache.room(pages), pages)
    return cache


def test_what_is_kept_counts_as_available_and_who_holds_it_has_it_alone():
    cache = cache_of(0, 8)
    assert (cache.free.total, cache.kept_pages, cache.available) == (8, 8, 16)
    assert cache.hold(8) == 104 and cache.available == 12
    assert cache.hold(8) is None and cache.hold(9) is None
    cache.keep(8, 104, 4)
    assert cache.available == 16 and cache.kept == {0: (100, 4), 8: (104, 4)}


def test_a_read_does_not_push_out_what_another_one_has_brought():
    cache = cache_of(0, 1, 2, 3)
    assert cache.room(4) is None and list(cache.kept) == [0, 1, 2, 3] and not cache.dropped


def test_the_host_gets_what_is_kept_the_newest_first_and_never_what_is_held():
    cache = cache_of(0, 1, 2, 3)
    assert cache.hold(3) == 112
    assert cache.take(6) == 104 and list(cache.kept) == [0] and cache.dropped == 2
    assert cache.take(8) is None and not cache.kept, "there were four and two left: too few in a row, and no reason to keep them was known"
    cache.give_back(112, 4)
    assert cache.available == 10 and cache.take(1) == 100


def test_what_programs_were_promised_goes_before_what_is_kept():
    cache = cache_of(0, 1, 2)
    cache.promise(6)
    assert list(cache.kept) == [0, 1] and cache.resident == 6 and cache.missing == 0
    cache.promise(17)
    assert not cache.kept and (cache.resident, cache.missing) == (16, 1)


def test_what_is_kept_twice_is_kept_once():
    cache = cache_of(0)
    other = cache.room(4)
    cache.keep(0, other, 4)
    assert cache.kept == {0: (100, 4)} and cache.available == 16
    with pytest.raises(ValueError):
        cache.give_back(other, 4)           # it is free already
