"""GPADLs: what the host takes as a list of a guest's pages, and what it refuses."""

import pytest

from tests.raw_guest import RING, Quiet, converse, machine, opening
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.gpadl import GpadlIgnored, GpadlRefused, GpadlTable
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.bus.server import FAILED


def test_gpadls_that_are_refused():
    end = 4 << 8    # pages of 4 MiB
    good = {"relid": 1, "gpadl": 7, "range_bytes": 24, "ranges": 1, "byte_count": 8192, "pages": (0x200, 0x201)}
    cases = [{"pages": (0x200, end)}, {"pages": (0x200, 1 << 63)}, {"pages": (0x200, 0x200)}, {"byte_count": 0},
             {"byte_offset": 4096}, {"byte_count": 8193}, {"byte_count": 4096}, {"byte_count": 0xFFFFFFFF},
             {"ranges": 0}, {"ranges": 2}, {"range_bytes": 23}, {"range_bytes": 8}, {"range_bytes": 0},
             {"ranges": 0xFFFF}, {"byte_offset": 0xFFFFFFFF}]

    def script(raw, server):
        for case in cases:
            (created,) = yield from raw.say(m.GPADL_HEADER.pack(**{**good, **case}))
            assert (created.gpadl, created.status) == (7, FAILED), case
            assert not server.gpadls.by_handle and server.gpadls.pages == 0
        (created,) = yield from raw.say(m.GPADL_HEADER.pack(**good))
        assert created.status == 0
        assert (yield from raw.say(m.GPADL_HEADER.pack(**good))) == []              # the handle is in use
        assert (yield from raw.say(m.GPADL_BODY.pack(gpadl=7, pages=(1, 2)))) == [] # it is complete
        assert (yield from raw.say(m.GPADL_BODY.pack(gpadl=8, pages=(1, 2)))) == [] # of nothing
        assert (yield from raw.say(m.GPADL_HEADER.pack(**{**good, "relid": 9, "gpadl": 9}))) == []

    converse(script)


@pytest.mark.parametrize("pages", [1, 26, 27, 54, 55])
def test_gpadl_sizes_header_and_bodies(pages):
    def script(raw, server):
        messages = m.gpadl_messages(1, 7, tuple(range(0x200, 0x200 + pages)))
        assert len(messages) == 1 + max(0, -(-(pages - 26) // 28))
        for message in messages[:-1]:
            assert (yield from raw.say(message)) == []
        (created,) = yield from raw.say(messages[-1].ljust(240, b"\xee"))   # longer than need be: clipped
        assert created.status == 0
        assert server.gpadls.by_handle[7].whole_pages == tuple(range(0x200, 0x200 + pages))

    converse(script)


def test_a_gpadl_of_two_ranges_is_no_ring():
    def script(raw, server):
        header = m.GPADL_HEADER.pack(relid=1, gpadl=7, range_bytes=40, ranges=2, byte_count=100, byte_offset=8,
                                     pages=(0x200, 5000 | 4000 << 32, 0x201, 0x202, 0x203)[:4])
        (created,) = yield from raw.say(header)
        assert created.status == FAILED      # the second needs three pages, two are there
        header = m.GPADL_HEADER.pack(relid=1, gpadl=7, range_bytes=48, ranges=2, byte_count=100, byte_offset=8,
                                     pages=(0x200, 5000 | 4000 << 32, 0x201, 0x202, 0x203))
        (created,) = yield from raw.say(header)
        assert created.status == 0
        assert [tuple(r) for r in server.gpadls.by_handle[7].ranges] == [
            (100, 8, (0x200,)), (5000, 4000, (0x201, 0x202, 0x203))]
        assert server.gpadls.by_handle[7].whole_pages is None

    converse(script)


def test_teardown_of_what_is_not_complete():
    def script(raw, server):
        (torn,) = yield from raw.say(m.gpadl_messages(1, 7, tuple(range(0x200, 0x220)))[0],
                                     m.GPADL_TEARDOWN.pack(relid=1, gpadl=7))
        assert torn.type == 12 and not server.gpadls.by_handle and server.gpadls.pages == 0

    converse(script)


def test_gpadl_memory_is_capped():
    host, guest, server = machine()
    table = GpadlTable(guest, max_pages=10, max_gpadls=3)
    def header(handle, n):
        return m.GPADL_HEADER.parse(m.gpadl_messages(1, handle, tuple(range(n)))[0])
    table.header(header(1, 6))
    with pytest.raises(GpadlRefused, match="too much"):
        table.header(header(2, 5))
    with pytest.raises(GpadlIgnored):
        table.header(header(1, 1))
    table.header(header(2, 1))
    table.header(header(3, 1))
    with pytest.raises(GpadlRefused, match="too much"):
        table.header(header(4, 1))
    table.drop(table.by_handle[1])
    assert table.pages == 2 and len(table.of(1)) == 2


def test_gpadls_go_with_their_relid():
    """A rescinded channel's lists live until its relid is released, complete or not; then handle and pages are free."""
    def script(raw, server):
        first, second = server.channels[1], server.channels[2]
        yield from raw.say(*m.gpadl_messages(1, 7, tuple(range(0x200, 0x208))),
                           *m.gpadl_messages(1, 8, tuple(range(0x210, 0x230)))[:1],
                           *m.gpadl_messages(2, 9, (0x240, 0x241)))
        assert [gpadl.handle for gpadl in server.gpadls.of(1)] == [7, 8] and server.gpadls.pages == 8 + 32 + 2
        server.rescind(first)
        (rescinded,) = yield from raw.replies()
        assert rescinded.relid == 1 and list(server.gpadls.by_handle) == [7, 8, 9]
        assert (yield from raw.say(m.RELID_RELEASED.pack(relid=1))) == []
        assert list(server.gpadls.by_handle) == [9] and server.gpadls.pages == 2 and list(server.channels) == [2]
        assert (yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=7))) == []
        (created,) = yield from raw.say(*m.gpadl_messages(2, 7, (0x200, 0x201)))
        assert (created.relid, created.gpadl, created.status) == (2, 7, 0)
        assert [gpadl.handle for gpadl in server.gpadls.of(2)] == [9, 7] and second.state is State.OFFERED

    server = converse(script, devices=2)
    assert server.refused == {"teardown of no GPADL of this channel": 1}


