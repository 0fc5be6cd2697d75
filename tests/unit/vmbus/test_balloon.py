"""Dynamic memory, the host's half, to the byte: a guest of `struct.pack` alone plays all twelve messages, and tells lies."""

import struct

import pytest

from tests.balloon_rig import START, VERSION_1, VERSION_03, Rig, capabilities, given, message, status, version
from vmio.hypervisor.faults import GuestFault
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.modes import Machine
from vmio.vmbus.balloon import wire as w
from vmio.vmbus.balloon.dynamic import READY, REFUSED
from vmio.vmbus.balloon.wire import Message
from vmio.vmbus.bus.host_channel import State

MIB = 1 << 20


def gives_2_mib(rig, cpu):
    """The host asks for 512 pages and gets them."""
    rig.memory.inflate(512)
    yield from rig.rest(cpu)
    yield from rig.say(cpu, given((0x2000, 512)))


def test_sizes_and_places_are_those_of_linux():
    """drivers/hv/hv_balloon.c: struct dm_version_request to struct dm_info_msg."""
    assert {name.name: w.LAYOUTS[name].size for name in Message} == {
        "VERSION_REQUEST": 16, "VERSION_RESPONSE": 16, "CAPABILITIES": 32, "CAPABILITIES_RESPONSE": 16, "STATUS_REPORT": 48, "BALLOON": 16,
        "BALLOON_RESPONSE": 16, "UNBALLOON": 16, "UNBALLOON_RESPONSE": 8, "HOT_ADD": 16, "HOT_ADD_RESPONSE": 16, "INFO": 32}
    assert w.MOST_RANGES == 510
    assert w.STATUS_REPORT.pack(transaction=3, available=1, committed=2, page_file=4, free=5, page_file_writes=6, io_diff=7) == struct.pack(
        "<HHIQQQQII", 5, 48, 3, 1, 2, 4, 5, 6, 7)
    assert w.pack_range(0x12345, 0x678) == 0x678 << 40 | 0x12345 and w.unpack_range(0x678 << 40 | 0x12345) == (0x12345, 0x678)
    assert w.hot_add_alignment(7 << 2 | 3) == 32768 and "BALLOON: 16 bytes" in w.draw(w.BALLOON.pack(pages=512))


def test_a_range_that_does_not_fit_is_refused():
    for first, count in ((1 << 40, 1), (0, 1 << 24), (-1, 1)):
        with pytest.raises(ValueError, match="40 bits and 24 bits"):
            w.pack_range(first, count)


def test_all_twelve_messages():
    rig = Rig(maximum=1 << 16)
    memory, host = rig.memory, rig.host

    def script(rig, cpu):
        assert rig.got.pop(0) == struct.pack("<HHIQ", 2, 16, 1, 1)
        assert rig.got.pop(0) == struct.pack("<HHIQ", 4, 16, 1, 1)
        assert rig.got.pop(0) == struct.pack("<HHIIIIIQ", 12, 32, 0, 0, 16, 0, 8, 1 << 16)
        yield from rig.say(cpu, status(9000, 5000))
        assert (memory.report.available, memory.report.committed, memory.state) == (9000, 5000, READY)
        free = host.memory.free_pages
        memory.inflate(1024)
        yield from rig.rest(cpu)
        assert rig.got.pop(0) == struct.pack("<HHIII", 6, 16, 0, 1024, 0)
        yield from rig.say(cpu, given((0x2000, 512), more=1))
        assert memory.asked is Message.BALLOON and host.memory.free_pages == free + 512      # a large page left as a whole
        yield from rig.say(cpu, given((0x2400, 510), (0x2900, 1)))
        assert memory.asked is None and memory.ballooned.runs == [(0x2000, 512), (0x2400, 510), (0x2900, 1)]
        assert rig.guest.backing.bytes == 64 * MIB - 1023 * PAGE and rig.guest.missing_ram() == 0x2000 * PAGE
        memory.deflate(513)
        yield from rig.rest(cpu)
        assert rig.got.pop(0) == struct.pack("<HHIIIQQ", 8, 32, 0, 0, 2, 512 << 40 | 0x2000, 1 << 40 | 0x2400)
        assert rig.guest.memory.read(0x2000 * PAGE, 8) == bytes(8) and memory.asked is Message.UNBALLOON
        yield from rig.say(cpu, message(9))
        assert memory.asked is None and memory.ballooned.total == 510
        memory.hot_add(1 << 15)
        yield from rig.rest(cpu)
        assert rig.got.pop(0) == struct.pack("<HHIQQ", 10, 24, 0, (1 << 15) << 40 | 0x8000, (1 << 15) << 40 | 0x8000)     # the next 128 MiB
        cpu.write(0x8000 * PAGE, b"new")
        yield from rig.say(cpu, message(11, struct.pack("<II", 1 << 15, 1)))
        assert memory.asked is None and memory.can_add and rig.guest.ram == 256 * MIB and cpu.read(0x8000 * PAGE, 3) == b"new"
    rig.run(script)
    assert not rig.got and memory.corrupt == 0 and set(memory.heard) == {
        "VERSION_REQUEST", "CAPABILITIES", "STATUS_REPORT", "BALLOON_RESPONSE", "UNBALLOON_RESPONSE", "HOT_ADD_RESPONSE"}


