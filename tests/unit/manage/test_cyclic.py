"""The model of a writer that goes round: beside migrations that move bytes, and beside those that a real QEMU did."""

import pytest
from tests.migration_rig import MB, moved, writer

from vmio.manage.migration import recorded
from vmio.manage.migration.cyclic import Guest, predict
from vmio.manage.migration.link import Link
from vmio.manage.migration.rules import Qemu, Throttle, rule

PAGE = 4096
CASES = [(2048, 20_000, 32, Qemu(30), False), (2048, 5000, 32, Qemu(30), False), (2048, 6000, 32, Qemu(10), True), (1000, 1000, 10, Qemu(50), False),
         (2048, 20_000, 32, Qemu(300), False), (700, 3000, 8, rule("xen"), False), (700, 3000, 20, rule("hyper-v"), False)]


@pytest.mark.parametrize("pages, rate, bandwidth, by, throttled", CASES)
def test_it_says_what_a_migration_that_moves_bytes_does(pages, rate, bandwidth, by, throttled):
    warm = pages * 1_000_000_000 // rate + 1000          # each page has been written once
    report, _ = moved(writer(pages, rate, 4 * rate, 16), Link(bandwidth * MB, 0), by, warm, patience=8, throttle=Throttle() if throttled else None)
    said = predict(Guest(4096, pages, rate), bandwidth * MB, by, 8, throttled)
    assert said.moved == (report.status == "completed") and len(said.rounds) == len(report.rounds)
    for one, other in zip(said.rounds, report.rounds):
        assert one.throttle == other.throttle
        assert abs(one.dirty - other.dirty) <= (8 if one.throttle else 1)        # a vCPU is held back for whole instructions
        assert abs(one.pages - other.pages) <= 16
    if said.moved:
        state = report.state_bytes + 44 + 12                 # and the END record
        assert report.downtime_ns == pytest.approx(said.downtime_ns + state * 1000 // bandwidth, rel=0.02, abs=50_000)


@pytest.mark.parametrize("limit_ms", [1, 30, 300])
@pytest.mark.parametrize("rate", [100, 7000, 20_000, 200_000])
@pytest.mark.parametrize("pages", [200, 5000, 20_000])
def test_what_ends_and_what_does_not(pages, rate, limit_ms):
    bandwidth = 32 * MB
    said = predict(Guest(65_536, pages, rate), bandwidth, Qemu(limit_ms), 200)
    fits, slower = pages * PAGE <= bandwidth * limit_ms // 1000, rate * PAGE * 1.01 < bandwidth
    assert said.moved == (fits or slower), (said.reason, fits, slower)
    if not said.moved:
        assert said.plateau == pages


def test_all_fifteen_rows_are_held_against_it_and_the_clear_ones_are_met():
    found = [recorded.held(row) for row in recorded.rows()]
    assert len(found) == 15
    clear = [each for each in found if each.clear]
    assert len(clear) == 12 and all(each.met for each in clear)
    assert {each.says for each in clear} == {True, False}
    stuck = [each for each in clear if not each.says]
    assert len(stuck) == 2 and all(each.seen and abs(each.plateau / each.seen - 1) <= recorded.TOLERANCE for each in stuck)
    unclear = [each.recorded for each in found if not each.clear]
    assert [(row.pages, row.limit_ms) for row in unclear] == [(1024, 30), (4096, 300), (4096, 30)]
    assert {row.bandwidth for row in unclear} == {32 * MB} and {row.spin for row in unclear} == {20_000}


def test_the_rate_is_what_was_counted():
    assert 7000 < recorded.rate_of(20_000) < 8500 and recorded.rate_of(60_000) == pytest.approx(recorded.rate_of(20_000) / 3, abs=1)


@pytest.mark.parametrize("wrong", [dict(pages=0), dict(pages=3841), dict(rate=-1)])
def test_a_guest_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="^a guest "):
        Guest(**{"memory": 4096, "pages": 100, "rate": 10, **wrong})
