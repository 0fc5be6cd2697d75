"""Pages that have not come when the guest runs: the host's own reads and writes find them missing, too, and each comes once."""

import pytest
from tests.migration_rig import MB, MS, moved, started, undisturbed, writer

from vmio.machine.checkpoint import CheckpointRefused
from vmio.manage.migration import wire
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link
from vmio.manage.migration.migration import Migration
from vmio.manage.migration.postcopy import PostCopy
from vmio.manage.migration.report import Report
from vmio.manage.migration.rules import rule
from vmio.manage.migration.wire import Kind, StreamRefused

PAGE = 4096
HELLO = wire.hello([("guest", 2 << 20)])


def rising(*missing, link=None):
    """(the destination's host memory, SPA of its guest's page 0, the pages to come, the report) while these pages of the guest are missing."""
    source, _ = started(writer())
    for page in missing:
        source.guests[0].guest.memory.write(page * PAGE, bytes([page]) * PAGE)
    there, pairs = writer()()
    stream, report, destination = wire.Writer(), Report(), Destination(there, *pairs)
    destination.receive(stream.record(Kind.HELLO, HELLO))
    pages = PostCopy(source, destination, link or Link(4 * MB), stream, report)
    pages.prepare([(0, page) for page in missing])
    pages.resumed(0)
    return there.host.memory, there.guests[0].guest.backing.spa(0), pages, report


def test_what_the_host_reads_comes_first():
    memory, spa, pages, report = rising(5, 6, 7)
    assert memory.read(spa + 5 * PAGE + 10, PAGE) == b"\5" * (PAGE - 10) + b"\6" * 10
    assert report.host_faults == report.postcopy_pages == 2
    assert pages.push() is not None and report.postcopy_pages == 3 and pages.push() is None       # those that came are not sent again


def test_what_the_host_writes_stays_and_the_rest_of_the_page_comes():
    memory, spa, _, report = rising(5, 6)
    memory.write(spa + 6 * PAGE - 2, b"HOST")
    assert memory.read(spa + 5 * PAGE, 2 * PAGE) == b"\5" * (PAGE - 2) + b"HOST" + b"\6" * (PAGE - 2) and report.host_faults == 2


def test_a_page_on_its_way_is_waited_for_and_not_sent_again():
    link = Link(4 * MB, 100_000)
    _, _, pages, report = rising(5, 6, link=link)
    at = pages.push()
    assert at == link.arrives_at == link.takes(link.sent) + 100_000
    assert pages.wait_for(0, 5, at - 70) == 70 and report.postcopy_pages == 2
    pages.arrived(at - 1)
    assert pages.wait_for(0, 6, at - 1) == 1             # had not arrived by then
    assert pages.wait_for(0, 5, at) is None


def test_who_asks_waits_for_the_request_and_the_page():
    link = Link(4 * MB, 100_000)
    _, _, pages, _ = rising(5, link=link)
    assert pages.wait_for(0, 5, 1000) == 2 * 100_000 + link.takes(link.sent)


def test_a_page_that_there_is_not_can_t_be_missing():
    there, pairs = writer()()
    stream = wire.Writer()
    destination = Destination(there, *pairs)
    destination.receive(stream.record(Kind.HELLO, HELLO))
    with pytest.raises(StreamRefused, match="migration: page 0x200 of guest 0 is none of this machine's"):
        destination.receive(stream.record(Kind.MISSING, wire.WORD.pack(wire.word(0, 512))))


def test_what_is_written_while_a_machine_can_t_be_saved_goes_too(monkeypatch):
    make = writer()
    machine, run = started(make, 3 * MS)
    there, pairs = make()
    migration = Migration(machine, run, Destination(there, *pairs), Link(320 * MB), rule("qemu", 1))
    save, refused = machine.save, []

    def busy():
        if len(refused) < 50:
            refused.append(machine.host.env.now)
            raise CheckpointRefused("checkpoint: a frame is under way")
        return save()
    monkeypatch.setattr(machine, "save", busy)
    report = migration.go()
    assert len(refused) == 50 and refused[-1] > refused[0]
    assert report.status == "completed" and report.equal and migration.run.to_the_end() == undisturbed(make).results


def test_a_link_carries_all_bytes_up_to_its_cut_and_a_part_of_a_nanosecond_is_one():
    whole, _ = moved(writer())
    assert moved(writer(), Link(32 * MB, cut_at=whole.bytes), rule("qemu", 5))[0].status == "completed"
    assert moved(writer(), Link(32 * MB, cut_at=whole.bytes - 1), rule("qemu", 5))[0].status == "failed"
    assert Link(3).takes(1) == 333_333_334


def test_when_all_are_there_nobody_is_asked_any_more():
    machine, run = started(writer(), 3 * MS)
    there, pairs = writer()()
    migration = Migration(machine, run, Destination(there, *pairs), Link(4 * MB), rule("qemu", 1), postcopy_after=1)
    cpu, guest = there.guests[0].cpu, there.guests[0].guest
    before = cpu.memory
    assert migration.go().faults
    assert cpu.memory is before and guest.slat.absent is None
    assert there.host.memory.reading is None and there.host.memory.written is None
