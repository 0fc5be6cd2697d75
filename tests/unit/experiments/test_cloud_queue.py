"""A queue and a token bucket against the closed forms of theory."""

import pytest

from vmio.experiments.cloud_queue import bucket_ends, bucket_theory, random_arrivals
from vmio.hypervisor.costs import CostModel

SERVICE = CostModel.preset("server-2022").disk_read_ns


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.7, 0.8])
def test_random_arrivals_wait_as_long_as_theory_says(rho):
    """A hundred thousand requests: the mean wait is within 3 % of Pollaczek and Khinchine's."""
    found = random_arrivals(rho, 100_000)
    assert found.service_ns == SERVICE and found.rho == pytest.approx(rho, rel=0.01)
    assert found.theory_ns == pytest.approx(rho / (2 * (1 - rho)) * SERVICE)
    assert found.wait_ns == pytest.approx(found.theory_ns, rel=0.03)


@pytest.mark.parametrize("rho", [0, 1, 1.5, -0.1, float("nan")])
def test_a_disk_that_is_asked_for_more_than_it_has_is_refused(rho):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        random_arrivals(rho, 10)


@pytest.mark.parametrize("rate, size, requests", [(300, 30, 60), (3000, 1, 20), (1000, 64, 64), (7, 3, 9)])
def test_a_token_bucket_lets_go_when_its_closed_form_says(rate, size, requests):
    ends, theory = bucket_ends(rate, size, requests), bucket_theory(rate, size, requests)
    assert theory[:size] == [0] * min(size, requests) and len(ends) == requests
    if requests > size:
        assert theory[size] == -(-10**9 // rate) and theory[-1] == -(-(requests - size) * 10**9 // rate)
    for number, (end, may) in enumerate(zip(ends, theory)):
        passing = 1000 * number if number < size else number     # what goes at once passes one after the other; each wait is rounded up to a ns
        assert may + SERVICE <= end <= may + SERVICE + passing
