"""The first gesture of the course: the size of a read decides in emulated mode, and hardly matters in the others."""

from functools import partial

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments import disk

from vmio.lessons.start_here import panel as lesson


@pytest.mark.parametrize("mode, least, most", [("emulated", 4_304, 133_264), ("split", 32, 32), ("passthrough", 16, 16)])
def test_the_number_of_reads_stands_still_while_their_size_is_dragged(mode, least, most):
    panel = lesson.panel()
    counted = []
    for block in (512, 16_384):
        panel.set(mode=mode, block=block)
        assert panel.text.startswith(f"{mode}: 16 reads of {block:,}\n")
        counted.append(panel.live.edges[0]["count"])
    assert counted == [least, most]


def test_no_move_waits_for_a_long_simulation_once_the_kernel_was_idle(monkeypatch):
    monkeypatch.setattr(lesson, "_known", {})
    monkeypatch.setattr(lesson, "_going_ahead", lesson._ahead())
    panel = lesson.panel()
    panel.finish()                          # what a kernel does while nobody asks for anything
    whole, simulated = disk.run, []
    monkeypatch.setattr(disk, "run", lambda params: simulated.append(whole(params)) or simulated[-1])
    for guests in panel.controls["guests"].values:
        for block in panel.controls["block"].values:
            for depth in (32, 1):           # an emulated disk takes one read at a time: nothing new to simulate
                panel.set(guests=guests, block=block, queue_depth=depth)
                assert "in flight 1\n" in panel.text and "\"In flight\" changes nothing here" in panel.text
    assert max(one.exits_total for one in simulated) < 140_000
    asked = [(one.params.guests, one.params.block) for one in simulated]
    assert len(asked) == len(set(asked)) == 3 * 6 - len(lesson.AHEAD) - 1, "each once; the default and those ahead are known"


def test_what_is_simulated_ahead_is_what_would_be_and_goes_on_after_a_move(monkeypatch):
    monkeypatch.setattr(lesson, "_known", {})
    monkeypatch.setattr(lesson, "AHEAD", ((2, 1024),))
    monkeypatch.setattr(lesson, "_going_ahead", lesson._ahead())
    monkeypatch.setattr(disk, "stepwise", partial(disk.stepwise, events=5))
    panel = lesson.panel()
    assert panel._next() and panel._next()
    panel.set(block=512)                    # it takes the panel away from there
    panel.finish()
    params = lesson._params("emulated", 1024, 1, 2)
    assert lesson._known[params] == disk.run(params)
    assert [one for one in disk.stepwise(params)][-1] == disk.run(params)


def test_a_card_that_holds_interrupts_back_is_shown_before_those_beside_it():
    from vmio.lessons.move_packets.panel import moderation_panel
    panel = moderation_panel()
    heads = [panel.so_far[0].splitlines()[3].split(), panel.text.splitlines()[3].split()]
    panel.close()
    assert heads == [["set"], ["none", "set", "adaptive"]]
