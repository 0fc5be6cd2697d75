"""StorVSP's start-up by protocol version: which versions there are, and who is offered sub-channels."""

import pytest

from tests.storage_rig import Rig
from vmio.vmbus.storage import vstor as v


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
    for number in (4, subchannels + 1):
        assert rig.control(v.CREATE_SUB_CHANNELS, subchannels=number)[0] == v.INVALID_PARAMETER
    assert rig.control(v.END_INITIALIZATION)[0] == 0


def test_versions_by_their_numbers():
    """Linux drivers/scsi/storvsc_drv.c: major in the high byte, minor in the low one."""
    assert (v.WIN6, v.WIN7, v.WIN8, v.WIN8_1, v.WIN10) == (0x0200, 0x0402, 0x0501, 0x0600, 0x0602)


def test_an_inquiry_of_no_unit_is_as_long_as_it_may_be():
    """The allocation length is bytes 3 and 4 of the CDB; byte 5 is its control."""
    rig = Rig().ready()
    for cdb, length in (("12 00 00 00 05 00", 5), ("12 00 00 00 05 80", 5), ("12 00 00 00 24 ff", 36), ("12 00 00 01 00 00", 36)):
        answer = rig.srb(cdb, 256, lun=5)
        assert (answer.srb_status & 0x3F, answer.transfer_length) in ((1, length), (0x12, length)), cdb
