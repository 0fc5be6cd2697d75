"""Dynamic memory, the host's half: each of its checks by itself, so that a test fails if one is forgotten."""

import struct

import pytest

from tests.balloon_rig import START, VERSION_03, Rig, capabilities, given, message, status, version
from vmio.hypervisor.guest import MOST_RAM
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.memory import OutOfMemory
from vmio.vmbus.balloon import checkpoint
from vmio.vmbus.balloon.dynamic import VERSION
from vmio.vmbus.balloon.wire import Message
from vmio.vmbus.bus.host_channel import State

MIB = 1 << 20


def added(pages, result=1):
    return message(11, struct.pack("<II", pages, result))


def refused(rig, *messages, ask=lambda memory: memory.inflate(512), before=None):
    """Ask, and hear these: the last one ends the channel, and takes nothing."""
    def script(rig, cpu):
        ask(rig.memory)
        yield from rig.rest(cpu)
        for each in messages[:-1]:
            yield from rig.say(cpu, each)
        assert rig.channel.state is not State.FAILED
        if before is not None:
            before(rig, cpu)
        runs, rig.left = rig.guest.backing.runs(), rig.memory.ballooned.total
        yield from rig.say(cpu, messages[-1])
        assert rig.guest.backing.runs() == runs and rig.memory.ballooned.total == rig.left
    rig.run(script)
    assert rig.channel.state is State.FAILED and rig.memory.corrupt == 1


def test_pages_that_nobody_asked_for_are_not_taken():
    """Neither before anything was asked, nor from what the guest kept of an earlier request."""
    refused(Rig(), given((0x2000, 8)), ask=lambda memory: None)
    refused(Rig(), given((0x2000, 8)), given((0x2100, 8)))


def test_the_parts_of_an_answer_are_counted_together():
    refused(Rig(), given((0x2000, 500), more=1), given((0x2400, 13)))


def test_a_guest_that_is_pinned_meanwhile_keeps_what_it_gives():
    def pin(rig, cpu):
        rig.guest.pins["nvme0"] = "it moves data by itself"
    refused(Rig(), given((0x2000, 8)), before=pin)


def test_an_assignment_waits_while_memory_may_be_given_at_any_time():
    """`memory_asked` is what the passthrough side looks at: set while an answer is due, empty after it."""
    rig, seen = Rig(), []

    def script(rig, cpu):
        for ask, answer in ((lambda: rig.memory.inflate(512), given((0x2000, 512))), (lambda: rig.memory.hot_add(1024), added(1024))):
            ask()
            seen.append(rig.guest.memory_asked)
            yield from rig.rest(cpu)
            yield from rig.say(cpu, answer)
            seen.append(rig.guest.memory_asked)
    rig.run(script)
    assert seen == ["512 pages", "", "an answer to a hot add", ""]


def test_more_is_said_to_be_added_than_was():
    refused(Rig(), added(1025), ask=lambda memory: memory.hot_add(1024))
    refused(Rig(), added(0), ask=lambda memory: None)


def test_memory_that_is_in_use_was_added():
    """A guest that says that it could not add what it has a window to."""
    def use(rig, cpu):
        rig.window = cpu.window((0x8000 + 600,))
    refused(Rig(), added(512), ask=lambda memory: memory.hot_add(1024), before=use)


def test_a_failure_for_now_is_tried_again_in_a_region_of_its_own_and_one_for_ever_is_not():
    """hv_balloon.c, hot_add_req: no pages and result 0 is transient; no pages and result 1 is for ever."""
    rig = Rig()

    def script(rig, cpu):
        free = rig.host.memory.free_pages
        rig.memory.hot_add(1024)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, added(0, result=0))
        assert rig.memory.can_add and rig.memory.asked is None and free - rig.host.memory.free_pages < 512 + 8      # alignment, tables
        rig.got.clear()
        rig.memory.hot_add(1024)
        yield from rig.rest(cpu)
        assert rig.got == [struct.pack("<HHIQQ", 10, 24, 0, 1024 << 40 | 0x10000, (1 << 15) << 40 | 0x10000)]
        yield from rig.say(cpu, added(1024))
        rig.memory.hot_add(512)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, added(0, result=0))
        rig.got.clear()
        rig.memory.hot_add(512)                 # the region is there since the one before
        yield from rig.rest(cpu)
        assert len(rig.got[0]) == 16
        yield from rig.say(cpu, added(0, result=1))
        with pytest.raises(ValueError, match="it has said so"):
            rig.memory.hot_add(512)
    rig.run(script)
    assert rig.memory.corrupt == 0


def test_nothing_is_added_behind_the_last_address_for_ram():
    rig = Rig()

    def script(rig, cpu):
        rig.guest.ram = MOST_RAM - 64 * MIB
        assert rig.memory.addable == 0
        with pytest.raises(ValueError, match="512 pages to add; a multiple of 512, at most 0 at once"):
            rig.memory.hot_add(512)
        rig.guest.ram = 64 * MIB
        yield from rig.rest(cpu)
    rig.run(script)


