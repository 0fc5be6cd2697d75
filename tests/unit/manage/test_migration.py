"""Live migration: a guest that moves ends as one that nobody disturbs; whatever goes wrong before it has, it goes on where it was."""

import pytest
from tests.migration_rig import MB, MS, disk, moved, started, undisturbed, writer

from vmio.hypervisor.dirty import DEVICE, HOST, PROCESSOR
from vmio.manage.migration import wire
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link
from vmio.manage.migration.migration import Migration
from vmio.manage.migration.rules import FEW_PAGES, Progress, Throttle, rule
from vmio.manage.migration.wire import HELLO, RECORD, Kind, StreamRefused

PAGE = 4096
KINDS = {"writer": writer(), "PIO": disk("emulated"), "DMA": disk("emulated", transfer="dma"), "split": disk("split")}


@pytest.mark.parametrize("after_ms", [0, 3, 11])
@pytest.mark.parametrize("name", KINDS)
def test_a_guest_that_moves_ends_as_one_that_nobody_disturbs(name, after_ms):
    report, end = moved(KINDS[name], by=rule("qemu", 1), after_ns=after_ms * MS)
    assert report.status == "completed" and report.equal and report.rounds
    assert end == undisturbed(KINDS[name])


@pytest.mark.parametrize("by", ["qemu", "xen", "hyper-v"])
def test_each_rule_moves_it(by):
    report, end = moved(writer(pages=200, rate=50_000, writes=20_000), Link(16 * MB), rule(by, 10))
    assert report.status == "completed" and end == undisturbed(writer(pages=200, rate=50_000, writes=20_000))
    assert len(report.rounds) <= {"qemu": 60, "xen": 30, "hyper-v": 10}[by]


def test_bytes_and_times_are_those_of_the_link():
    link = Link(10 * MB, 50_000)
    report, _ = moved(writer(), link, rule("qemu", 2))
    assert report.bytes == link.sent
    assert report.total_ns - 50_000 == pytest.approx(report.bytes * 1e9 / (10 * MB), abs=2000)
    last = report.bytes - sum(each.bytes for each in report.rounds) - 92       # HELLO
    assert report.downtime_ns == pytest.approx(50_000 + last * 100, abs=2000 * len(report.rounds))
    for before, after in zip(report.rounds, report.rounds[1:]):
        assert after.began_ns == before.ended_ns and after.pages <= before.dirty
    assert report.zero_pages > 200 and report.page_bytes < 512 * PAGE


def test_a_page_that_is_all_zeros_is_a_word():
    assert len(wire.page_bytes(0, 7, bytes(PAGE))) == 8 and len(wire.page_bytes(0, 7, b"\1" + bytes(PAGE - 1))) == 8 + PAGE
    both = wire.page_bytes(3, 0x7FFFF, bytes(PAGE)) + wire.page_bytes(2047, 5, b"x" * PAGE)
    assert list(wire.pages_of(both)) == [(3, 0x7FFFF, bytes(PAGE)), (2047, 5, b"x" * PAGE)]


# What is left out of the log.

@pytest.mark.parametrize("name, way", [("split", HOST), ("DMA", DEVICE), ("writer", PROCESSOR)])
def test_a_way_that_is_left_out_of_the_dirty_log_corrupts_the_guest(name, way):
    long = {"split": disk("split", requests=64), "DMA": disk("emulated", requests=64, transfer="dma"), "writer": writer(writes=400)}[name]
    report, end = moved(long, Link(32 * MB), rule("qemu", 1), after_ns=2 * MS, without=[way])
    assert report.status == "completed" and report.equal is False
    assert end.memory != undisturbed(long).memory
    if name != "writer":
        assert end.results != undisturbed(long).results


# It does not converge.

FAST = writer(pages=400, rate=5000, writes=20_000, ram=4)


def test_a_guest_that_writes_faster_than_the_link_is_never_moved_by_qemus_rule():
    report, end = moved(FAST, Link(4 * MB), rule("qemu", 10), patience=6)
    assert report.status == "cancelled" and "does not converge: 400 pages" in report.reason
    assert [each.dirty for each in report.rounds][-3:] == [400] * 3 and end == undisturbed(FAST)


def test_hyper_v_stops_it_regardless():
    report, end = moved(writer(pages=100, rate=200_000, writes=200_000), Link(4 * MB), rule("hyper-v"))
    assert report.reason == "10 rounds are enough" and len(report.rounds) == 10 and report.last_pages == 100
    assert end.results == undisturbed(writer(pages=100, rate=200_000, writes=200_000)).results


def test_the_throttle_makes_it_converge_and_no_word_of_the_guests_is_lost():
    slow = writer(pages=800, rate=10_000, writes=30_000, ram=5)
    report, _ = moved(slow, Link(20 * MB), rule("qemu", 10), 100 * MS, patience=12)
    assert report.status == "cancelled"
    report, end = moved(slow, Link(20 * MB), rule("qemu", 10), 100 * MS, patience=30, throttle=Throttle())
    assert report.status == "completed" and report.equal
    assert [each.throttle for each in report.rounds][-1] >= 40
    there = undisturbed(slow)
    assert end.results == there.results and end.memory == there.memory and end.now > there.now


