"""The drawing of who is reached: what it draws is what was measured, at every setting, in the page and on paper."""

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from vmio.attacks.catalogue import MODES, attacks
from vmio.attacks.places import PLACES
from vmio.lab import printed_reach
from vmio.lab.reach_view import ReachView, describe, reach_map
from vmio.lessons.break_isolation import panel as lesson
from vmio.lessons.break_isolation import reach

FIELDS = {("neighbour", "RAM"): {"split": {"a": "", "b": "changed"}}, ("neighbour", "disk"): {}, ("host", "itself"): {"hypervisor": {"c": ""}}}


def a_map(here=("neighbour", "RAM"), fields=FIELDS):
    return reach_map("t", ("split", "hypervisor"), fields, here)


def test_it_says_all_that_it_draws():
    assert describe(a_map()) == "t. neighbour's RAM: split 1 of 2. neighbour's disk: nobody aims there. host itself: hypervisor 0 of 1."
    view = ReachView(reach=a_map())
    assert view.text == describe(a_map()) and view.lines == ["split, 1 of 2:", "○ a", "✗ b: changed"]
    assert view.rows() == [("reach", "split", "neighbour's RAM: a", "", "", "", "how it was reached"),
                           ("reach", "split", "neighbour's RAM: b", "", "", "changed", "how it was reached"),
                           ("reach", "hypervisor", "host itself: c", "", "", "", "how it was reached")]
    assert ReachView(reach=a_map(("neighbour", "disk"))).lines == [] and ReachView().rows() == []


@pytest.mark.parametrize("wrong, sentence", [
    (dict(here=("cat", "RAM")), r"row \('cat', 'RAM'\) is not there; there are \('neighbour', 'RAM'\), .*"),
    (dict(fields={("a", "b"): {"emulated": {}}}), "way 'emulated' is no column; there are split, hypervisor")])
def test_what_is_not_there_gets_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        a_map(**wrong)


def test_on_paper_each_attempt_is_a_sign():
    plot = printed_reach.figure(a_map()).axes[0]
    said = [text.get_text() for text in plot.texts]
    assert {"split", "hypervisor", "neighbour's RAM", "neighbour's disk", "host itself"} < set(said)
    assert sorted(line.get_marker() for line in plot.lines if line.get_marker() != "None") == ["o", "o", "x"]


@pytest.mark.parametrize("without", lesson.WITHOUT)
def test_every_sign_is_what_a_run_of_its_own_measures(without):
    panel, runs = lesson.reach_panel(), {attack.id: (attack.run(without != "its defence", without != "the IOMMU").touched, attack.run(False).touched)
                                         for attack in attacks().values()}
    for name, where in reach.LOOK_AT.items():
        panel.set(without=without, place=name)
        panel.finish()
        found = {(guest["name"], place["name"]): place for guest in panel.live.reach["guests"] for place in guest["places"]}
        assert list(found) == [(whose, what) for whose, whats in PLACES.items() for what in whats]
        assert [place for place, one in found.items() if one["here"]] == [where] and panel.live.reach["ways"] == list(MODES)
    for where, place in found.items():
        for mode, field in zip(MODES, place["fields"]):
            assert [(one["id"], one["how"]) for one in field] == [
                (id, " and ".join(one.how for one in now if one[:2] == where)) for id, (now, aims) in runs.items()
                if attacks()[id].mode == mode and where in {one[:2] for one in (*now, *aims)}]
            assert not field or f"{mode} {sum(bool(one['how']) for one in field)} of {len(field)}" in panel.live.text
    assert len(panel.live.text) <= 900, "of a longer one nothing is said"
    panel.close()


def test_what_was_not_run_before_comes_attack_by_attack(monkeypatch):
    monkeypatch.setattr(lesson, "_known", {})
    chosen = ("edge-read", "dma-into-neighbour", "msi-any-vector")
    monkeypatch.setattr(lesson, "attacks", lambda: {id: attacks()[id] for id in chosen})
    seen = [reach.fields(found) for _, _, found in lesson._reach("the IOMMU", "host's memory")]
    assert [sum(len(field) for row in rows.values() for field in row.values()) for rows in seen] == [0, 1, 2, 3]
    assert seen[-1]["neighbour", "RAM"]["passthrough"] == {"dma-into-neighbour": "changed"} and seen[-1]["host", "memory"]["hypervisor"] == {"edge-read": ""}
    assert len(list(lesson._reach("the IOMMU", "host's memory"))) == 1, "they were run before"
    assert set(lesson._known) == {("edge-read", "nothing"), *((id, "its defence") for id in chosen), *((id, "the IOMMU") for id in chosen[1:])}
