"""The balancer: its rule by properties, what it refuses, and guests that lie to it or never answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import guests
from tests.balloon_rig import Rig, status
from vmio.manage.memory import MIB_PAGES, Balancer, Limits, Need, shares
from vmio.manage.memory_run import BATCH, GUESTS, SECONDS, STARTUP, MemoryParams, run_memory
from vmio.vmbus.balloon.wire import LARGE, Message

NEEDS = st.dictionaries(st.sampled_from("abcde"), st.builds(
    lambda minimum, more, weight: Need(minimum * LARGE, minimum * LARGE + more, weight),
    st.integers(0, 40), st.integers(0, 60_000), st.integers(1, 100)), min_size=1)


@given(NEEDS, st.integers(0, 300_000))
def test_the_rule(needs, total):
    if sum(need.minimum for need in needs.values()) > total:
        with pytest.raises(ValueError, match="minimums together; the host has"):
            shares(total, needs)
        return
    got = shares(total, needs)
    assert sum(got.values()) <= total and all(need.minimum <= got[name] <= max(need.target, need.minimum) for name, need in needs.items())
    below = [name for name, need in needs.items() if got[name] < need.target]
    if not below:
        return
    assert total - sum(got.values()) < LARGE * len(below)              # nothing is kept back but less than a piece each
    level = min((got[name] - needs[name].minimum + LARGE) / needs[name].weight for name in below)
    for name in needs:                                                 # who has his target needed no more than the others' part by weight
        assert (got[name] - needs[name].minimum) / needs[name].weight <= level + 1e-9 or name in below
    parts = [((got[name] - needs[name].minimum) / needs[name].weight, LARGE / needs[name].weight) for name in below]
    assert all(one <= other + step + 1e-9 for one, _ in parts for other, step in parts)


def test_an_example_by_hand():
    """600 pieces, minimums of 100: 300 are left for weights 1 and 2, of whom the second reaches its target with 150."""
    piece = LARGE
    needs = {"a": Need(100 * piece, 500 * piece, 1), "b": Need(100 * piece, 250 * piece, 2), "c": Need(100 * piece, 50 * piece, 9)}
    assert shares(600 * piece, needs) == {"a": 250 * piece, "b": 250 * piece, "c": 100 * piece}


@pytest.mark.parametrize("values, words", [
    (dict(minimum=600), "minimum 600, startup 512, maximum 1024 MiB: in this order none may be less than the one before it"),
    (dict(maximum=500), "minimum 512, startup 512, maximum 500 MiB"), (dict(buffer=201), "buffer 201: 0 to 200"),
    (dict(weight=0), "weight 0: 1 to 100"), (dict(startup=33), "startup 33: 32 to 3,072, a multiple of 2"), (dict(maximum=5000), "maximum 5000: 32 to 3,072")])
def test_limits_that_contradict_themselves(values, words):
    with pytest.raises(ValueError) as error:
        Limits(**values)
    assert words in str(error.value)


def test_the_target_keeps_to_the_limits():
    limits = Limits(256, 128, 512, 25)
    assert [limits.target(mib * MIB_PAGES) // MIB_PAGES for mib in (10, 200, 400, 10**9)] == [128, 250, 500, 512]


def pair(**options):
    """A rig whose guest is up and reports, and a balancer that cares for it."""
    rig = Rig(**options)
    return rig, Balancer(rig.host)


def test_memory_that_the_host_has_not_is_refused():
    rig, balancer = pair(ram_mib=64, memory_mib=256)
    with pytest.raises(ValueError, match=r"guest web: with its minimum of 512 MiB the guests' minimums are 512 MiB; the host has 2\d\d MiB for them"):
        balancer.add("web", rig.memory, Limits())
    assert balancer.members == {}
    balancer.add("web", rig.memory, Limits(64, 64, 128))
    with pytest.raises(ValueError, match="guest web: has its limits already; change them"):
        balancer.add("web", rig.memory, Limits(64, 64, 128))


def test_a_pinned_guest_is_refused():
    rig, balancer = pair()
    rig.guest.pins["nic0.vf1"] = "it moves data by itself"
    with pytest.raises(ValueError, match="no memory taken away while nic0.vf1 is assigned to it: it moves data by itself"):
        balancer.add("web", rig.memory, Limits(64, 64, 128))


def test_limits_change_while_the_guest_runs_in_one_direction():
    rig, balancer = pair()
    balancer.add("web", rig.memory, Limits(64, 64, 128))
    assert balancer.change("web", minimum=48, maximum=256, weight=80) == Limits(64, 48, 256, weight=80)
    for values in (dict(minimum=50), dict(maximum=254), dict(startup=66)):
        with pytest.raises(ValueError, match="guest web: runs, so its minimum may fall|minimum"):
            balancer.change("web", **values)
    with pytest.raises(ValueError, match="guest db: no such guest; there are web"):
        balancer.change("db", weight=1)
    assert balancer.members["web"].limits == Limits(64, 48, 256, weight=80)


def test_a_guest_that_lies_gets_its_maximum_and_no_more():
    rig, balancer = pair(ram_mib=64, memory_mib=512)
    honest, server = guests.on_a_bus(rig.host, "honest", ram_mib=64)
    from vmio.vmbus.balloon.dynamic import DynamicMemory
    other = DynamicMemory(rig.host, honest)
    other.offer(server)
    liar = balancer.add("liar", rig.memory, Limits(64, 64, 128, buffer=200))
    balancer.add("honest", other, Limits(64, 64, 256))

    def script(rig, cpu):
        yield from rig.say(cpu, status(0, (1 << 64) - 1))
        balancer.step()
        yield from rig.rest(cpu)
    rig.run(script)
    assert liar.demand == liar.share == 128 * MIB_PAGES and rig.memory.assigned == 128 * MIB_PAGES and other.assigned == 64 * MIB_PAGES


def test_a_guest_that_says_less_than_nothing_keeps_its_minimum():
    rig, balancer = pair()
    member = balancer.add("liar", rig.memory, Limits(64, 48, 128))

    def script(rig, cpu):
        yield from rig.say(cpu, status(0, 0))
        balancer.step()
        yield from rig.rest(cpu)
    rig.run(script)
    assert member.share == 48 * MIB_PAGES and rig.memory.asked is Message.BALLOON and rig.memory.wanted == 16 * MIB_PAGES


def test_a_guest_that_never_answers_is_asked_once_and_the_others_go_on():
    rig, balancer = pair()
    member = balancer.add("mute", rig.memory, Limits(64, 48, 128))

    def script(rig, cpu):
        yield from rig.say(cpu, status(0, 0))
        for _ in range(5):
            balancer.step()
            yield from rig.rest(cpu)
    rig.run(script)
    assert rig.memory.heard["BALLOON_RESPONSE"] == 0 and balancer.owing() == {"mute": Message.BALLOON} and member.silent
    assert len([each for each in rig.got if each[0] == Message.BALLOON]) == 1 and rig.memory.assigned == 64 * MIB_PAGES


def test_what_kept_the_host_from_asking_is_kept():
    rig, balancer = pair()
    member = balancer.add("web", rig.memory, Limits(64, 48, 128))

    def script(rig, cpu):
        yield from rig.say(cpu, status(0, 0))
        rig.guest.pins["nvme0"] = "it moves data by itself"
        balancer.step()
    rig.run(script)
    assert member.why == "guest bytes: no memory taken away while nvme0 is assigned to it: it moves data by itself" and rig.memory.asked is None


def test_a_run_is_the_same_run_and_the_host_gives_no_more_than_it_has():
    one, other = run_memory(MemoryParams()), run_memory(MemoryParams())
    assert one == other and len(one.free) == SECONDS
    for second in range(SECONDS):
        assert sum(one.has[name][second] for name in GUESTS) + one.free[second] <= 576 + 4 + 0.1


def test_what_balancing_is_worth():
    balanced, fixed = run_memory(MemoryParams()), run_memory(MemoryParams(balanced=False))
    assert {name: set(fixed.has[name]) for name in GUESTS} == dict.fromkeys(GUESTS, {float(STARTUP)})
    assert balanced.missed(BATCH) < fixed.missed(BATCH) / 2 and balanced.missed("web") == balanced.missed("database") == 0
    assert run_memory(MemoryParams(host=1152)).missed(BATCH) == 28 < balanced.missed(BATCH) / 5, "what batch wants before its first report is heard"


def test_a_parameter_that_is_not_allowed():
    with pytest.raises(ValueError, match="host 100: 576 to 1,152"):
        run_memory(MemoryParams(host=100))