def test_the_throttle_is_qemus():
    throttle = Throttle(20, 30, 60)
    seen = []
    for dirtied in (60, 40, 60, 60, 60, 51, 90, 90):
        throttle.heed(dirtied, 100)
        seen.append(throttle.percent)
    assert seen == [0, 0, 20, 20, 50, 50, 60, 60]
    for wrong in ({"initial": 0}, {"initial": 50, "most": 40}, {"most": 100}, {"increment": 0}):
        with pytest.raises(ValueError, match="throttle: "):
            Throttle(**wrong)


# Post-copy.

@pytest.mark.parametrize("name", KINDS)
def test_post_copy_brings_all_pages(name):
    report, end = moved(KINDS[name], Link(32 * MB), rule("qemu", 0), after_ns=3 * MS, postcopy_after=1)
    assert report.status == "completed" and report.equal and report.postcopy_pages == report.last_pages > 0
    there = undisturbed(KINDS[name])
    assert (end.results, end.disks) == (there.results, there.disks)
    if name != "PIO":       # its few pages are there before anybody wants one
        assert report.faults + report.host_faults > 0
    assert (report.fault_ns > 0) == (report.faults > 0)


def test_post_copy_moves_at_once_what_would_never_be_moved():
    report, end = moved(FAST, Link(4 * MB), rule("qemu", 10), postcopy_after=2)
    assert report.status == "completed" and report.downtime_ns < 20 * MS and report.faults > 0
    assert end.results == undisturbed(FAST).results and end.memory == undisturbed(FAST).memory


def test_a_link_that_goes_down_in_post_copy_loses_the_guest():
    whole, _ = moved(FAST, Link(4 * MB), rule("qemu", 10), postcopy_after=1)
    report, end = moved(FAST, Link(4 * MB, cut_at=whole.bytes - 50_000), rule("qemu", 10), postcopy_after=1)
    assert report.status == "lost" and end is None and "it is lost" in report.reason


# What is refused, and what goes wrong on the way: the source goes on.

def test_a_guest_with_a_passed_through_device_is_refused():
    report, end = moved(disk("passthrough", requests=20))
    assert report.status == "refused" and "no live migration while nvme0 is assigned to it" in report.reason and not report.bytes
    assert end.results == undisturbed(disk("passthrough", requests=20)).results


@pytest.mark.parametrize("to, why", [(writer(ram=3), "guest (3 MiB)"), (disk(), "has made room for guest (17 MiB)")])
def test_a_destination_that_was_not_planned_alike_refuses(to, why):
    report, end = moved(writer(), to=to)
    assert report.status == "refused" and why in report.reason and end == undisturbed(writer())


def test_a_link_or_limits_that_make_no_sense_are_refused():
    for wrong in ({"bandwidth": 0}, {"bandwidth": 5, "latency_ns": -1}):
        with pytest.raises(ValueError, match="^link: "):
            Link(**wrong)
    machine, run = started(writer())
    for wrong in ({"patience": 0}, {"postcopy_after": 9, "patience": 8}):
        with pytest.raises(ValueError, match="^migration: "):
            Migration(machine, run, None, Link(1), rule("qemu"), **wrong)
    with pytest.raises(ValueError, match="stop rule 'kvm': choose one of qemu, xen, hyper-v"):
        rule("kvm")


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.7, 0.95, 0.999])
def test_a_link_that_is_cut_leaves_the_guest_at_the_source(share):
    make = disk("split", requests=60)
    whole, _ = moved(make, by=rule("qemu", 1))
    report, end = moved(make, Link(32 * MB, cut_at=int(whole.bytes * share)), rule("qemu", 1))
    assert report.status == "failed" and "the guest goes on at the source" in report.reason
    assert end == undisturbed(make)


class Changes:
    """A man in the middle, who changes a bit of record `number`."""

    def __init__(self, number, at):
        self.number, self.at = number, at

    def __call__(self, data):
        self.number -= 1
        if self.number:
            return data
        at = self.at % len(data)
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]


@pytest.mark.parametrize("number", [1, 2, 3, 9, -1, -2])
@pytest.mark.parametrize("at", [0, 5, 9, 14, -1])
def test_a_stream_that_was_changed_is_refused_and_the_source_goes_on(number, at):
    make = writer(writes=400)
    records = []
    moved(make, Link(32 * MB, carry=lambda data: records.append(data) or data), rule("qemu", 1))
    report, end = moved(make, Link(32 * MB, carry=Changes(number % (len(records) + 1), at)), rule("qemu", 1))
    assert report.status == "refused" and report.reason.startswith("migration: ") and report.reason.count("\n") == 0
    assert end == undisturbed(make)


