"""Intel's table of interrupt moderation: each branch of it, at each of its edges, against a table made by hand from the source."""

from itertools import product

import pytest

from vmio.drivers.igbvf_moderation import START, VALUES, Moderation, Range, eased, next_range

LOWEST, LOW, BULK = Range


def by_hand(now, packets, size):
    """The first row that holds, as drivers/net/ethernet/intel/igbvf/netdev.c has them in order."""
    each = size // packets
    rows = {LOWEST: [(each > 8000, BULK), (packets < 5 and size > 512, LOW)],
            LOW: [(size > 10_000 and each > 8000, BULK), (size > 10_000 and (packets < 10 or each > 1200), BULK), (size > 10_000 and packets > 35, LOWEST),
                  (size > 10_000, LOW), (each > 2000, BULK), (packets <= 2 and size < 512, LOWEST)],
            BULK: [(size > 25_000 and packets > 35, LOW), (size > 25_000, BULK), (size < 6000, LOW)]}
    return next((to for holds, to in rows[now] if holds), now)


PACKETS = (1, 2, 3, 4, 5, 9, 10, 35, 36, 64)
SIZES = sorted({edge + off for edge in (64, 512, 2000, 4002, 6000, 8001, 10_000, 16_002, 25_000, 43_236, 80_010, 600_000) for off in (-1, 0, 1)}
               | {packets * limit + off for packets in PACKETS for limit in (1200, 1201, 2000, 2001, 8000, 8001) for off in (-1, 0, 1)})


@pytest.mark.parametrize("now", Range)
def test_the_whole_grid(now):
    found = {(packets, size): next_range(now, packets, size) for packets, size in product(PACKETS, SIZES)}
    assert found == {(packets, size): by_hand(now, packets, size) for packets, size in found}
    assert set(found.values()) == ({LOW, BULK} if now == BULK else set(Range))


@pytest.mark.parametrize("now, packets, size, then", [
    (LOWEST, 1, 8001, BULK), (LOWEST, 4, 513, LOW), (LOWEST, 5, 513, LOWEST), (LOWEST, 4, 512, LOWEST), (LOW, 9, 10_001, BULK), (LOW, 10, 10_001, LOW),
    (LOW, 10, 12_010, BULK), (LOW, 36, 10_001, LOWEST), (LOW, 4, 8_004, BULK), (LOW, 2, 511, LOWEST), (LOW, 3, 511, LOW), (BULK, 36, 25_001, LOW),
    (BULK, 35, 25_001, BULK), (BULK, 1, 5_999, LOW), (BULK, 1, 6_000, BULK), (LOW, 0, 0, LOW), (488, 1, 60, 488)])
def test_rows_that_one_reads_in_the_source(now, packets, size, then):
    assert next_range(now, packets, size) == then


def test_upwards_by_quarters_and_down_at_once():
    assert [eased(value, 980) for value in (56, 301, 900, 980)] == [301, 546, 980, 980]
    assert eased(980, 56) == 56 and VALUES == {LOWEST: 56, LOW: 196, BULK: 980}


def test_a_ring_follows_its_traffic():
    ring = Moderation()
    assert [ring.interrupt(12, 18_000) for _ in range(5)] == [733, 978, 980, 980, 980]       # full frames: bulk
    assert ring.interrupt(1, 60) == 196 and ring.interrupt(1, 60) == 56                       # a small answer, and again
    careful = Moderation(lowest=False)
    assert {careful.interrupt(1, 60) for _ in range(5)} == {196}


def test_linux_hands_the_value_over_and_so_never_moves():
    ring = Moderation(as_linux=True)
    assert {ring.interrupt(packets, size) for packets, size in ((1, 60), (12, 18_000), (64, 96_000), (1, 9_000))} == {START}
