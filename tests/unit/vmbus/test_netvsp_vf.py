"""What NetVSP says of a virtual function beside it, in bytes packed by hand, and what a guest may ask for."""

import struct

import pytest
from tests.netvsp_rig import MAC, OTHER, V1, V4, V5, V6_1, Rig, frame

SERIAL = 0x84
PACKET, COMPLETION, XFER = 6, 11, 7
FILTER = struct.pack("<I", 0xD)


class VfRig(Rig):
    """A card whose guest says that it takes a function; `told` are in-band messages as words, `paths` what the host's network was told."""

    def __init__(self, sriov=True, version=V6_1):
        super().__init__()
        self.paths, self.told = [], []
        self.vsp.vf.on_path = self.paths.append
        self.sriov, self.version = sriov, version

    def agree(self, version=V6_1):
        super().agree(version)
        if self.sriov and version >= V4:
            self.tell(struct.pack("<IIIQ", 125, 1514, 0, 0b101100).ljust(40, b"\0"), wanted=False)
        return self

    def run(self):
        came = super().run()
        self.told += [self.words(payload)[:3] for kind, _, payload, _ in came if kind == PACKET]
        return [each for each in came if each[0] != PACKET]


def test_told_once_when_the_guest_takes_frames():
    rig = VfRig()
    rig.vsp.vf.associate(SERIAL)
    rig.agree().buffers()
    assert rig.control(2, 1, 1, 0, 0x4000)[3] == 0 and rig.told == []
    assert rig.set(0x1010E, FILTER) == 0 and rig.set(0x1010E, FILTER) == 0
    assert rig.told == [(128, 1, SERIAL)]


def test_told_at_once_where_it_is_up():
    rig = VfRig()
    rig.ready()
    assert rig.told == []
    rig.vsp.vf.associate(SERIAL)
    rig.run()
    assert rig.told == [(128, 1, SERIAL)]


@pytest.mark.parametrize("sriov, version", [(False, V6_1), (False, V5), (True, V1)])
def test_guests_that_know_no_such_thing_hear_nothing(sriov, version):
    rig = VfRig(sriov)
    rig.vsp.vf.associate(SERIAL)
    rig.ready(version)
    assert rig.told == []
    if version >= V4:
        assert rig.ask(129, 1) == b"" and rig.paths == []


def test_the_path_is_answered_by_an_empty_completion_and_frames_stay_away():
    rig = VfRig()
    rig.ready()
    rig.vsp.vf.associate(SERIAL)
    rig.run()
    assert rig.ask(129, 1) == b"" and rig.ask(129, 1) == b"" and rig.paths == [1]
    assert rig.peer.end.send(frame(MAC, OTHER)) and rig.run() == [] and rig.vsp.received == [0, 0]
    assert rig.ask(129, 7) == b"" and rig.paths == [1]
    assert rig.ask(129, 0) == b"" and rig.paths == [1, 0]
    assert rig.peer.end.send(frame(MAC, OTHER)) and len(rig.received(rig.run())) == 1


def test_taken_away_the_path_comes_first():
    rig = VfRig()
    rig.ready()
    rig.vsp.vf.associate(SERIAL)
    rig.run()
    rig.ask(129, 1)
    rig.vsp.vf.dissociate()
    rig.run()
    assert rig.told == [(128, 1, SERIAL), (129, 0, 0), (128, 0, 0)] and rig.paths == [1, 0]
    assert rig.ask(129, 1) == b"" and rig.paths == [1, 0]         # it is gone
    rig.vsp.vf.dissociate()
    rig.run()
    assert len(rig.told) == 3


def test_a_driver_that_begins_anew_is_on_its_card_and_is_told_again():
    rig = VfRig()
    rig.ready()
    rig.vsp.vf.associate(SERIAL)
    rig.run()
    rig.ask(129, 1)
    rig.vsp.closed()
    rig.host.env.run()
    rig.open()
    assert rig.paths == [1, 0]
    rig.ready()
    assert rig.told == [(128, 1, SERIAL)] * 2


def test_before_version_4_there_is_no_such_message():
    rig = VfRig()
    rig.ready(V1)
    rig.tell(struct.pack("<II", 129, 1).ljust(40, b"\0"))
    assert rig.errors and "network message 129" in rig.errors[0]
