"""How much faster are n workers? Two laws, fitted where n is small, and where the device ends it.

    Amdahl:     C(n) = n / (1 + a (n - 1))                    a part `a` of the work is done by one alone
    universal:  C(n) = n / (1 + a (n - 1) + b n (n - 1))      and each pair of workers costs something, too

G. M. Amdahl, "Validity of the Single Processor Approach", AFIPS 1967; N. J. Gunther, "Guerrilla Capacity Planning", Springer 2007.
Neither knows of a device that gives no more than so many bytes a second; where that is reached can be said from one worker alone.
"""

from collections.abc import Mapping
from dataclasses import replace

from vmio.experiments import scan
from vmio.experiments.scan import ScanParams, ScanResult
from vmio.hypervisor.costs import CostModel

SMALL, LARGE = (1, 2, 4, 8), 16


def run(params: ScanParams = ScanParams(), numbers: tuple[int, ...] = (*SMALL, LARGE)) -> dict[int, ScanResult]:
    """Return {number of workers: result} of the same scan."""
    return {n: scan.run(replace(params, workers=n)) for n in numbers}


def speed_ups(results: Mapping[int, ScanResult]) -> dict[int, float]:
    """Return {n: how many times as fast as one worker}; ValueError without a result of one."""
    if 1 not in results:
        raise ValueError(f"speed-ups of {', '.join(map(str, results)) or 'none'} workers: the time of 1 is needed, too")
    return {n: results[1].virtual_ns / result.virtual_ns for n, result in results.items()}


def amdahl(n: int, a: float) -> float:
    """Return the speed-up of n workers by Amdahl's law."""
    return universal(n, a, 0)


def universal(n: int, a: float, b: float) -> float:
    """Return the speed-up of n workers by the universal scalability law."""
    return n / (1 + a * (n - 1) + b * n * (n - 1))


def fit(speeds: Mapping[int, float], pairs: bool = True) -> tuple[float, float]:
    """Return (a, b) by least squares; without `pairs` b is 0, which is Amdahl's law.

    (n / C - 1) / (n - 1) is a + b n by the law: a straight line.  ValueError for fewer than two numbers above 1 (one for Amdahl's).
    """
    line = [(n, (n / speed - 1) / (n - 1)) for n, speed in speeds.items() if n > 1]
    if len(line) < 1 + pairs:
        raise ValueError(f"a fit to {len(line)} numbers of workers above 1: at least {1 + pairs}")
    middle, height = (sum(each[at] for each in line) / len(line) for at in (0, 1))
    if not pairs:
        return height, 0.0
    b = sum((n - middle) * (y - height) for n, y in line) / sum((n - middle) ** 2 for n, _ in line)
    return height - b * middle, b


def crossover(one: ScanResult) -> float:
    """Return the number of workers at which the device has no more to give, from what one worker reads in a second."""
    reads = one.mb_per_s * one.device_ns / (one.params.bytes * 1e9 / CostModel.preset(one.params.costs).disk_read_rate)     # with what overlaps
    return CostModel.preset(one.params.costs).disk_read_rate / 1e6 / reads
