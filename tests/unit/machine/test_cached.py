"""The volatile write cache: what is stable, what may be lost, and what a power cut makes of it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.hardware.nvme.sriov import Partition
from vmio.host.physical import Volumes
from vmio.machine.media.cached import VolatileCache
from vmio.machine.overlay import Overlay
from vmio.machine.storage import Image

SECTORS = 16


def filled(*values):
    """One sector for each of the values, which all its bytes have."""
    return b"".join(bytes((value,)) * 512 for value in values)


def disk(sectors=SECTORS, **options):
    return VolatileCache(Image.open(filled(*[0xB0 + n for n in range(sectors)])), **options)


def test_reads_come_from_both_and_only_a_flush_reaches_the_base():
    cache = disk()
    cache.write(3, filled(1, 2))
    cache.write(4, filled(3))
    assert cache.read(2, 4) == filled(0xB2, 1, 3, 0xB5) and cache.unflushed == [3, 4]
    assert cache.base.read(0, SECTORS) == disk().base.read(0, SECTORS)
    assert cache.possible(3) == (filled(0xB3), filled(1))
    assert cache.possible(4) == (filled(0xB4), filled(2), filled(3)) and cache.possible(5) == (filled(0xB5),)
    cache.flush()
    assert cache.base.read(2, 4) == filled(0xB2, 1, 3, 0xB5) and cache.unflushed == []
    assert cache.possible(4) == (filled(3),)


def test_a_cut_leaves_each_subset_and_never_half_a_sector():
    seen = Counter()
    for seed in range(200):
        cache = disk()
        cache.write(3, filled(1, 2))
        cache.write(4, filled(3))
        cut = cache.power_cut(seed)
        left = cache.read(3, 2)
        assert left == cache.base.read(3, 2) and cache.unflushed == []
        seen[left] += 1
        newest = [left[:512] == filled(1), left[512:] == filled(3)].count(True)
        assert cut == (newest, 2 - newest)
        assert cache.read(0, 3) + cache.read(5, 11) == disk().read(0, 3) + disk().read(5, 11)
    assert set(seen) == {filled(a, b) for a in (0xB3, 1) for b in (0xB4, 2, 3)}
    assert min(seen.values()) > 15


def test_a_seed_says_all():
    def left(seed):
        cache = disk()
        cache.write(0, filled(*range(SECTORS)))
        cache.power_cut(seed)
        return cache.read(0, SECTORS)
    assert left(7) == left(7) and len({left(seed) for seed in range(20)}) == 20
    for bad in (None, 1.5, "7"):
        with pytest.raises(TypeError, match="a whole number"):
            left(bad)


def test_persist_is_for_its_sectors_alone():
    cache = disk()
    cache.write(3, filled(1, 2, 3))
    cache.write(4, filled(4))
    cache.persist(4, 1)
    assert cache.unflushed == [3, 5] and cache.base.read(3, 3) == filled(0xB3, 4, 0xB5)
    assert cache.read(3, 3) == filled(1, 4, 3)
    for call in (cache.persist, cache.discard, cache.read):
        with pytest.raises(ValueError, match="0 to 15 exist"):
            call(15, 2)
    with pytest.raises(ValueError, match="0 to 15 exist"):
        cache.write(15, filled(1, 2))
    assert cache.unflushed == [3, 5]


def test_a_discard_is_a_write_of_zeros_that_may_be_lost_too():
    cache = disk()
    cache.write(3, filled(1))
    cache.discard(3, 2)
    assert cache.read(3, 2) == filled(0, 0) and cache.possible(3) == (filled(0xB3), filled(1), filled(0))
    assert cache.possible(4) == (filled(0xB4), filled(0))
    cache.flush()
    assert cache.base.read(3, 2) == filled(0, 0)


def test_a_discard_larger_than_the_cache_costs_no_memory_and_takes_what_waits_with_it():
    cache = VolatileCache(Overlay(Image.open(filled(*[9] * 64))), capacity=8)
    cache.write(3, filled(1, 2))
    cache.write(60, filled(3))
    cache.discard(4, 50)
    assert cache.unflushed == [3, 60] and cache.read(3, 3) == filled(1, 0, 0) and cache.read(54) == filled(9)
    assert cache.possible(4) == (filled(0),)


def test_the_oldest_goes_first_when_the_cache_is_full():
    cache = disk(capacity=3)
    cache.write(1, filled(1))
    cache.write(2, filled(2))
    cache.write(1, filled(3))
    cache.write(5, filled(4, 5))
    assert cache.base.read(1, 2) == filled(1, 2) and cache.unflushed == [1, 5, 6]
    assert cache.possible(1) == (filled(1), filled(3))
    for n in range(1000):
        cache.write(7, filled(n % 256))
    assert len(cache.possible(7)) == 4                                # what is stable, and three that wait
    with pytest.raises(ValueError, match="capacity 0: a cache holds 1 sector or more"):
        disk(capacity=0)


class Failing(Image):
    """A medium whose host has no room: what fails is named in `fails`."""

    fails = ()

    def write(self, lba, data):
        if "write" in self.fails:
            raise ValueError("image: no room")
        super().write(lba, data)

    def flush(self):
        if "flush" in self.fails:
            raise ValueError("image: no room")


@pytest.mark.parametrize("fails", ["write", "flush"])
def test_what_a_flush_could_not_store_is_not_flushed(fails):
    base = Failing(bytearray(SECTORS * 512))
    cache = VolatileCache(base)
    cache.write(3, filled(1, 2))
    base.fails = (fails,)
    with pytest.raises(ValueError, match="no room"):
        cache.flush()
    with pytest.raises(ValueError, match="no room"):
        cache.persist(4, 1)
    assert cache.unflushed == [3, 4] and cache.read(3, 2) == filled(1, 2)
    base.fails = ()
    cache.flush()
    assert base.read(3, 2) == filled(1, 2) and cache.unflushed == []


def test_switching_off_in_order_loses_nothing(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(8 * 512))
    with VolatileCache(Image.open(path, writable=True)) as cache:
        assert cache.writable and cache.paths == (str(path),)
        cache.write(2, filled(5))
        assert path.read_bytes() == bytes(8 * 512) and list(cache.extents()) in ([(2, 3)], [(0, 8)])
    assert path.read_bytes() == bytes(1024) + filled(5) + bytes(5 * 512)


@pytest.mark.parametrize("wrap, first", [(lambda cache: Partition(cache, 8, 8), 8),
                                         (lambda cache: Volumes([Image.open(bytes(SECTORS * 512)), cache]), -SECTORS)])
def test_parts_of_a_disk_pass_it_on(wrap, first):
    cache = disk()
    part = wrap(cache)
    at = max(-first, 0) + 1
    part.write(at, filled(1, 2, 3))
    part.persist(at + 1, 1)
    assert cache.unflushed == [at + first, at + first + 2]
    part.flush()
    assert cache.unflushed == []


STEPS = st.lists(st.one_of(
    st.tuples(st.just("write"), st.integers(0, 5), st.integers(1, 3)), st.tuples(st.just("flush"), st.just(0), st.just(0)),
    st.tuples(st.sampled_from(("persist", "discard")), st.integers(0, 5), st.integers(0, 3))), max_size=25)


@given(STEPS, st.integers(0, 1 << 32), st.integers(1, 30))
def test_against_lists_of_what_each_sector_may_hold(steps, seed, capacity):
    """The model has a list a sector: a cache of limited size only ever makes it shorter."""
    cache = VolatileCache(Image.open(bytes(8 * 512)), capacity)
    may, written = {lba: [filled(0)] for lba in range(8)}, 0
    for number, (step, lba, count) in enumerate(steps, 1):
        if step == "write":
            cache.write(lba, filled(*[number] * count))
        elif step == "flush":
            cache.flush()
        else:
            getattr(cache, step)(lba, count)
        for at in may if step == "flush" else range(lba, lba + count):
            if step in ("write", "discard"):
                written += 1
                may[at].append(filled(number if step == "write" else 0))
            else:
                del may[at][:-1]
        assert cache.read(0, 8) == b"".join(content[-1] for content in may.values())
        assert all(list(cache.possible(at)) == content[-len(cache.possible(at)):] for at, content in may.items())
        assert written > capacity or all(len(cache.possible(at)) == len(content) for at, content in may.items())
    before = {lba: cache.possible(lba) for lba in may}
    cache.power_cut(seed)
    assert all(cache.read(lba) in before[lba] and cache.possible(lba) == (cache.read(lba),) for lba in may)
