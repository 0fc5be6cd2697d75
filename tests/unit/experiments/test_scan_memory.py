"""A scan whose guests get more memory, or less, while it runs: what was kept is not read again, and the counts stay the known ones."""

from dataclasses import replace
from random import Random

import pytest

from vmio.drivers.balloon import Balloon, floor
from vmio.drivers.page_cache import PageCache
from vmio.experiments import scan
from vmio.experiments.scan import ScanParams
from vmio.experiments.scan_control import SLOW_DISK

KNOWN = {b"license": 1794, b"copyright": 401, b"warranty": 207, b"the": 7665}
SMALL = ScanParams(kib=6784, piece_kib=128, passes=4, rate=4000, merge_ns=0, memory=2, costs=SLOW_DISK)
MORE = replace(SMALL, changes=((5000, "memory", 8),))
LARGE = ScanParams(kib=32768, piece_kib=256, passes=2, rate=4000, merge_ns=0, memory=40, costs=SLOW_DISK)
LESS = replace(LARGE, changes=((30_000, "memory", 20),))
PIECES, PAGES = 53, 33              # in a pass; pages of a read: 128 KiB and a sector


def said(result):
    return [what for _, what in result.changes]


def test_in_several_passes_each_word_is_searched_once_and_without_memory_all_is_read_again():
    for passes in (1, 2, 3, 4):
        result = scan.run(replace(SMALL, memory=None, passes=passes))
        assert result.found == KNOWN and len(result.spans) == len(result.latencies) == passes * PIECES
        assert result.again == (passes - 1) * PIECES and not result.hits and not result.memory


def test_what_there_is_room_for_is_read_once():
    result = scan.run(SMALL)
    kept = 2 * 256 // PAGES
    assert result.found == KNOWN
    assert len(result.hits) == 3 * kept and len(result.latencies) == 4 * PIECES - 3 * kept and result.again == 3 * (PIECES - kept)
    assert result.memory == [[(0, 2)]] and not result.added and not result.given


def test_memory_that_is_added_while_it_runs_is_used_at_once():
    before, after, large = scan.run(SMALL), scan.run(MORE), scan.run(replace(SMALL, memory=8))
    assert after.found == KNOWN and after.added == 6 * 256 and not after.given
    assert said(after) == ["memory: 8", "guest0 has 8 MiB"] and after.changes[0][0] == 5_000_000
    (start, at_first), (answered, later) = after.memory[0]
    assert (start, at_first, later) == (0, 2, 8) and 5_000_000 < answered < 6_000_000
    early = [at for at, _ in before.latencies if at < 5_000_000]
    assert [at for at, _ in after.latencies if at < 5_000_000] == early, "until then nothing is changed"
    assert len(before.hits) < len(after.hits) < len(large.hits) and large.virtual_ns < after.virtual_ns < 0.6 * before.virtual_ns
    assert len(after.hits) + len(after.latencies) == 4 * PIECES
    assert after.device_ns < before.device_ns and after.exits < before.exits


def test_the_pages_that_are_added_are_those_that_reads_go_to(monkeypatch):
    """Bytes come from behind the end of the RAM that the guest began with, at 128 MiB as Linux wants it."""
    rooms, whole = [], PageCache.room

    def room(cache, count):
        rooms.append(whole(cache, count))
        return rooms[-1]
    monkeypatch.setattr(PageCache, "room", room)
    assert scan.run(MORE).found == KNOWN
    added = {first for first in rooms if first is not None and first >= 128 * 256}
    assert PIECES - 2 * 256 // PAGES <= len(added) <= 6 * 256 // PAGES and max(added) + PAGES <= (128 + 6) * 256 and None in rooms