def test_a_new_channel_of_an_old_relid_has_no_gpadls():
    def script(raw, server):
        yield from raw.say(*m.gpadl_messages(1, 7, RING))
        server.rescind(server.channels[1])
        yield from raw.say(m.RELID_RELEASED.pack(relid=1))
        server.offer(Quiet())
        (offered,) = yield from raw.replies()
        assert offered.relid == 1 and server.gpadls.of(1) == []
        (result,) = yield from raw.say(m.OPENCHANNEL.pack(relid=1, open_id=5, gpadl=7, downstream_page=4))
        assert result.status == FAILED
        (*_, result) = yield from raw.say(*opening(handle=7))
        assert result.status == 0 and server.gpadls.pages == len(RING)

    converse(script)


def _rescinded(raw, server):
    """Open channel 1 with GPADL 7, and let the host take it away."""
    yield from raw.say(*opening())
    server.rescind(server.channels[1])
    assert [answer.type for answer in (yield from raw.replies())] == [2]


def test_a_gpadl_of_a_rescinded_channel_is_made_and_torn_down():
    """Its header was on the way when the host took the channel back."""
    def script(raw, server):
        yield from _rescinded(raw, server)
        (created,) = yield from raw.say(*m.gpadl_messages(1, 8, RING))
        assert (created.type, created.relid, created.gpadl, created.status) == (10, 1, 8, 0)
        (torn,) = yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=8))
        assert (torn.type, torn.gpadl) == (12, 8) and list(server.gpadls.by_handle) == [7]
        (created,) = yield from raw.say(*m.gpadl_messages(1, 8, RING))
        (result,) = yield from raw.say(opening(handle=8)[-1])
        assert created.status == 0 and result.type == 6 and result.status == FAILED

    converse(script)


def test_a_gpadl_of_a_rescinded_channel_goes_with_its_relid():
    def script(raw, server):
        yield from _rescinded(raw, server)
        (created,) = yield from raw.say(*m.gpadl_messages(1, 8, RING))
        whole = m.gpadl_messages(1, 9, tuple(range(0x210, 0x210 + 40)))
        assert created.status == 0 and (yield from raw.say(whole[0])) == []      # its body is still to come
        assert server.gpadls.pages == 2 * len(RING) + 40
        assert (yield from raw.say(m.RELID_RELEASED.pack(relid=1))) == []
        assert not server.gpadls.by_handle and server.gpadls.pages == 0 and not server.channels
        assert (yield from raw.say(*whole[1:], *m.gpadl_messages(1, 8, RING), m.GPADL_TEARDOWN.pack(relid=1, gpadl=8))) == []

    converse(script)


def test_a_gpadl_of_a_rescinded_channel_is_checked_like_any():
    def script(raw, server):
        yield from _rescinded(raw, server)
        good = {"relid": 1, "gpadl": 8, "range_bytes": 24, "ranges": 1, "byte_count": 8192, "pages": (0x200, 0x201)}
        for wrong in ({"pages": (0x200, 4 << 8)}, {"pages": (0x200, 0x200)}, {"byte_count": 0}, {"ranges": 2}):
            (created,) = yield from raw.say(m.GPADL_HEADER.pack(**{**good, **wrong}))
            assert created.status == FAILED, wrong
        server.gpadls._max_gpadls = 1
        (created,) = yield from raw.say(m.GPADL_HEADER.pack(**good))
        assert created.status == FAILED and list(server.gpadls.by_handle) == [7]

    converse(script)


def test_a_gpadl_that_was_begun_before_the_rescind():
    def script(raw, server):
        head, body = m.gpadl_messages(1, 8, tuple(range(0x210, 0x210 + 40)))
        assert (yield from raw.say(head)) == []
        server.rescind(server.channels[1])
        yield from raw.replies()
        (created,) = yield from raw.say(body)
        (torn,) = yield from raw.say(m.GPADL_TEARDOWN.pack(relid=1, gpadl=8))
        assert (created.type, created.status, torn.type) == (10, 0, 12) and server.gpadls.pages == 0

    converse(script)
