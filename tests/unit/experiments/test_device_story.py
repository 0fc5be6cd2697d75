"""The story of a guest's disks that come and go: each request is in one account, once."""

from functools import cache

from vmio.experiments import device_story as story


@cache
def told():
    return story.run()


def test_nothing_is_lost_nothing_is_repeated_and_what_was_answered_is_there():
    for account in told().accounts:
        assert account.submitted > 2 * story.DEPTH and account.lost == account.twice == 0 and account.right
        assert sum(account.per_slice) == account.answered
    first, second, lun, passed = told().accounts
    assert first.failed == lun.failed == passed.failed == 0
    assert 0 < second.failed <= story.DEPTH             # it was taken without a word, and those under way say so


def test_each_disk_answers_while_it_is_there_and_the_first_all_the_time():
    first, second, lun, passed = (account.per_slice for account in told().accounts)
    assert all(first) and not any(second[:2]) and not any(second[10:]) and all(second[3:9])
    assert not any(lun[:4]) and not any(lun[11:]) and all(lun[5:9])
    assert not any(passed[:6]) and not any(passed[12:]) and all(passed[8:10])


def test_the_events_are_in_order_and_the_guest_follows_the_host():
    seen = [what for _, what in told().events]
    for host, guest in (("host adds second", "guest has got second"), ("host adds LUN 1", "guest has got LUN 1"),
                        ("host adds passed through", "guest has got passed through"),
                        ("host lets LUN 1 grow", "guest sees that LUN 1 has 4,096 sectors"),
                        ("host takes second, unasked", "guest has let go of second"), ("host takes LUN 1", "guest has let go of LUN 1"),
                        ("host asks for passed through", "guest has let go of passed through")):
        assert seen.index(host) < seen.index(guest)
    assert told().relids == 1 and told().grown == 4096


def test_two_runs_are_equal():
    assert story.run() == told()
