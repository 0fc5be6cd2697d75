"""Placement: each policy beside one that looks at all hosts, racks, and policies of one's own that don't work."""

from collections import Counter
from random import Random

import pytest

from vmio.manage.fleet.guests import FleetGuest, guests
from vmio.manage.fleet.host import MEMORY_GIB
from vmio.manage.fleet.place import Placement, Refused
from vmio.manage.fleet.policies import BEST, FIRST, LEAST, POLICIES, SPREAD

HOSTS, RACKS = 14, 3


def slow(policy, placement, guest):
    """The same choice, with a look at every host."""
    room = [host for host in placement.hosts if host.open and host.free >= guest.memory]
    there = placement.racks_of.get(guest.service, Counter())
    key = {FIRST: lambda host: host.number, BEST: lambda host: (host.free, host.number), LEAST: lambda host: (host.promised, host.number)}.get(policy)
    if key is not None:
        return min(room, key=key).number if room else None
    tops = [max((host for host in placement.hosts if host.open and host.rack == rack), key=lambda host: (host.free, host.number), default=None) for rack in range(RACKS)]
    tops = [host for host in tops if host is not None and host.free >= guest.memory]
    return min(tops, key=lambda host: (there[host.rack], -host.free, host.number)).number if tops else None


@pytest.mark.parametrize("policy", POLICIES)
def test_as_one_that_looks_at_every_host(policy):
    random, placement, there = Random(policy), Placement(HOSTS, RACKS, policy), []
    nowhere = 0
    for guest in guests(560, 100, 2):
        wanted = slow(policy, placement, guest)
        host = placement.place(guest)
        assert (host.number if host is not None else None) == wanted
        nowhere += host is None
        there += [guest] * (host is not None)
        if random.random() < 0.3:
            placement.remove(there.pop(random.randrange(len(there))))
        if guest.number == 200:
            placement.close(placement.hosts[3])
        if guest.number == 300:
            placement.reopen(placement.hosts[3])
    assert nowhere and {guest.number for guest in there} == set(placement.where)
    for host in placement.hosts:
        own = [guest for guest in there if placement.where[guest.number] == host.number]
        assert set(host.guests) == {guest.number for guest in own} and 0 <= host.free == MEMORY_GIB - sum(guest.memory for guest in own)
        assert host.promised == pytest.approx(sum(guest.rate for guest in own))
        assert host.asked((0.5, 1.0, 0.25)) == pytest.approx((sum(guest.rate * (0.5, 1.0, 0.25)[guest.kind] for guest in own),
                                                              sum((guest.rate * (0.5, 1.0, 0.25)[guest.kind]) ** 2 for guest in own)))


def test_spread_keeps_replicas_apart():
    placement = Placement(12, 4, SPREAD)
    for guest in guests(120, 100, 1):
        assert placement.place(guest) is not None
    assert max(count for there in placement.racks_of.values() for count in there.values()) == 1


def test_racks_are_hosts_side_by_side():
    assert [host.rack for host in Placement(10, 4, FIRST).hosts] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


GUEST = FleetGuest(0, 0, 0, 7, 3000.0)


@pytest.mark.parametrize("own, words", [
    (lambda hosts, guest: 1 / 0, "guest 0: the policy raised ZeroDivisionError"), (lambda hosts, guest: 3, "guest 0: the policy said '3'; a host's number, 0 to 2, or None"),
    (lambda hosts, guest: True, "the policy said 'True'"), (lambda hosts, guest: "x" * 99, f"the policy said '{'x' * 30}'"), (lambda hosts, guest: -1, "the policy said '-1'"),
    (lambda hosts, guest: 2, "guest 0 needs 7 GiB; host 2 takes no guests"), (lambda hosts, guest: 1, "guest 0 needs 7 GiB; host 1 has 5")])
def test_a_policy_of_ones_own_that_does_not_work(own, words):
    placement = Placement(3, 1, FIRST, own)
    placement.close(placement.hosts[2])
    placement.hosts[1].take(FleetGuest(1, 1, 0, MEMORY_GIB - 5, 1.0))
    with pytest.raises(Refused) as error:
        placement.place(GUEST)
    assert words in str(error.value) and not placement.where


def test_a_policy_of_ones_own_that_works():
    placement = Placement(3, 1, FIRST, lambda hosts, guest: max(host.number for host in hosts if host.free >= guest.memory))
    assert placement.place(GUEST).number == 2
    assert Placement(3, 1, FIRST, lambda hosts, guest: None).place(GUEST) is None