def test_an_old_version_is_not_told_of_a_maximum():
    """INFO came with version 1.0."""
    rig = Rig(maximum=1 << 16, versions=(VERSION_03,))

    def program(cpu):
        yield from rig.start(cpu, version(VERSION_03, last=1), capabilities())
    rig.host.run((rig.guest.cpu, program), limit_ns=10**10)
    assert [struct.unpack_from("<H", each)[0] for each in rig.got] == [2, 4]


def give_every_second(rig, cpu, runs):
    """Ask for 512 pages; the guest gives `runs` single ones, with one that it keeps between any two."""
    rig.memory.inflate(512)
    yield from rig.rest(cpu)
    yield from rig.say(cpu, given(*((0x2000 + 2 * n, 1) for n in range(runs))))


def test_what_can_not_be_given_back_whole_is_not_given_back_in_part():
    rig = Rig(memory_mib=128)

    def script(rig, cpu):
        yield from give_every_second(rig, cpu, 8)
        while rig.host.memory.free_pages > 4:
            rig.host.memory.allocate(1)
        before = rig.guest.backing.runs()
        with pytest.raises(OutOfMemory):
            rig.memory.deflate(8)
        assert rig.guest.backing.runs() == before and rig.memory.ballooned.total == 8 and rig.memory.asked is None
    rig.run(script)


def test_a_guest_that_begins_anew_gets_what_the_host_has_left():
    rig = Rig(memory_mib=128)

    def script(rig, cpu):
        yield from give_every_second(rig, cpu, 8)
        while rig.host.memory.free_pages > 6:
            rig.host.memory.allocate(1)
    rig.run(script)
    rig.guest.enlightened.reset()
    assert 0 < rig.memory.ballooned.total < 8 and rig.guest.missing_ram() is not None


def test_an_open_channel_begins_at_the_beginning():
    """What was reported to the host before is not of this driver."""
    rig = Rig()

    def script(rig, cpu):
        rig.now = rig.host.env.now
        yield from rig.say(cpu, status(9000, 5000))
        assert rig.memory.reported_at > rig.now and rig.memory.report.committed == 5000
        yield from rig.client.close(rig.offered)
        yield from rig.client.open(rig.offered, pages=5, on_signal=rig._look)
        assert (rig.memory.state, rig.memory.report, rig.memory.capabilities) == (VERSION, None, 0)
    rig.run(script)


def test_a_driver_that_comes_anew_has_prepared_no_region_and_may_be_asked():
    rig = Rig()

    def script(rig, cpu):
        rig.memory.hot_add(1024)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, added(1000))
        yield from rig.client.close(rig.offered)
        rig.end = yield from rig.client.open(rig.offered, pages=5, on_signal=rig._look)
        for each in START:
            yield from rig.say(cpu, each)
        rig.got.clear()
        rig.memory.hot_add(512)
        yield from rig.rest(cpu)
        assert rig.got == [struct.pack("<HHIQQ", 10, 24, 0, 512 << 40 | 0x10000, (1 << 15) << 40 | 0x10000)]
    rig.run(script)


def test_who_watches_is_told():
    rig, told = Rig(), []
    rig.memory.ready = lambda: told.append("ready")
    rig.memory.reported = lambda record: told.append(record.available)
    rig.memory.answered = lambda asked, pages: told.append((asked, pages))

    def script(rig, cpu):
        yield from rig.say(cpu, status(9000, 5000))
        rig.memory.inflate(512)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, given((0x2000, 256), more=1))
        yield from rig.say(cpu, given((0x2100, 4)))
    rig.run(script)
    assert told == ["ready", 9000, (Message.BALLOON, 260)]


def saved(script):
    """A rig in which `script` was played, and what is saved of its memory."""
    rig = Rig()
    rig.run(script)
    return rig, checkpoint.save(rig.memory)


def hot_added(rig, cpu):
    """A region that is begun, and an add that is refused for ever; then a question without an answer."""
    rig.memory.hot_add(1024)
    yield from rig.rest(cpu)
    yield from rig.say(cpu, added(1000))
    rig.memory.inflate(512)
    yield from rig.rest(cpu)


def test_what_is_saved_is_restored():
    rig, state = saved(hot_added)
    assert not rig.memory.can_add and rig.memory.region_end == 256 * MIB and rig.guest.memory_asked == "512 pages"
    other = Rig()
    checkpoint.restore(other.memory, state)
    assert checkpoint.save(other.memory) == state and other.memory.asked is Message.BALLOON
    assert other.guest.memory_asked == "512 pages" and other.memory.region_end == 256 * MIB and not other.memory.can_add


def test_a_made_up_state_is_refused():
    _, state = saved(hot_added)
    for change, words in (({"state": "nearly ready"}, "state 'nearly ready'; version, capabilities, refused, ready are known"),
                          ({"ballooned": [(0x2000, 8)]}, "pages 0x2000, 8 of them: given to the host, and the guest has some")):
        with pytest.raises(CheckpointRefused, match=words):
            checkpoint.restore(Rig().memory, {**state, **change})
