"""GPADLs of a sub-channel that its primary has taken with it: made, as of any rescinded channel, and gone with its release."""

import pytest

from tests.smp_rig import DATA
from tests.unit.vmbus.test_subchannels import before_the_end, by_hand
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.storage import vstor as v


def made(client, channel, handle, pages):
    """The status of GPADL_CREATED; the client itself would give a rescinded channel up."""
    client._expect(m.Message.GPADL_CREATED, handle)
    for message in m.gpadl_messages(channel.relid, handle, tuple(range(DATA >> 12, (DATA >> 12) + pages))):
        yield from client._post(message)
    return (yield from client._answer(m.Message.GPADL_CREATED, handle)).status


@pytest.mark.parametrize("pages", [2, 27, 55])
def test_a_gpadl_of_a_rescinded_sub_channel(pages):
    def program(smp, cpu, client):
        primary, (first, second) = yield from before_the_end(client)
        assert (yield from primary.control(v.END_INITIALIZATION)) == 0
        yield from client.close(primary.channel)
        yield from client.taken_back(first)
        assert smp.server.channels[first.relid].state is State.RESCINDED
        handle = 77
        assert (yield from made(client, first, handle, pages)) == 0
        assert len(smp.server.gpadls.by_handle[handle].ranges[0].pages) == pages
        yield from client._post(m.OPENCHANNEL.pack(relid=first.relid, open_id=1, gpadl=handle, downstream_page=pages // 2))
        yield from client.teardown_gpadl(first, handle)
        assert not smp.server.gpadls.by_handle
        assert (yield from made(client, second, 78, 1)) == 0
        yield from client.release(second)
        yield from cpu.hlt(1_000_000)
        assert not smp.server.gpadls.by_handle and sorted(smp.server.channels) == [1, first.relid]

    assert by_hand(program).server.refused == {"OPENCHANNEL in state rescinded": 1}
