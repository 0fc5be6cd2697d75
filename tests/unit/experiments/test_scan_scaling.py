"""Speed-up: the laws at known points, the held-out one within ten percent, and the device's end predicted from one worker."""

import pytest

from vmio.experiments import scan_scaling as scaling
from vmio.experiments.scan import ScanParams


def test_a_fit_finds_the_law_that_made_the_points():
    exact = {n: scaling.universal(n, 0.03, 0.002) for n in scaling.SMALL}
    assert scaling.fit(exact) == pytest.approx((0.03, 0.002))
    assert scaling.fit({n: scaling.amdahl(n, 0.1) for n in scaling.SMALL}, pairs=False) == pytest.approx((0.1, 0))
    assert scaling.amdahl(10, 0.1) == pytest.approx(10 / 1.9) and scaling.universal(1, 0.3, 0.4) == 1


def test_the_universal_law_predicts_16_workers_from_8_and_amdahls_does_worse():
    speeds = scaling.speed_ups(scaling.run())
    small = {n: speeds[n] for n in scaling.SMALL}
    a, b = scaling.fit(small)
    off = abs(scaling.universal(16, a, b) / speeds[16] - 1)
    assert off < 0.1 and b > 0 and a > 0
    assert off < abs(scaling.amdahl(16, scaling.fit(small, pairs=False)[0]) / speeds[16] - 1)


@pytest.mark.parametrize("params", [ScanParams(rate=1000, merge_ns=0, depth=4), ScanParams(rate=2000, merge_ns=0, depth=4, kib=32768)], ids=str)
def test_the_device_ends_it_where_one_worker_says(params):
    results = scaling.run(params, (1, 2, 4, 8, 16))
    end, speeds = scaling.crossover(results[1]), scaling.speed_ups(results)
    assert speeds[2] > 1.9 and results[16].device_busy > 80
    assert all(speed < end for speed in speeds.values())            # no number of workers is faster than the device
    assert speeds[16] == pytest.approx(speeds[8], rel=0.02)          # beyond the end more workers bring nothing
    assert speeds[8] > 0.8 * end
    a, b = scaling.fit({n: speeds[n] for n in scaling.SMALL if n < end})
    assert scaling.universal(16, a, b) > 1.2 * speeds[16]            # and the law, fitted before the end, does not know of it


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="^a fit to 1 numbers of workers above 1: at least 2$"):
        scaling.fit({1: 1, 2: 1.9})
    with pytest.raises(ValueError, match="^speed-ups of 2 workers: the time of 1 is needed, too$"):
        scaling.speed_ups(scaling.run(numbers=(2,)))