@pytest.mark.parametrize("speaks", [(VERSION_1,), (VERSION_03,), (0x30000,)])
def test_versions_go_down_to_the_last_attempt(speaks):
    rig = Rig(versions=speaks)

    def program(cpu):
        yield from rig.start(cpu, version(), version(VERSION_1), *([version(VERSION_03, last=1)] if VERSION_1 not in speaks else []))
    rig.host.run((rig.guest.cpu, program), limit_ns=10**9)
    answers = [each[8] for each in rig.got]
    assert answers == {VERSION_1: [0, 1], VERSION_03: [0, 0, 1], 0x30000: [0, 0, 0]}[speaks[0]]
    assert rig.memory.state == ("capabilities" if speaks[0] != 0x30000 else REFUSED)


def test_an_unballoon_of_many_pieces_comes_in_parts_of_510():
    rig = Rig()

    def script(rig, cpu):
        rig.memory.inflate(1024)
        yield from rig.rest(cpu)
        pieces = [(0x2000 + 2 * n, 1) for n in range(600)]
        yield from rig.say(cpu, given(*pieces[:510], more=1))
        yield from rig.say(cpu, given(*pieces[510:]))
        rig.got.clear()
        rig.memory.deflate(600)
        yield from rig.rest(cpu)
        heads = [struct.unpack_from("<HHIII", each) for each in rig.got]
        assert heads == [(8, 4096, 0, 1, 510), (8, 16 + 8 * 90, 0, 0, 90)]
    rig.run(script)


LIES = {
    "pages that it never had": given((64 * 256, 512)),
    "pages far outside": given(((1 << 40) - 1, 512)),
    "a page twice in a message": given((0x2000, 16), (0x200F, 1)),
    "no pages": given((0x2000, 0)),
    "more than were asked for": given((0x2000, 513)),
    "a range that is not there": given((0x2000, 16), count=2),
    "a count that overflows": given((0x2000, 16), count=(1 << 31) - 1),
    "a size beyond the record": message(7, struct.pack("<II", 0, 2) + bytes(8), size=4000),
    "a size below its fields": message(7, struct.pack("<II", 0, 0), size=8),
    "a message that a host sends": message(6, bytes(8)),
    "an unknown message": message(99),
    "another answer": message(9),
    "more hot-added pages than anybody asked for": message(11, struct.pack("<II", 5, 1)),
    "the start-up again": version(),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_the_channel_and_takes_no_page(lie):
    rig = Rig()
    runs = rig.guest.backing.runs()

    def script(rig, cpu):
        rig.memory.inflate(512)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, LIES[lie])
        cpu.write(0x2000 * PAGE, b"goes on")
    rig.run(script)
    assert rig.channel.state is State.FAILED and rig.memory.corrupt == 1
    assert rig.guest.backing.runs() == runs and rig.memory.ballooned.total == 0 and not rig.guest.memory_asked


