"""Frames out of RNDIS messages: what the host says of them is checked, its tags come back."""

import pytest

from vmio.drivers.netvsc_receive import beside, frame
from vmio.machine.net import headers
from vmio.vmbus.net import receive
from vmio.vmbus.net import rndis as r

PLAIN = bytes(range(12)) + b"\x08\x00" + b"x" * 50
TAGGED = headers.tag(PLAIN, 77, 5)


def message(data=PLAIN, blocks=b"", **fields):
    at = r.FIRST_PPI + len(blocks)
    said = dict(length=r.BODY + at + len(data), data_offset=at, data_length=len(data), ppi_offset=r.FIRST_PPI if blocks else 0,
                ppi_length=len(blocks)) | fields
    return r.PACKET.pack(**said) + blocks + data


def test_what_the_host_makes_of_a_frame_is_that_frame_again():
    for each in (PLAIN, TAGGED):
        for checked in (False, True):
            for vlan in (False, True):
                for value in (None, 0x1234_5678):
                    assert frame(receive.message(each, checked, vlan, value)) == each


@pytest.mark.parametrize("fields", [
    dict(data_offset=0xFFFF_FFF8), dict(data_offset=0xFFFF_FFFF), dict(data_length=0xFFFF_FFFF), dict(data_length=65), dict(data_offset=37),
    dict(data_offset=0), dict(data_length=13), dict(length=20), dict(ppi_length=4, ppi_offset=0xFFFF_FFF0), dict(ppi_length=0xFFFF_FFFF, ppi_offset=36),
    dict(ppi_length=8, ppi_offset=4)])
def test_what_does_not_fit_is_no_frame(fields):
    assert frame(message()) == PLAIN and frame(message(**fields)) is None


@pytest.mark.parametrize("block", [
    r.PPI.pack(size=0, type=r.VLAN, data=[1]), r.PPI.pack(size=8, type=r.VLAN, data=[1]), r.PPI.pack(size=17, type=r.VLAN, data=[1]),
    r.PPI.pack(size=16, type=r.VLAN, offset=13, data=[1]), r.PPI.pack(size=16, type=r.VLAN, offset=4, data=[1]),
    r.PPI.pack(size=0xFFFF_FFFF, type=r.VLAN, data=[1]), r.PPI.pack(size=16, type=r.VLAN, data=[1]) + b"\x10\0\0\0"])
def test_a_block_that_cannot_be_ends_it(block):
    assert list(beside(block))[-1] == (-1, 0) and frame(message(blocks=block)) is None


def test_blocks_of_other_kinds_are_passed_over():
    blocks = r.PPI.pack(size=16, type=99, data=[7]) + r.PPI.pack(size=16, type=r.VLAN, data=[r.VLAN_TAG.number(vlan=77, priority=5)])
    assert list(beside(blocks)) == [(99, 7), (r.VLAN, r.VLAN_TAG.number(vlan=77, priority=5))] and frame(message(blocks=blocks)) == TAGGED
