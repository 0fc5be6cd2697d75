"""The map of an attack and the lanes of a double fetch: what they draw is what was measured, at every setting."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.attacks.catalogue import DOORS, OF_THE_IOMMU, attacks, find, lines
from vmio.attacks.checks import check
from vmio.attacks.fetches import watched
from vmio.attacks.places import PLACES
from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.lab.isolation_view import IsolationView, attack_map, describe
from vmio.lab.timeline_view import TimelineView, moment
from vmio.lessons.break_isolation import panel as lesson

PLACE = {"neighbour": {"RAM": "intact", "disk": "changed"}, "host": {"itself": "alive"}}


def a_map(**other):
    fields = dict(title="t", doors=["rings", "registers"], door="rings", wall="SLAT", check=("translate", "vmio/table.py"), wall_is="up", way="stopped", end="refused",
                  places=PLACE, harmed=[("neighbour", "disk")], aims=[("neighbour", "disk"), ("host", "itself")])
    return attack_map(**{**fields, **other})


def test_a_map_says_all_that_it_draws():
    assert describe(a_map()) == (
        "t. The hostile guest goes by its rings. The wall: SLAT, up, which is translate in vmio/table.py. The arrow: stopped, refused. It aims at: neighbour's disk and "
        "host's itself. neighbour: RAM intact, disk changed (harmed). host: itself alive.")
    view = IsolationView(drawn=a_map(aims=[]), code=["def f():", "    pass"])
    assert view.rows() == [("map", "wall", "SLAT", "", "", "up", "up or off"),
                           ("map", "wall", "translate", "", "", "vmio/table.py", "the function's file"), ("map", "arrow", "refused", "", "", "stopped", "how far it came"),
                           ("map", "neighbour", "RAM: intact", "", "", 0, "harmed"), ("map", "neighbour", "disk: changed", "", "", 1, "harmed"),
                           ("map", "host", "itself: alive", "", "", 0, "harmed")]
    assert "It aims at: not known yet." in view.text and view.lines == ["def f():", "    pass"]


@pytest.mark.parametrize("wrong, sentence", [
    (dict(door="window"), "door is 'window'; allowed: rings, registers"), (dict(wall_is="down"), "wall_is is 'down'; allowed: up, off"),
    (dict(way="round"), "way is 'round'; allowed: stopped, through, nowhere, waiting"),
    (dict(harmed=[("neighbour", "hat")]), r"place \('neighbour', 'hat'\) is on no map"),
    (dict(aims=[("cat", "RAM")]), r"place \('cat', 'RAM'\) is on no map")])
def test_what_is_on_no_map_gets_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        a_map(**wrong)


@pytest.mark.parametrize("without", lesson.WITHOUT)
@pytest.mark.parametrize("id", attacks())
def test_the_map_is_what_a_run_of_its_own_measures(id, without):
    attack, panel = find(id), lesson.panel()
    panel.set(id=id, without=without)
    panel.finish()
    run = attack.run(without != "its defence", without != "the IOMMU")
    drawn, reached = panel.live.drawn, attack.run(False).touched
    found = {(guest["name"], one["name"]): one for guest in drawn["guests"] for one in guest["places"]}
    assert set(found) == {(whose, what) for whose, whats in PLACES.items() for what in whats}
    assert {where for where, one in found.items() if one["harmed"]} == {one[:2] for one in run.touched}
    assert {where for where, one in found.items() if one["aim"]} == {one[:2] for one in reached}
    for where, one in found.items():
        hows = [touch.how for touch in run.touched if touch[:2] == where]
        usual = {("neighbour", "requests"): f"{run.answered} of 28", ("host", "itself"): "alive"}.get(where, "intact")
        assert one["state"] == {"stopped": "stopped" if where[0] == "host" else usual, "filled": "overfull",
                                "late": f"{run.slowdown or 0:.0f} times"}.get(hows[0], ", ".join(hows)) if hows else usual
    missing = without == "its defence" or without == "the IOMMU" and attack.mode == "passthrough" and attack.wall in OF_THE_IOMMU
    assert (drawn["wall"], drawn["wallIs"]) == (attack.wall, "off" if missing else "up") and drawn["doors"] == list(DOORS)
    assert drawn["way"] == {FAIL: "through", WEDGED: "through", REJECT: "stopped"}.get(run.verdict, "nowhere" if missing else "stopped")
    assert {PASS: "nobody noticed" in drawn["end"] or missing, REJECT: "refused" in drawn["end"], FAIL: drawn["end"] == "went through",
            WEDGED: any(word in drawn["end"] for word in ("stopped", "waits", "keeps"))}[run.verdict]
    assert (drawn["check"], drawn["file"]) == check(id)
    if without == "the IOMMU" and not missing:
        before = attack.run()
        assert (run.verdict, run.touched) == (before.verdict, before.touched)
        assert sum(run.refused.values()) == sum(before.refused.values())      # not their kinds: without an IOMMU a device finds other bytes at an address
        assert ("another wall holds" if attack.mode == "passthrough" else "no device here needs it") in panel.so_far[0]
    else:
        assert f"switched off: {without}" in panel.so_far[0]
    assert panel.live.code == lines(attack) and drawn["door"] == attack.door and f"verdict {run.verdict}:" in panel.so_far[0]
    assert max(map(len, panel.so_far[0].splitlines())) <= 38 and len(panel.so_far[0].splitlines()) <= 14
    panel.close()


def test_what_takes_a_while_is_first_shown_without_an_end(monkeypatch):
    monkeypatch.setattr(lesson, "_known", {})
    panel = lesson.panel()
    for id, first in (("flood-of-requests", "waiting"), ("edge-read", "stopped")):
        panel.set(id=id)
        assert panel.live.drawn["way"] == first and not any(one["aim"] for guest in panel.live.drawn["guests"] for one in guest["places"])
        panel.finish()
        assert panel.live.drawn["way"] == "stopped" and any(one["aim"] for guest in panel.live.drawn["guests"] for one in guest["places"])
    panel.set(id="flood-of-requests")
    assert panel.live.drawn["way"] == "stopped", "it was run before"
    panel.close()


@pytest.mark.parametrize("copy_first", [False, True])
def test_the_lanes_are_the_log_of_a_run_of_its_own(copy_first):
    panel = lesson.fetches_panel()
    panel.set(copy_first=copy_first)
    log, outcome = watched(copy_first)
    frames = panel.live.frames
    assert [(one["us"], one["who"], one["text"], one["harm"]) for one in frames] == [(a.ns / 1000, a.who, a.what, a.harm) for a in log]
    ring, host = "page number", "host"
    ways = {"stores": lambda a: (a.who, ring), "fetches": lambda a: (ring, host), "checks": lambda a: (host, host),
            "orders": lambda a: (host, "disk"), "moves": lambda a: ("disk", "disk")}
    assert [(one["source"], one["target"]) for one in frames] == [ways[a.does](a) for a in log]
    assert [one["has"].get(ring) for one in frames] == [f"{a.word:,}" for a in log]
    assert [one["has"].get(host) for one in frames] == [a.held and f"{a.held:,}" for a in log]
    assert f"verdict {outcome.verdict}:" in panel.text and ("fetched twice" in panel.text) == (not copy_first)
    panel.close()


def test_lanes_keep_their_frame_within_and_refuse_strangers():
    view = TimelineView(title="T.", lanes=["a", "b"], frames=[moment(1, "a", "a", "b", "gives", {"b": "x"}), moment(2.25, "b", "b", "b", "breaks", {}, True)])
    view.frame = 9
    assert view.frame == 1 and view.text == "T. Step 2 of 2, at 2.2 us: b breaks."
    assert view.lines == ["Step 1 of 2, at 1.0 us: a gives. b: x [a -> b]", "Step 2 of 2, at 2.2 us: b breaks.  (harm) [b -> b]"]
    assert view.rows() == [("steps", "a", "gives", 1, "us", 0, "harm"), ("steps", "b", "has then", 1, "us", "x", "as it is"),
                           ("steps", "b", "breaks", 2.25, "us", 1, "harm")]
    with pytest.raises(ValueError, match="^frames: c is no lane; there are a, b.$"):
        view.frames = [moment(1, "c", "a", "b", "", {})]
    with pytest.raises(ValueError, match="^frames: one has no text, harm.$"):
        view.frames = [{"us": 1, "who": "a", "source": "a", "target": "a", "has": {}}]
    assert TimelineView().text == "Nothing has happened yet."