def test_a_page_is_given_once():
    rig = Rig()

    def script(rig, cpu):
        for n in range(2):
            rig.memory.inflate(512)
            yield from rig.rest(cpu)
            yield from rig.say(cpu, given((0x2000, 4)))
    rig.run(script)
    assert rig.channel.state is State.FAILED and rig.memory.ballooned.runs == [(0x2000, 4)]


def test_pages_that_are_lent_to_the_host_are_not_taken():
    """Its own rings, by their GPADL; a page of the hypervisor's; one behind a window of the guest's driver."""
    for choose in (lambda rig: rig.end.outgoing.memory.pages[1], lambda rig: min(rig.guest.enlightened.overlays.pages()),
                   lambda rig: rig.window.pages[0]):
        rig = Rig()

        def script(rig, cpu):
            rig.window = cpu.window((0x3000,))
            rig.memory.inflate(512)
            yield from rig.rest(cpu)
            rig.page = choose(rig)
            yield from rig.say(cpu, given((rig.page, 1)))
        rig.run(script)
        assert rig.channel.state is State.FAILED and rig.memory.ballooned.total == 0
        assert rig.guest.backing.spa(rig.page * PAGE) is not None


def test_who_touches_a_page_that_it_gave_is_stopped_and_nobody_else():
    for touch in (lambda cpu: cpu.load(0x2000 * PAGE, 8), lambda cpu: cpu.write(0x2003 * PAGE + 7, b"mine!")):
        rig = Rig()
        other = rig.host.guest("other", 4)

        def script(rig, cpu):
            yield from gives_2_mib(rig, cpu)
            touch(cpu)

        def program(cpu):
            yield from rig.start(cpu, *START)
            yield from script(rig, cpu)

        def honest(cpu):
            for _ in range(100):
                yield from cpu.hlt(10**6)
            rig.finished = True
        with pytest.raises(GuestFault, match=r"bytes: EPT violation, (read|write) of \d bytes? at 0x200\d0*7?: the guest gave this page|gave this page"):
            rig.host.run((rig.guest.cpu, program), (other.cpu, honest), limit_ns=10**10)
        assert rig.finished and rig.guest.cpu.exits.by_reason()["EPT_VIOLATION"] == 1


def test_a_gpadl_of_pages_that_it_gave_is_refused():
    rig = Rig()

    def script(rig, cpu):
        yield from gives_2_mib(rig, cpu)
        try:
            yield from rig.client.create_gpadl(rig.offered, (0x2100, 0x2101))
        except Exception as error:  # noqa: BLE001  whichever way the driver says it
            return str(error)
    assert "GPADL of 2 pages: status" in rig.run(script) and rig.server.refused["GPADL page outside the guest's RAM"] == 1


def asked(rig, call):
    """The sentence with which `call(memory)` is refused, asked when the guest is up."""
    def script(rig, cpu):
        with pytest.raises((ValueError, OutOfMemory)) as error:
            call(rig.memory)
        yield from rig.rest(cpu)
        return str(error.value)
    before = rig.guest.backing.runs()
    sentence = rig.run(script)
    assert rig.guest.backing.runs() == before and rig.memory.asked is None and len(rig.got) == 2
    return sentence


@pytest.mark.parametrize("call, words", [
    (lambda memory: memory.inflate(511), "511 pages asked; a multiple of 512, at most the 16384"),
    (lambda memory: memory.inflate(512 * 33), "at most the 16384 that it has"),
    (lambda memory: memory.inflate(0), "0 pages asked"),
    (lambda memory: memory.deflate(1), "1 pages to give back; it gave 0"),
    (lambda memory: memory.hot_add(511), "511 pages to add; a multiple of 512, at most 32768 at once"),
    (lambda memory: memory.hot_add(1 << 16), "65536 pages to add; a multiple of 512, at most 32768 at once"),
    (lambda memory: memory.hot_add(1 << 15), "32768 pages and up to"),
])
def test_what_the_host_can_not_ask_is_said_in_a_sentence(call, words):
    assert words in asked(Rig(memory_mib=160), call)


def test_a_pinned_guest_says_so():
    rig = Rig()
    rig.guest.pins["nvme0"] = "it moves data by itself"
    assert asked(rig, lambda memory: memory.inflate(512)) == (
        "guest bytes: no memory taken away while nvme0 is assigned to it: it moves data by itself")


