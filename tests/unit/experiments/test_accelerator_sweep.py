"""The size of a call decides: both published ends come out of one sweep, and a larger network moves them."""

from vmio.experiments.accelerator_sweep import BATCHES, break_even, sweep, to_table


def test_one_sweep_has_both_published_ends():
    points = list(sweep())
    for way in ("emulated", "split", "passthrough"):
        own = [each for each in points if each.way == way]
        assert [each.batch for each in own] == list(BATCHES)
        assert [each.of_bare for each in own] == sorted(each.of_bare for each in own)          # more at once is never worse
        assert [each.exits_per_image * each.batch for each in own] == [{"passthrough": 1}.get(way, 2)] * len(BATCHES)
    assert break_even(points, "passthrough", 98) <= 4096 and break_even(points, "passthrough", 60) > 16     # Walters et al.; Shea and Liu
    assert break_even(points, "passthrough", 98) <= break_even(points, "split", 98) == 16384
    assert break_even(points, "registers", 5) is None
    assert max(each.of_bare for each in points) <= 100
    assert to_table(points).count("\n") >= len(points)


def test_a_larger_network_needs_fewer_images_a_call():
    few, many = (list(sweep(("passthrough",), (64, 256, 1024), hidden)) for hidden in (8, 256))
    assert all(small.of_bare < large.of_bare for small, large in zip(few, many))
