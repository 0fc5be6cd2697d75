"""StorVSP's start-up by protocol version: which versions there are, and who is offered sub-channels."""

import pytest

from tests.raw_guest import machine
from tests.storage_rig import Rig, srb
from vmio.machine.storage import Image
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp


@pytest.mark.parametrize("version, subchannels", [
    (v.WIN6, 0), (v.WIN7, 0), (v.WIN8, 3), (v.WIN8_1, 3), (v.WIN10, 3)])
def test_sub_channels_came_with_windows_8(version, subchannels):
    rig = Rig(max_subchannels=3)
    rig.control(v.BEGIN_INITIALIZATION)
    status, answer = rig.control(v.QUERY_PROTOCOL_VERSION, version=version)
    assert (status, v.VERSION.parse(answer).version, rig.vsp.version) == (0, version, version)
    status, answer = rig.control(v.QUERY_PROPERTIES)
    properties = v.PROPERTIES.parse(answer)
    assert (status, properties.max_subchannels, properties.properties) == (0, subchannels, int(subchannels > 0))
    refused = v.INVALID_PARAMETER if subchannels else v.INVALID_DEVICE_STATE      # OpenVMM: older guests have nothing to ask
    for number in (4, subchannels + 1):
        assert rig.control(v.CREATE_SUB_CHANNELS, subchannels=number)[0] == refused
    assert rig.control(v.END_INITIALIZATION)[0] == 0


def test_a_guest_asks_for_answers_by_bit_0():
    assert v.REQUEST_COMPLETION == 1          # Linux drivers/scsi/storvsc_drv.c, REQUEST_COMPLETION_FLAG


def test_versions_by_their_numbers():
    """Linux drivers/scsi/storvsc_drv.c: major in the high byte, minor in the low one."""
    assert (v.WIN6, v.WIN7, v.WIN8, v.WIN8_1, v.WIN10) == (0x0200, 0x0402, 0x0501, 0x0600, 0x0602)


def test_an_inquiry_of_no_unit_is_as_long_as_it_may_be():
    """The allocation length is bytes 3 and 4 of the CDB; byte 5 is its control."""
    rig = Rig().ready()
    for cdb, length in (("12 00 00 00 05 00", 5), ("12 00 00 00 05 80", 5), ("12 00 00 00 24 ff", 36), ("12 00 00 01 00 00", 36)):
        answer = rig.srb(cdb, 256, lun=5)
        assert (answer.srb_status & 0x3F, answer.transfer_length) in ((1, length), (0x12, length)), cdb


@pytest.mark.parametrize("version, asked, given", [
    (v.WIN7, 1, None), (v.WIN7, 0, 0), (v.WIN8, 3, 3), (v.WIN8, 4, None), (v.WIN10, 1, 1)])
def test_sub_channels_on_a_bus(version, asked, given):
    """As many as were announced to this version; once in the start-up."""
    host, guest, server = machine()
    vsp = StorVsp(host, guest, {0: (ScsiTarget(64), None)}, max_subchannels=3)
    vsp.offer(server)
    vsp.state, vsp.version = "end", version
    request = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=1, subchannels=asked)
    assert vsp._protocol(v.CREATE_SUB_CHANNELS, request)[0] == (v.INVALID_PARAMETER if given is None else v.SUCCESS)
    assert len(vsp.subchannels) == (given or 0) == len(server.channels) - 1
    if given:
        assert vsp._protocol(v.CREATE_SUB_CHANNELS, request)[0] == v.INVALID_DEVICE_STATE
        assert vsp._protocol(v.END_INITIALIZATION, v.PACKET.pack())[0] == v.SUCCESS
        for number, status, there in ((given, v.SUCCESS, given), (0, v.SUCCESS, given), (3, v.SUCCESS, 3), (4, v.INVALID_PARAMETER, 3),
                                      (65535, v.INVALID_PARAMETER, 3)):
            request = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=1, subchannels=number)
            assert vsp._protocol(v.CREATE_SUB_CHANNELS, request)[0] == status
            assert [c.subchannel for c in server.channels.values()] == list(range(there + 1))


@pytest.mark.parametrize("cdb", ["93 00 00 00 00 00 00 00 00 10 00 00 00 02 00 00", "41 00 00 00 00 10 00 00 02 00"])
def test_write_same_takes_the_guests_sector(cdb):
    rig = Rig(image=Image.open(b"\x5a" * (64 * 512))).ready()       # of its own: others write to theirs, too
    data = bytes(range(256)) * 2
    rig.guest.memory.write(0x10000, data)
    before = rig.image.read(15, 4)
    assert rig.srb(cdb, 512, v.TO_DEVICE).srb_status & 0x3F == v.SRB_SUCCESS
    assert rig.image.read(15, 4) == before[:512] + data * 2 + before[-512:]


@pytest.mark.parametrize("requests", [1, 5, 16])
def test_each_request_of_a_batch_costs_the_host_its_time(requests):
    rig = Rig().ready()
    busy = rig.host.busy_ns
    for number in range(requests):
        payload, _ = srb("00 00 00 00 00 00")
        rig.end.send(payload, number, want_completion=True)
    assert len(rig.run()) == requests
    assert rig.host.busy_ns - busy == rig.host.costs.worker_wakeup_ns + requests * rig.host.costs.host_request_ns