def test_one_thing_at_a_time_and_not_before_it_is_up():
    rig = Rig()
    with pytest.raises(ValueError, match=r"guest bytes: gives no memory: its driver for dynamic memory is not up \(version\)"):
        rig.memory.inflate(512)

    def script(rig, cpu):
        rig.memory.inflate(512)
        with pytest.raises(ValueError, match="it has not answered BALLOON yet"):
            rig.memory.deflate(1)
        yield from rig.rest(cpu)
    rig.run(script)


def test_a_driver_without_the_capability_is_not_asked():
    rig = Rig()

    def program(cpu):
        yield from rig.start(cpu, version(), capabilities(0))
        with pytest.raises(ValueError, match="gives no memory: its driver has not this capability"):
            rig.memory.inflate(512)
    rig.host.run((rig.guest.cpu, program), limit_ns=10**10)


def test_a_region_is_prepared_once_and_filled_piece_by_piece():
    rig, got = Rig(), []

    def script(rig, cpu):
        for pages in (1024, 2048, (1 << 15) - 3072, 512):
            rig.got.clear()
            rig.memory.hot_add(pages)
            yield from rig.rest(cpu)
            yield from rig.say(cpu, message(11, struct.pack("<II", pages, 1)))
            got.append(rig.got[0])
    rig.run(script)
    region = (1 << 15) << 40
    assert got == [struct.pack("<HHIQQ", 10, 24, 0, 1024 << 40 | 0x8000, region | 0x8000), struct.pack("<HHIQ", 10, 16, 0, 2048 << 40 | 0x8400),
                   struct.pack("<HHIQ", 10, 16, 0, (1 << 15) - 3072 << 40 | 0x8C00),
                   struct.pack("<HHIQQ", 10, 24, 0, 512 << 40 | 0x10000, region | 0x10000)]
    assert rig.guest.backing.bytes == (64 + 128 + 2) * MIB


def test_a_hot_add_that_is_taken_in_part_gives_the_rest_back():
    rig = Rig(memory_mib=512)

    def script(rig, cpu):
        free = rig.host.memory.free_pages
        rig.memory.hot_add(1 << 15)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, message(11, struct.pack("<II", 1000, 1)))
        assert not rig.memory.can_add and 1000 <= free - rig.host.memory.free_pages < 1000 + 512 + 6      # with what alignment passes over
        with pytest.raises(ValueError, match="it has said so"):
            rig.memory.hot_add(1 << 15)
    rig.run(script)


def test_a_page_can_be_taken_when_the_host_has_none_left():
    """A large page must be split for it, and what that takes was put aside."""
    rig = Rig(memory_mib=128)

    def script(rig, cpu):
        rig.memory.inflate(512)
        yield from rig.rest(cpu)
        rig.host.memory.allocate(1)
        while rig.host.memory.free_pages:
            rig.host.memory.allocate(1)
        yield from rig.say(cpu, given((0x2001, 1), (0x21FF, 2)))
        assert rig.memory.ballooned.total == 3 and len(rig.memory.ballooned.spare) == 2 and rig.memory.corrupt == 0
        with pytest.raises(OutOfMemory):
            rig.memory.deflate(3)
        assert rig.memory.ballooned.total == 3
    rig.run(script)


def test_a_guest_that_begins_anew_has_its_memory_again():
    rig = Rig()

    rig.run(gives_2_mib)
    rig.guest.enlightened.reset()
    assert rig.memory.ballooned.total == 0 and rig.guest.missing_ram() is None


def test_a_destroyed_guest_leaves_nothing_behind():
    host, free = Machine(memory_mib=512).host, []

    def script(rig, cpu):
        rig.memory.inflate(512)
        yield from rig.rest(cpu)
        yield from rig.say(cpu, given((0x2000, 100)))
    for _ in range(3):
        rig = Rig(host=host)
        rig.run(script)
        rig.guest.enlightened.reset()
        host.env.run(until=host.env.now + 10**7)
        rig.guest.destroy()
        free.append(host.memory.free_pages)
    assert len(set(free)) == 1          # of the first one alignment had passed over a few
