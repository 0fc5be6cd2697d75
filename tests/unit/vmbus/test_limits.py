"""What the host has a limited number of: running out is a status, or one sentence for who asked, and nothing is half done."""

import pytest

from tests.passthrough_rig import Rig as Lending
from tests.raw_guest import Quiet, machine
from tests.storage_rig import Rig
from vmio.attacks.split import SplitWorld
from vmio.passthrough.assignment import AssignmentRefused
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.host_channel import State
from vmio.vmbus.bus.server import MAX_CHANNELS, NoChannelLeft
from vmio.vmbus.storage import vstor as v

INSUFFICIENT_RESOURCES = 0xC000009A
MAX_SUBCHANNELS = 64


class Hoard(SplitWorld):
    """A disk that lets its guest have 64 sub-channels."""

    def __init__(self):
        super().__init__()
        self.vsp.max_subchannels = MAX_SUBCHANNELS


def _again(talker):
    """Close the primary (its sub-channels are rescinded), open it, and start up again."""
    yield from talker.client.close(talker.channel)
    talker.answers.clear()
    talker.end = yield from talker.client.open(talker.channel, pages=4, gpa=0x30_0000, on_signal=talker._look)
    talker.out, talker.back = talker.end.outgoing.memory, talker.end.incoming.memory
    for operation, layout, fields in ((v.BEGIN_INITIALIZATION, v.PACKET, {}),
                                      (v.QUERY_PROTOCOL_VERSION, v.VERSION, {"version": v.WIN10}),
                                      (v.QUERY_PROPERTIES, v.PACKET, {}), (v.END_INITIALIZATION, v.PACKET, {})):
        yield from talker.ask(layout.pack(operation=operation, flags=1, **fields))


def _create(talker, number):
    answer = yield from talker.ask(v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=1, subchannels=number))
    return v.PACKET.parse(answer).status


def test_a_guest_that_hoards_relids_gets_a_status():
    statuses, seen = [], {}

    def program(world, cpu):
        talker = yield from world.talk(cpu)
        server = world.server
        for _ in range(-(-MAX_CHANNELS // MAX_SUBCHANNELS)):
            statuses.append((yield from _create(talker, MAX_SUBCHANNELS)))
            yield from _again(talker)
        seen["left"] = server.free_channels
        seen["one too many"] = yield from _create(talker, server.free_channels + 1)
        seen["none was made"] = (server.free_channels, len(server.family(world.vsp.channel)))
        relid = next(n for n, channel in server.channels.items() if channel.state is State.RESCINDED)
        yield from talker.client._post(m.RELID_RELEASED.pack(relid=relid))
        yield from talker.wait(1_000_000)
        seen["after one release"] = server.free_channels
        seen["as many as there are"] = yield from _create(talker, server.free_channels)
        seen["at the end"] = server.free_channels

    outcome = Hoard().attacked_by(program)
    assert outcome.verdict == "PASS", outcome
    assert statuses == [0] * 31 + [INSUFFICIENT_RESOURCES]
    assert seen == {"left": 62, "one too many": INSUFFICIENT_RESOURCES, "none was made": (62, 1985),
                    "after one release": 63, "as many as there are": 0, "at the end": 0}


def test_sub_channels_without_a_bus_or_too_many():
    rig = Rig(max_subchannels=4).ready()
    assert rig.control(v.CREATE_SUB_CHANNELS, subchannels=4)[0] == v.INVALID_PARAMETER      # it was not offered on a bus


def test_a_device_is_not_half_given_to_a_guest_without_a_channel_left():
    rig = Lending()
    server = rig.servers[0]
    server.offer(Quiet())
    server.channels.update({n: server.channels[1] for n in range(2, MAX_CHANNELS + 1)})
    with pytest.raises(AssignmentRefused, match="nvme.*: guest guest0: all 2047 channels of its bus are in use"):
        rig.assign(0)
    assert rig.function.assigned_to is None and not rig.guests[0].pins and rig.iommu.owner(rig.function.requester) is None
    rig.assign(1)                                                                           # as if nothing had been


def test_an_offer_needs_a_relid():
    host, guest, server = machine()
    server.offer(Quiet())
    assert server.free_channels == 2046
    server.channels.update({n: server.channels[1] for n in range(2, MAX_CHANNELS + 1)})
    with pytest.raises(NoChannelLeft, match="guest0: all 2047 channels of its bus are in use; 0 were taken back"):
        server.offer(Quiet())
    server.channels[1].step("rescind")
    with pytest.raises(NoChannelLeft, match="2,047 were taken back, and the guest has not released them"):
        server.offer(Quiet())
