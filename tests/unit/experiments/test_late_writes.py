"""Late writes: what a device still reaches after its buffers were taken away, by when the IOTLB is told."""

import pytest

from vmio.experiments.late_writes import LATE, SECRET, LateWritesParams, run


def test_strict_mode_lets_nothing_through_however_late():
    for late_by in (0, 1, 64):
        one = run(LateWritesParams("strict", late_by=late_by))
        assert (one.landed, one.leaked, one.damaged) == (0, 0, 0)
        assert one.refused == 64 and one.faults == 2 * 64 and one.invalidations == 64 + late_by


def test_lazy_mode_lets_through_what_comes_before_the_iotlb_is_told():
    one = run(LateWritesParams("lazy", batch=16, late_by=4))
    told = [number for number in range(64) if any(late % 16 == 15 for late in range(number, number + 5))]
    assert one.landed == 64 - len(told) == 44 and one.refused == len(told) == one.faults / 2
    assert one.leaked == 44 * len(SECRET) and one.damaged == 44 * sum(a != b for a, b in zip(SECRET, LATE))
    assert run(LateWritesParams("lazy", batch=256, late_by=4)).landed == 64, "nobody told it before the end"
    assert run(LateWritesParams("lazy", batch=1, late_by=4)).landed == 0, "told for each"


def test_a_small_iotlb_forgets_by_itself_which_is_luck():
    assert [run(LateWritesParams("lazy", batch=256, late_by=40, entries=entries)).landed for entries in (16, 256)] == [0, 64]


def test_an_address_that_is_used_again_leads_a_very_late_write_into_a_newer_buffer():
    landed = [run(LateWritesParams("lazy", batch=16, late_by=late_by)).landed for late_by in range(17)]
    assert landed[:16] == sorted(landed[:16], reverse=True) and (landed[0], landed[15], landed[16]) == (60, 0, 60)


def test_lazy_mode_is_what_drivers_want():
    strict, lazy = (run(LateWritesParams(name)) for name in ("strict", "lazy"))
    assert lazy.driver_ns < strict.driver_ns / 2
    assert (strict.invalidations, lazy.invalidations) == (68, 4)


@pytest.mark.parametrize("wrong", [{"strategy": "static"}, {"batch": 0}, {"late_by": -1}, {"entries": 0}, {"buffers": 513}])
def test_what_is_not_allowed_is_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        run(LateWritesParams(**wrong))