def records():
    """A whole stream, as records, and a destination for it."""
    found = []
    make = writer(writes=50)
    machine, run = started(make)
    other, pairs = make()

    class Tap(Destination):
        def receive(self, data):
            found.append(data)
            super().receive(data)
    Migration(machine, run, Tap(other, *pairs), Link(32 * MB), rule("qemu", 1)).go()
    other, pairs = make()
    return found, Destination(other, *pairs)


def test_a_stream_may_arrive_in_pieces_of_any_size():
    found, destination = records()
    whole = b"".join(found)
    for at in range(0, len(whole), 997):
        destination.receive(whole[at:at + 997])
    assert destination.complete and destination.resume().to_the_end() == undisturbed(writer(writes=50)).results


def again(*payloads):
    """A stream of these (kind, payload) records, with its end."""
    stream = wire.Writer()
    return b"".join(stream.end() if payload is None else stream.record(kind, payload) for kind, payload in payloads) + stream.end()


GUESTS = wire.hello([("guest", 2 << 20)])


@pytest.mark.parametrize("data, why", [
    (lambda: again(), "END where HELLO belongs"),
    (lambda: again((Kind.PAGES, b"")), "PAGES where HELLO belongs"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.HELLO, GUESTS)), "HELLO where one of the others belongs"),
    (lambda: again((Kind.HELLO, GUESTS)), "the end before the machine's state"),
    (lambda: again((Kind.HELLO, GUESTS[:-1])), "GUEST: 63 bytes, 64 needed"),
    (lambda: again((Kind.HELLO, b"x" + GUESTS[1:])), "no stream of a migration"),
    (lambda: again((Kind.HELLO, HELLO.pack(version=9))), "version 9; version 1 can be read"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.PAGES, wire.page_bytes(0, 512, bytes(PAGE)))), "page 0x200 of guest 0 is none"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.PAGES, wire.page_bytes(1, 0, bytes(PAGE)))), "page 0x0 of guest 1 is none"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.PAGES, bytes(9))), "a page is cut off"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.PAGES, b"\1" + bytes(10))), "a page's word is cut off"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.MISSING, bytes(9))), "the list of missing pages is cut off"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.ROUND, bytes(3))), "ROUND: 3 bytes, 8 needed"),
    (lambda: RECORD.pack(kind=8, length=0), "a record of kind 8"),
    (lambda: RECORD.pack(kind=1, length=1 << 31), "at most 1,073,741,824"),
    (lambda: again((Kind.HELLO, GUESTS), (Kind.STATE, b"x"), (Kind.MODEL, b"{}"), (Kind.END, None), (Kind.ROUND, bytes(8))), "ROUND after the end"),
])
def test_what_no_honest_source_sends_is_refused(data, why):
    _, destination = records()
    with pytest.raises(StreamRefused, match="^migration: ") as refused:
        destination.receive(data())
    assert why in str(refused.value)


@pytest.mark.parametrize("rest, model", [(b"x", b"{}"), (wire.zlib.compress(b"[]"), b"{}"), (wire.zlib.compress(b"{}"), b"x"),
                                         (wire.zlib.compress(b'{"run": {}}'), b'{"answers": []}'), (wire.zlib.compress(b"\xff"), b"{}")])
def test_a_state_that_is_none_is_refused(rest, model):
    _, destination = records()
    destination.receive(again((Kind.HELLO, GUESTS), (Kind.STATE, rest), (Kind.MODEL, model)))
    with pytest.raises(StreamRefused, match="what arrived as a machine's state is none"):
        destination.resume()


def test_a_stream_that_has_not_ended_is_believed_in_nothing():
    found, destination = records()
    destination.receive(b"".join(found)[:-1])
    with pytest.raises(StreamRefused, match="has not ended"):
        destination.resume()


def test_the_rules():
    def at(by, rounds=1, remaining=10 * MB, sent=0):
        return by.stop(Progress(rounds, remaining, sent, 100 * MB, 10 * MB))
    assert at(rule("qemu", 999)) is None and at(rule("qemu", 1000)) and rule("qemu", 300).enough(10 * MB) == 3 * MB
    for by, last in ((rule("xen"), 30), (rule("hyper-v"), 10)):
        assert at(by, last - 1) is None and at(by, last) and by.enough(10 * MB) == 0
        assert at(by, remaining=FEW_PAGES * PAGE) is None and at(by, remaining=FEW_PAGES * PAGE - PAGE)
    assert at(rule("xen"), sent=300 * MB) is None and at(rule("xen"), sent=300 * MB + 1) and at(rule("hyper-v"), sent=900 * MB) is None


def test_memory_that_is_taken_away_on_the_way_is_not_there_at_the_destination():
    machine, run = started(writer(writes=1500))
    other, pairs = writer(writes=1500)()
    migration = Migration(machine, run, Destination(other, *pairs), Link(2 * MB), rule("qemu", 1))
    guest = machine.guests[0].guest
    guest.memory.write(0x4000, b"gone")
    guest.take_ram(0x4000, PAGE)
    report = migration.go()
    assert report.status == "completed" and report.equal
    assert other.guests[0].guest.backing.spa(0x4000) is None and other.guests[0].guest.backing.bytes == (2 << 20) - PAGE
