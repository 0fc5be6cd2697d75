"""The story of a guest's disks that come and go: each request is in one account, once."""

from functools import cache
from itertools import product

import pytest

from vmio.experiments import device_story as story
from vmio.experiments.device_story import DevicesParams

LAST = story.SLICES - 1


@cache
def told(**params):
    return story.run(DevicesParams(**params))


def sums(one):
    return {each.name: each.until(LAST) for each in one.accounts}


@pytest.mark.parametrize("depth, at_once", list(product((1, 2, 4, 8), (False, True))))
def test_nothing_is_lost_nothing_is_repeated_and_what_was_answered_is_there(depth, at_once):
    one = told(queue_depth=depth, at_once=at_once)
    for account in one.accounts:
        assert account.submitted > 2 * depth and account.twice == 0 and account.right
        assert sum(account.until(LAST)) == account.submitted
    first, second, lun, passed = (account.until(LAST) for account in one.accounts)
    assert first[1:] == (0, depth) and second[2] == lun[2] == passed[2] == 0
    assert second[1] == depth                           # its protocol has no question
    assert passed[1] == (depth if at_once else 0)       # asked, the guest waits for what is under way
    assert lun[1] <= depth                              # its controller stays: only what came too late


def test_each_disk_is_busy_while_it_is_there_and_the_first_all_the_time():
    for account in told().accounts[1:]:
        assert not any(account.done[:3]) and not any(account.done[14:]) and all(account.done[8:13])
        assert account.there[8:13] == [True] * 5 and not any(account.there[:3]) and not any(account.there[14:])
    first = told().accounts[0]
    assert all(first.there) and all(first.done[:2]) and all(first.done[8:])
    assert 0 in first.done[2:7]                         # the guest's only vCPU is busy with three new drivers


def test_the_events_are_in_order_and_the_guest_follows_the_host():
    one = told(at_once=False)
    seen = [event.said for event in one.events]
    for name in story.LATER:
        asks = "host asks for" if name == story.PASSED else "host takes"
        for host, guest in ((f"host adds {name}", f"guest has got {name}"), (f"{asks} {name}", f"guest has let go of {name}")):
            assert seen.index(host) < seen.index(guest)
    assert one.channels == 1 and one.events == sorted(one.events)


def test_who_is_told_that_a_disk_has_grown():
    sees = {event.disk for event in told().events if event.what == "sees"}
    assert sees == {story.SECOND, story.LUN}            # our driver for NVMe does not ask to be told
    sizes = {account.name: account.sectors[11] for account in told().accounts}
    assert sizes == {story.FIRST: 2048, story.SECOND: 4096, story.LUN: 4096, story.PASSED: 2048}
    assert all(account.sectors[LAST] == 0 for account in told().accounts[1:])


def test_what_cannot_be_is_refused_and_the_rest_goes_on():
    one = told(added_us=500, grown_us=500, removed_us=400)
    why = {event.disk: [] for event in one.events}
    for event in one.events:
        if event.what == "refused":
            why[event.disk].append(event.why)
    assert why[story.PASSED] == ["passed through: the guest has no such disk"]
    assert why[story.SECOND] == ["second: the guest has no such disk", "guest guest: SplitDisk is made; only one that is offered can grow"]
    assert all(account.under_way[LAST] == 4 and not account.until(LAST)[1] for account in one.accounts)     # all of them stay


@pytest.mark.parametrize("added, removed", [(100, 300), (200, 300), (500, 600), (600, 700), (600, 800), (600, 900)])
def test_a_disk_that_goes_while_its_driver_comes_up_leaves_nothing(added, removed):
    for at_once in (False, True):
        one = told(added_us=added, removed_us=removed, at_once=at_once)
        assert one.channels == 1 and all(account.twice == 0 and account.right for account in one.accounts)
        assert all(account.until(LAST)[2] == 0 for account in one.accounts[1:])


def test_a_channel_that_the_host_has_refused_to_open_is_let_go_of_once():
    """The guest had the rings' pages back twice, of which the host heard once: it waited for an answer that could not come."""
    assert told(added_us=100, grown_us=200, removed_us=500, queue_depth=2).channels == 1


@pytest.mark.parametrize("added, grown, removed, depth", [(500, 700, 1100, 8), (200, 700, 1200, 5), (300, 400, 1400, 3)])
def test_a_guest_that_is_asked_for_a_disk_does_not_sleep_through_the_last_answer(added, grown, removed, depth):
    """The answer came while it told the disk of its last requests, and it went to sleep for the next one: a minute."""
    last = told(added_us=added, grown_us=grown, removed_us=removed, queue_depth=depth, at_once=False).events[-1]
    assert last.what == "lets go" and last.ns < (removed + 300) * story.US


def test_two_runs_are_equal():
    assert story.run() == told()


def test_a_parameter_that_is_not_allowed():
    with pytest.raises(ValueError, match="^queue_depth 9: 1 to 8$"):
        story.run(DevicesParams(queue_depth=9))
