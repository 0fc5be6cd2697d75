"""What the text of *Speak virtio* says of its tables, and how a student's rule is tried."""

from vmio.attacks.virtqueue import catalogue
from vmio.lessons.speak_virtio import attacked, live, panel, recorded


def test_what_the_text_says_of_kicks():
    assert panel.counted(queue_depth=4, event_idx=False).kicks == 4 * panel.counted(queue_depth=4).kicks
    for depth in (1, 4, 16, 64):
        flags, events = panel.counted(queue_depth=depth, event_idx=False), panel.counted(queue_depth=depth)
        assert events.kicks <= flags.kicks and events.interrupts <= flags.interrupts


def test_what_the_text_says_of_looks():
    for pieces in (1, 16):
        for indirect in (False, True):
            split, packed = (panel.counted(virtqueue=form, queue_depth=16, pieces=pieces, indirect=indirect) for form in ("split", "packed"))
            assert 0.8 < (split.looks["driver"] - packed.looks["driver"]) / 48 < 1.1
            assert packed.looks["device"] > split.looks["device"]


def test_what_the_text_says_of_the_recordings():
    ends = {name: recorded.of(name).end for name in recorded.FILES}
    for name in ends:
        if "event idx" in name:
            other = ends[name.replace(", event idx", "")]
            assert ends[name]["kicks"] < other["kicks"] and ends[name]["calls"] < other["calls"]
    again = {name: recorded.replay(recorded.of(name)) for name in ends}
    assert all((one.requests, one.different) == (40, 0) for one in again.values())
    assert all((one.slots == 40) is ("indirect" in name) and (one.slots == 40 or one.slots > 9 * 40) for name, one in again.items())


def test_a_rule_is_tried_before_linux_is(monkeypatch):
    monkeypatch.setattr(live, "usable", lambda: (False, "hidden"))
    assert panel.linux_uses(lambda event, new, old: ...) == "not attempted yet"
    assert panel.linux_uses(lambda event, new, old: old <= event < new).startswith("Linux was not booted: with event 0, new 2 and old 65,534")
    right = panel.linux_uses(lambda event, new, old: (event - old) & 0xFFFF < (new - old) & 0xFFFF)
    assert right == "Recorded: 40 requests of Linux's through our queue, 40 interrupts by your rule, 0 answers that differ."
    asked = []
    assert recorded.replay(recorded.of("packed, indirect, event idx"), lambda *words: bool(asked.append(words))).interrupts == 1 and len(asked) == 39


def test_what_the_text_says_of_a_hostile_driver():
    lines = attacked.attacks_table().splitlines()[2:]
    assert len(lines) == len(attacked.SHOWN)
    for line, (id, writes) in zip(lines, attacked.SHOWN.items()):
        attack = catalogue.attacks()[id]
        assert line.startswith(writes) and line.split(writes)[1].split()[:2] == [attack.on_verdict if ring in attack.rings else "-" for ring in catalogue.RINGS]
    assert [id for id in attacked.SHOWN if catalogue.attacks()[id].rings == ("split",)] == ["ring-index-jumps"]
