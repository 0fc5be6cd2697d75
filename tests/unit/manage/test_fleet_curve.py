"""The curve of a host: the machine again counts what is kept, the fit is a fit, and its errors are those at points it has not seen."""

from random import Random
from statistics import mean

import pytest

from vmio.manage.fleet.calibrate import FIT, HELD, MODES, POINTS, Mix, measure, measure_all, recorded, to_csv, words
from vmio.manage.fleet.service import BUSY, Curve, curve, errors, fit, least_squares, sums, to_table, waits, worst


def small(mix: Mix) -> bool:
    return sum(guests for guests, _ in mix) <= 8


def test_the_machine_counts_again_what_is_kept():
    found = measure_all(chosen=small)
    assert len(found) == 15
    assert found == [one for mode in MODES for one in recorded(mode) if small(one.mix)]


def test_a_host_of_many_guests_too():
    kept = next(one for one in recorded("emulated") if one.mix == ((20, 1500),))
    assert tuple(round(number, 3) for number in measure("emulated", kept.rates)) == (kept.reads, kept.core_ns, kept.latency_us)


def test_what_is_kept_is_all_that_a_host_can_bear():
    for mode in MODES:
        points = {(one.use, one.mix) for one in recorded(mode)}
        missing = {words(mix) for use, mix in POINTS if (use, mix) not in points}
        assert missing == ({"24*4000"} if mode == "emulated" else set())
    text = to_csv([one for mode in MODES for one in recorded(mode)])
    assert text.splitlines()[1].startswith("emulated,fit,1*1000,24,") and text.count("\n") == 1 + 16 + 17 + 17


@pytest.mark.parametrize("cores, busy, wanted", [(1, 0.5, 1.0), (1, 0.8, 4.0), (2, 0.5, 1 / 3), (2, 0.9, 0.81 / 0.19), (3, 2 / 3, 4 / 9), (2, 0.0, 0.0)])
def test_erlangs_formula(cores, busy, wanted):
    """One server: u / (1 - u).  Two: u^2 / (1 - u^2).  Three with a load of two: C = 4/9, by hand."""
    assert waits(busy, cores) == pytest.approx(wanted)


def test_least_squares_finds_what_is_there():
    random = Random(5)
    rows = [(1.0, random.uniform(0, 9), random.uniform(-3, 3)) for _ in range(12)]
    assert least_squares(rows, [7 + 2 * a - 0.5 * b for _, a, b in rows]) == pytest.approx((7, 2, -0.5))
    best = least_squares([(1.0,), (1.0,)], [1.0, 3.0])[0]           # of (k - 1)^2 + (k/3 - 1)^2
    assert best == pytest.approx((1 + 1 / 3) / (1 + 1 / 9))


@pytest.mark.parametrize("mode", MODES)
def test_points_that_were_held_out(mode):
    """Errors by hand, from the six numbers; and no better by having seen the points."""
    one, found = curve(mode), []
    for point in recorded(mode):
        if point.use == HELD:
            rates = point.rates
            total = sum(rates)
            each = sum(rate ** 2 for rate in rates) / total
            core = one.core[0] + one.core[1] * each / 1000 + one.core[2] * total / 1000
            busy = core * total / 2e9
            assert one.busy(*sums(rates)) == pytest.approx(busy)
            time = one.time[0] + one.time[1] * each / 1000 + one.time[2] * busy ** 2 / (1 - busy ** 2)
            found.append((core / point.core_ns - 1, abs(100 * (time / point.latency_us - 1))))
    assert worst(errors(recorded(mode), one)) == pytest.approx((mean(off for _, off in found), max(off for _, off in found)))
    assert max(abs(core) for core, _ in found) < 0.03 and max(off for _, off in found) < {"emulated": 10, "split": 8, "passthrough": 1}[mode]
    assert fit([point for point in recorded(mode) if point.use == FIT]) == one


def test_a_host_that_is_too_busy_has_no_time():
    one = curve("emulated")
    rates = [4000.0] * 20
    assert one.busy(*sums(rates)) > BUSY and one.latency_us(*sums(rates)) is None
    assert one.busy(0.0, 0.0) == 0 and one.latency_us(0.0, 0.0) is None
    assert Curve((10_000.0, 0.0, 0.0), (80.0, 0.0, 20.0)).latency_us(*sums([1000.0] * 100)) == pytest.approx(80 + 20 / 3)


def test_the_table_has_all_points():
    lines = to_table(errors(recorded("split"), curve("split"))).splitlines()
    assert len(lines) == 2 + 17 and lines[12].split()[:4] == ["split", "held", "out", "2*3000"]


def test_a_mode_that_there_is_not():
    with pytest.raises(ValueError, match="mode 'shared': choose one of emulated, split, passthrough"):
        recorded("shared")
