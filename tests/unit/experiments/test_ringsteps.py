"""The stepped ring and the ring under load: plain data, the same every time, and the endings that the lesson tells."""

import json
from dataclasses import replace
from random import Random

import pytest

from vmio.experiments import kv, ringload, ringsteps
from vmio.experiments.ringload import LoadParams
from vmio.experiments.ringsteps import SCRIPTS, hangs, play
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

KEPT = ("all rules kept", "ring full")
BROKEN = tuple(name for name in SCRIPTS if name not in KEPT)


@pytest.mark.parametrize("name", SCRIPTS)
def test_frames_are_plain_data_and_repeat(name):
    story = play(SCRIPTS[name])
    assert json.loads(json.dumps(story.frames)) == story.frames == play(SCRIPTS[name]).frames
    assert story.frames[-1]["text"].endswith(story.ending.removesuffix(", both sides asleep"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_frame_agrees_with_its_records(name):
    before = None
    for frame in play(SCRIPTS[name]).frames:
        published = [one for one in frame["records"] if one["published"]]
        assert sum(one["length"] for one in published) == frame["used"] == (frame["write"] - frame["read"]) % frame["size"]
        at = frame["read"]
        for one in frame["records"]:
            assert one["at"] == at and one["kind"] == "INBAND"
            at = (at + one["length"]) % frame["size"]
        assert frame["used"] <= frame["size"] - 8
        if before:
            moved = [word for word in ("write", "read", "mask", "pending") if frame[word] != before[word]]
            owner = {"write": "producer", "pending": "producer", "read": "consumer", "mask": "consumer"}
            assert all(owner[word] == frame["actor"] for word in moved), frame["text"]
        before = frame


@pytest.mark.parametrize("name", KEPT)
def test_the_real_rules_drain(name):
    assert play(SCRIPTS[name]).ending == "drained"
    assert hangs(SCRIPTS[name], 2000) == 0


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_hang_as_told(name):
    story = play(SCRIPTS[name])
    assert story.hangs and story.ending.endswith("both sides asleep")
    assert story.frames[-1]["asleep"] == ["producer", "consumer"]
    assert hangs(SCRIPTS[name], 300) > 0


@pytest.mark.parametrize("name", ["no second look", "looks, then publishes", "no pending size"])
def test_the_same_order_with_the_real_rules_drains(name):
    whole = replace(SCRIPTS[name], look_again=True, look_first=False, say_pending=True)
    assert play(whole).ending == "drained"


def test_a_record_wraps_in_the_stories():
    frames = play(SCRIPTS["all rules kept"]).frames
    assert any(one["at"] + one["length"] > frame["size"] for frame in frames for one in frame["records"])


def test_a_rule_that_always_signals_still_comes_to_rest():
    story = play(replace(SCRIPTS["all rules kept"], should_signal=lambda *words: True))
    assert story.ending == "drained" and story.signals == 3


def test_view_shows_what_the_frames_say():
    pytest.importorskip("anywidget")
    from vmio.lab.ring_view import RingView
    view = RingView(frames=play(SCRIPTS["ring full"]).frames)
    assert view.text.startswith("Step 0 of 39: the ring is empty")
    view.frame = 14
    assert "pending send size 1,224" in view.text and "0 INBAND 1,224 bytes published" in view.text
    view.frame = 1000
    assert view.frame == 39 and "drained" in view.text
    view.frames = play(SCRIPTS["never signals"]).frames
    assert view.frame == 13, "no frame beyond the last"
    view.frame = -1
    assert view.frame == 0
    with pytest.raises(ValueError, match="has no actor"):
        view.frames = [{"text": "x"}]


# ---------------------------------------------------------------------- under load

@pytest.mark.parametrize("change", [
    {}, {"queue_depth": 1}, {"queue_depth": 64}, {"mask": False}, {"pending_records": 0}, {"pending_records": 64}, {"host_cores": 1},
    {"request_bytes": 4064, "queue_depth": 64}, {"request_bytes": 4064, "queue_depth": 64, "pending_records": 0},
    {"batch": 1, "mask": False, "queue_depth": 64}, {"service_ns": 0, "batch": 1024}, {"requests": 1}], ids=str)
def test_all_requests_are_answered_and_both_rings_are_empty_at_the_end(change):
    params = LoadParams(**change)
    result = ringload.run(params)
    assert result == ringload.run(params)
    for name, steps in result.occupancy.items():
        times = [ns for ns, _ in steps]
        assert times == sorted(times) and steps[-1][1] == 0
        assert max(used for _, used in steps) <= (params.ring_kib - 4 << 10) - 8
    assert 0 < result.signals <= params.requests + result.full
    assert len(result.rings_at["to the host"]) == result.signals
    assert len(result.rings_at["to the guest"]) == result.interrupts
    assert params.pending_records or not result.for_room


def test_deeper_queues_need_fewer_signals_until_the_ring_is_full():
    per = [ringload.run(LoadParams(queue_depth=depth)).per_request for depth in (1, 2, 4, 8)]
    assert per == sorted(per, reverse=True) and per[0] == 2.0 and per[-1] < 0.2


def test_the_mask_saves_signals():
    assert ringload.run(LoadParams(queue_depth=8)).signals < ringload.run(LoadParams(queue_depth=8, mask=False)).signals


def test_a_ring_that_holds_one_record_costs_a_signal_for_each():
    result = ringload.run(LoadParams(request_bytes=4064, queue_depth=8))
    assert result.signals == 48 and result.full > 40


@pytest.mark.parametrize("change, words", [
    ({"ring_kib": 6}, "multiple of 4"), ({"ring_kib": 4}, "8 to 4,096"), ({"queue_depth": 0}, "1 to 1,024"),
    ({"request_bytes": 4072}, "at most 4,064"), ({"pending_records": -1}, "0 to 64"), ({"batch": 0}, "1 to 1,024")])
def test_wrong_parameters_are_named(change, words):
    with pytest.raises(ValueError, match=f"{next(iter(change))}.*{words}"):
        ringload.run(LoadParams(**change))


# ---------------------------------------------------------------------- the exercise's device

def test_key_value_device_answers_each_request_once_and_refuses_nonsense():
    out, back = FlatMemory(2), FlatMemory(2)
    format_ring(out)
    format_ring(back)
    guest = ChannelEnd(RingWriter(out), RingReader(back), lambda: device.signalled())
    device = kv.KvDevice(ChannelEnd(RingWriter(back), RingReader(out), lambda: None), Random(1))
    requests = [kv.REQUEST.pack(op=kv.PUT, key_bytes=1, value_bytes=3, data=b"kabc"),
                kv.REQUEST.pack(op=kv.GET, key_bytes=1, data=b"k"), kv.REQUEST.pack(op=kv.GET, key_bytes=1, data=b"x"),
                kv.REQUEST.pack(op=7), kv.REQUEST.pack(op=kv.PUT, key_bytes=2 ** 32 - 1, value_bytes=9), b"short"]
    for number, payload in enumerate(requests):
        guest.send(payload, number, want_completion=True)
    device.answer(100)
    answers = {}
    while (packet := guest.receive()) is not None:
        answers[packet.transaction_id] = kv.ANSWER.parse(packet.payload)
    assert [answers[number].status for number in range(6)] == [kv.OK, kv.OK, kv.NOT_FOUND] + [kv.BAD_REQUEST] * 3
    assert answers[1].data[:answers[1].value_bytes] == b"abc"
    assert not device.waiting and device.taken == 6


def test_stories_of_a_learners_rule_that_never_rests_end():
    calls = []

    def rule(*words):
        calls.append(words)
        return True
    story = ringsteps.play(replace(SCRIPTS["ring full"], should_signal=rule, sizes=(8,) * 30))
    assert story.ending == "drained" and len(calls) == 30
