"""The event rule: equal to the specification's formula, and to what it is meant to say, on all inputs that matter."""

import numpy as np
import pytest

from vmio.virtio.queue.event import need_event, packed_event
from vmio.virtio.queue.wire import WRAP


def passed(event, new, old):
    """The rule in words: is `event` one of the places that were passed, from `old` up to the one before `new`?"""
    return any((old + i) & 0xFFFF == event for i in range((new - old) & 0xFFFF))


@pytest.mark.parametrize("event, new, old, wanted", [
    (3, 4, 3, True), (5, 5, 3, False), (65535, 1, 65534, True), (0, 0, 0, False), (0, 1, 0, True), (65535, 0, 65535, True), (1, 0, 1, True), (0, 0, 1, False)])
def test_by_hand(event, new, old, wanted):
    assert need_event(event, new, old) is wanted
    assert passed(event, new, old) is wanted


@pytest.mark.parametrize("old", [0, 1, 255, 32767, 32768, 65534, 65535])
def test_all_events_and_all_new_indices(old):
    """The rule depends on differences alone: for some old indices every event, and every step up to a ring's 32,768 entries, in a lattice."""
    events, news = np.arange(0, 65536, dtype=np.uint16), [(old + d) & 0xFFFF for d in (*range(40), 127, 128, 255, 256, 32767, 32768, 65535)]
    for new in news:
        formula = (np.uint16(new) - events - np.uint16(1)).astype(np.uint16) < np.uint16((new - old) & 0xFFFF)
        wanted = {(old + i) & 0xFFFF for i in range((new - old) & 0xFFFF)}
        assert set(events[formula].tolist()) == wanted
        assert [need_event(event, new, old) for event in range(65536)] == formula.tolist()


def test_a_packed_event_of_the_turn_before_lies_a_ring_back():
    assert packed_event(3 | WRAP, 1, 8) == 3
    assert packed_event(3, 0, 8) == 3
    assert packed_event(6, 1, 8) == -2        # passed two entries before this turn began
    assert packed_event(6 | WRAP, 0, 8) == -2


@pytest.mark.parametrize("size", [1, 3, 8])
def test_packed_events_say_the_same_as_unwrapped_ones(size):
    """Where everything is counted without turns, the rule is the same; an event may be up to a ring ahead or behind."""
    for old in range(2 * size, 4 * size):
        for new in range(old, old + size + 1):
            for event in range(new - size, old + size):
                place, wrap = event % size, event // size % 2
                got = need_event(packed_event(place | WRAP * wrap, new // size % 2, size), new % size, new % size - (new - old))
                if event // size - new // size <= 0:
                    assert got == (old <= event < new), (size, old, new, event)
                else:
                    assert got is False