def test_a_guest_gives_memory_back_down_to_its_floor_and_reads_again_what_was_in_it(monkeypatch):
    drivers, init = [], Balloon.init

    def noted(balloon):
        drivers.append(balloon)
        return init(balloon)
    monkeypatch.setattr(Balloon, "init", noted)
    full, less = scan.run(LARGE), scan.run(LESS)
    assert full.found == less.found == KNOWN and full.again == 0 < less.again < 64
    heap = drivers[1].heap
    assert less.given == drivers[1].ballooned > 0 and less.memory[0][-1][1] == 40 - less.given // 256 > 20
    assert said(less)[-1] == f"guest0 keeps its {less.memory[0][-1][1]} MiB" and heap.dropped > 0
    assert 0 <= heap.available - floor(heap.total) and less.virtual_ns > full.virtual_ns
    back = scan.run(replace(LESS, changes=((10_000, "memory", 20), (20_000, "memory", 40))))
    assert back.found == KNOWN and back.added == back.given > 0 and said(back)[-1] == "guest0 has 40 MiB"
    assert drivers[2].ballooned == drivers[2].added == 0, "it got its own pages again, and no others"


def test_what_the_host_has_not_it_does_not_give_and_the_scan_goes_on():
    asked = scan.run(replace(SMALL, changes=((5000, "memory", 64),)))
    assert said(asked) == ["memory: 64", "guest0 keeps its 2 MiB: 62 MiB more are wanted, and the host has 32 MiB for its guests"]
    plain = scan.run(SMALL)
    assert replace(asked, params=SMALL, changes=[]) == plain
    assert said(scan.run(replace(SMALL, spare=6, changes=((5000, "memory", 8),))))[-1] == "guest0 has 8 MiB"
    assert said(scan.run(replace(SMALL, spare=5, changes=((5000, "memory", 8),))))[-1].endswith("6 MiB more are wanted, and the host has 5 MiB for its guests")


def test_several_guests_share_what_the_host_has_and_who_comes_late_gets_one_sentence():
    guests = replace(SMALL, kind="guests", shared=False, kib=3392, changes=((1000, "memory", 20),))
    result = scan.run(guests)
    refused = "{} keeps its 2 MiB: 18 MiB more are wanted, and the host has 14 MiB for its guests"
    assert said(result)[1:4] == [refused.format(f"guest{n}") for n in (1, 2, 3)] and said(result)[4:] == ["guest0 has 20 MiB"]
    assert [each[-1][1] for each in result.memory] == [20, 2, 2, 2] and result.added == 18 * 256


def test_a_wish_that_comes_before_the_last_one_is_answered_waits_for_it():
    result = scan.run(replace(SMALL, changes=((5000, "memory", 8), (5010, "memory", 16))))
    assert said(result) == ["memory: 8", "memory: 16", "guest0 has 8 MiB", "guest0 has 16 MiB"] and result.found == KNOWN


def test_whatever_is_wished_and_whenever_the_counts_are_the_known_ones():
    random = Random(19)
    for _ in range(6):
        changes = tuple(sorted((random.randrange(12_000), random.choice(("memory", "memory", "depth", "channels")), 2 * random.randint(1, 2)) for _ in range(5)))
        changes += ((12_000, "memory", 30),)
        result = scan.run(replace(SMALL, memory=30, depth=random.choice((1, 4)), backup=random.random() < 0.5, slow=random.choice((1, 6)), changes=changes))
        assert result.found == KNOWN
    for when in range(21_300, 22_300, 250):         # when nothing is left to begin
        assert scan.run(replace(SMALL, changes=((when, "memory", 8),))).found == KNOWN


@pytest.mark.parametrize("options, words", [
    ({"memory": 3}, "memory 3: 2 to 128, a multiple of 2"), ({"passes": 5}, "passes 5: 1 to 4"), ({"spare": -1}, "spare -1: 0 to 1,024"),
    ({"memory": None, "changes": ((1, "memory", 8),)}, "change of memory to 8 at 1 us: 2 to 128 MiB, a multiple of 2, of guests that have some (memory)"),
    ({"changes": ((1, "memory", 9),)}, "change of memory to 9 at 1 us: 2 to 128 MiB, a multiple of 2, of guests that have some (memory)"),
    ({"changes": ((1, "memory", 130),)}, "change of memory to 130 at 1 us: at 0 us or later, to 1 to 128"),
    ({"kind": "guests", "changes": ((1, "passthrough", 1),)},
     "memory 2: not of a guest with an assigned function, which may reach all of its RAM, so none can go")])
def test_what_can_not_be_is_refused(options, words):
    with pytest.raises(ValueError) as caught:
        scan.run(replace(SMALL, **options))
    assert str(caught.value) == words
