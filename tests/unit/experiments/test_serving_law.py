"""The served model against paper: a call's time by a line, a request's wait by Pollaczek, Khinchin and Welch."""

from math import inf, isclose

import pytest

from vmio.experiments.serving import ServingParams, run
from vmio.experiments.serving_law import call_ns, fitted, latency_ns, setup_ns


@pytest.mark.parametrize("way, fixed", [("service", 14_009), ("functions", 5_347)])
def test_a_line_through_a_few_sizes_tells_of_all_that_fit_on_the_chip(way, fixed):
    law = fitted({images: call_ns(way, images) for images in (1, 8, 64)})
    assert isclose(law.fixed, fixed, abs_tol=2) and isclose(law.each, 64 * 0.2539 + 40 * 0.2539 + 2368 / 256, rel_tol=0.002)
    for images in (2, 30, 128, 300, 450, law.piece):
        assert isclose(law.ns(images), call_ns(way, images), rel_tol=0.001), images
        assert law.ns(images) == law.straight(images)


@pytest.mark.parametrize("hidden", [8, 32, 128])
def test_beyond_the_chip_each_piece_adds_its_descriptors(hidden):
    law = fitted({images: call_ns("functions", images, hidden) for images in (1, 64, 128)}, hidden)
    for images in (law.piece + 1, 1_024, 4_096):
        counted = call_ns("functions", images, hidden)
        assert isclose(law.ns(images), counted, rel_tol=0.002), images
        assert law.straight(images) < 0.99 * counted


def test_a_larger_model_has_the_same_price_and_more_work():
    small, large = (fitted({images: call_ns("functions", images, hidden) for images in (1, 64)}, hidden) for hidden in (8, 128))
    assert isclose(small.fixed, large.fixed, rel_tol=0.001) and large.each > 2 * small.each


def test_a_line_needs_two_points():
    with pytest.raises(ValueError, match="points 1: a line needs two or more"):
        fitted({1: 5})


@pytest.mark.parametrize("rate", [40_000, 120_000])
def test_requests_wait_as_long_as_the_formula_says(rate):
    call, setup = call_ns("engines", 1), setup_ns("engines")
    one = run(ServingParams("engines", tenants=1, rate=rate, batch=1, wait_us=0, count=8_000)).tenants[0]
    assert isclose(one.mean_ns, latency_ns(rate, call, setup), rel_tol=0.03)
    assert one.mean_ns > 1.2 * latency_ns(rate, call)          # without the set-up, M/D/1 alone says too little


def test_what_the_formula_says_at_its_ends():
    assert latency_ns(1, 5_000) == pytest.approx(5_000, rel=1e-4)
    assert latency_ns(200_000, 5_000) == latency_ns(300_000, 5_000) == inf
    assert latency_ns(100_000, 5_000) == 5_000 + 0.5 / (2 * 0.5) * 5_000           # rho / (2 (1 - rho)) * S
    assert latency_ns(1, 5_000, 3_000) == pytest.approx(8_000, rel=1e-4)
