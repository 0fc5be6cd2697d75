"""A virtio card's frames both ways, with and without mergeable buffers, its filter, and what no honest driver sends.

A frame out and one in, byte for byte as QEMU's card has them, are in a golden trace.
"""

import pytest

from tests.virtio_rig import BUFFERS, Memory
from vmio.machine.net.cable import Cable
from vmio.virtio import features as f
from vmio.virtio import net_wire as w
from vmio.virtio.net import CONTROL, RECEIVE, TRANSMIT, Net
from vmio.virtio.queue import SplitDriver

OWN, OTHER, GROUP = b"\x52\x54\0\x12\x34\x56", b"\x52\x54\0\xab\xcd\xef", b"\x01\0\x5e\0\0\x01"
HEADER = w.HEADER.size


class Card:
    """A card on a cable, three queues and a driver for each; `heard` is what has left, `interrupts` the queues that did."""

    def __init__(self, agreed=w.MRG_RXBUF):
        self.memory, self.heard, self.interrupts, self.changes = Memory(), [], [], 0
        self.device, self.cable = Net(self.memory, OWN), Cable()
        self.device.plug_in(self.cable.ends[0])
        self.cable.ends[1].connect(self)
        self.device.transport = self
        for status in (0, 1, 3):
            self.device.write_status(status)
        self.device.agree(f.VERSION_1 | agreed)
        self.device.write_status(11)
        self.drivers = []
        for number, setup in enumerate(self.device.setups):
            at = 0x1_0000 * (number + 1)
            setup.size, setup.descriptors, setup.driver, setup.device = 8, at, at + 0x1000, at + 0x2000
            self.drivers.append(SplitDriver(self.memory, 8, at, at + 0x1000, at + 0x2000))
            self.device.enable(number)
        self.device.write_status(15)

    def receive(self, frame):
        self.heard.append(frame)
        return True

    def link_changed(self, up):
        pass

    def queue_interrupt(self, number):
        self.interrupts.append(number)

    def config_interrupt(self):
        self.changes += 1

    def give(self, *sizes):
        """Lend receive chains of these sizes, at BUFFERS + 4096 n; a kick says nothing that the card needs."""
        for n, size in enumerate(sizes):
            self.drivers[RECEIVE].add([], [(BUFFERS + 0x1000 * n, size)], n)
        self.drivers[RECEIVE].publish()
        self.device.kick(RECEIVE)

    def send(self, data):
        self.memory.write(BUFFERS, data)
        self.drivers[TRANSMIT].add([(BUFFERS, len(data))], [], "sent")
        self.drivers[TRANSMIT].publish()
        self.device.kick(TRANSMIT)

    def command(self, data):
        """The answer to a command: 0 good, 1 not."""
        self.memory.write(BUFFERS, data)
        self.memory.write(BUFFERS + 0x8000, b"\xee")
        self.drivers[CONTROL].add([(BUFFERS, len(data))], [(BUFFERS + 0x8000, 1)], 0)
        self.drivers[CONTROL].publish()
        self.device.kick(CONTROL)
        assert self.drivers[CONTROL].reap() == (0, 1)
        return self.memory.bytes[BUFFERS + 0x8000]

    def comes(self, to, size=100):
        return self.cable.ends[1].send(to + OTHER + b"\x08\0" + bytes(range(256)) * 6 if size == 1550 else (to + OTHER + b"\x08\0").ljust(size, b"x"))


def test_frames_out_are_padded_and_cut_from_their_header():
    card = Card()
    card.send(bytes(HEADER) + OTHER + OWN + b"\x08\x06" + b"arp" * 9)
    card.send(b"\xff" * HEADER + (OTHER + OWN + b"\x08\0").ljust(1514, b"y"))
    assert [len(frame) for frame in card.heard] == [60, 1514] and card.heard[0].startswith(OTHER + OWN + b"\x08\x06arp")
    assert card.drivers[TRANSMIT].reap() == ("sent", 0) and card.interrupts == [TRANSMIT, TRANSMIT] and card.device.frames_out == 2


@pytest.mark.parametrize("size", [0, 13, 1515, 4000])
def test_what_is_no_frame_is_dropped_and_its_chain_given_back(size):
    card = Card()
    card.send(bytes(HEADER) + b"z" * size)
    assert card.heard == [] and card.device.dropped == 1 and card.drivers[TRANSMIT].reap() == ("sent", 0) and card.device.broken is None


def test_a_chain_without_a_header_ends_the_card():
    card = Card()
    card.send(b"z" * 11)
    assert card.device.broken == "queue 1: a frame of 11 bytes, its header has 12" and card.changes == 1
    assert not card.comes(OWN)


def test_a_frame_goes_on_in_the_next_chains():
    card = Card()
    card.give(64, 64, 2048, 64)
    assert card.comes(OWN, 300)
    driver, parts = card.drivers[RECEIVE], []
    while (answer := driver.reap()) is not None:
        parts.append(card.memory.read(BUFFERS + 0x1000 * answer[0], answer[1]))
    assert [len(part) for part in parts] == [64, 64, 184]
    whole = b"".join(parts)
    assert w.HEADER.parse(whole).num_buffers == 3 and whole[:10] == bytes(10) and whole[HEADER:] == (OWN + OTHER + b"\x08\0").ljust(300, b"x")
    assert card.interrupts == [RECEIVE]                       # one for all of it
    assert not card.comes(OWN, 300) and card.device.dropped == 1 and card.drivers[RECEIVE].reap() is None     # 64 bytes are left: none of it
    assert card.comes(OWN, 52)


def test_without_mergeable_buffers_a_frame_must_fit_into_one():
    card = Card(0)
    card.give(64, 2048)
    assert not card.comes(OWN, 300) and card.drivers[RECEIVE].reap() is None
    assert card.comes(OWN, 52)
    assert card.drivers[RECEIVE].reap() == (0, 64) and w.HEADER.parse(card.memory.read(BUFFERS, 12)).num_buffers == 0
    assert card.comes(OWN, 300) and card.drivers[RECEIVE].reap() == (1, 312)


def test_kicks_are_asked_for_only_when_chains_run_out():
    card = Card()
    card.give(2048, 2048)
    flags = card.device.setups[RECEIVE].device
    assert card.comes(OWN) and card.memory.bytes[flags] == 1
    assert card.comes(OWN) and not card.comes(OWN) and card.memory.bytes[flags] == 0
    card.drivers[RECEIVE].reap()
    card.give(2048)
    assert card.comes(OWN)


def test_the_filter_and_its_commands():
    card = Card()
    card.give(*[2048] * 8)
    before = []

    def taken(to, size=60):
        count = card.device.frames_in
        assert card.comes(to, size)                           # a frame that nobody wants is taken, and thrown away
        before.append(card.device.frames_in > count)
        while (answer := card.drivers[RECEIVE].reap()) is not None:
            card.drivers[RECEIVE].add([], [(BUFFERS + 0x1000 * answer[0], 2048)], answer[0])
        card.drivers[RECEIVE].publish()
        return before[-1]
    assert taken(OTHER)                                       # after a reset it takes everything
    assert card.command(bytes([w.RX, w.PROMISCUOUS, 0])) == w.ACK
    assert [taken(to) for to in (OWN, b"\xff" * 6, OTHER, GROUP)] == [True, True, False, False]
    assert card.command(bytes([w.RX, w.ALL_MULTI, 1])) == w.ACK and taken(GROUP)
    card.command(bytes([w.RX, w.ALL_MULTI, 0]))
    table = bytes([w.ADDRESSES, w.TABLE_SET, 1, 0, 0, 0]) + OTHER + bytes([1, 0, 0, 0]) + GROUP
    assert card.command(table) == w.ACK and [taken(OTHER), taken(GROUP)] == [True, True]
    many = bytes([w.ADDRESSES, w.TABLE_SET, 65, 0, 0, 0]) + OTHER * 65 + bytes(4)
    assert card.command(many) == w.ACK and [taken(b"\x02" * 6), taken(GROUP)] == [True, False]
    assert card.command(bytes([w.ADDRESSES, w.ADDRESS_SET]) + OTHER) == w.ACK and card.device.read_config(0, 4) == 0xAB005452
    assert card.command(bytes([w.RX, w.NO_BROADCAST, 1])) == w.ACK and not taken(b"\xff" * 6)
    assert card.command(bytes([w.VLAN, w.VLAN_ADD, 5, 0])) == w.ACK
    card.device.write_status(0)
    assert card.device.filter.address == OWN and card.device.filter.modes == {w.PROMISCUOUS}


def test_vlans():
    card = Card()
    card.command(bytes([w.RX, w.PROMISCUOUS, 0]))
    tagged = OWN + OTHER + b"\x81\0\0\x05" + bytes(50)
    assert not card.device.filter.wants(tagged)
    card.command(bytes([w.VLAN, w.VLAN_ADD, 5, 0]))
    assert card.device.filter.wants(tagged)
    card.command(bytes([w.VLAN, w.VLAN_REMOVE, 5, 0]))
    assert not card.device.filter.wants(tagged)


@pytest.mark.parametrize("data", [b"\0", b"\0\6\1", b"\0\0", b"\0\0\1\1", b"\1\0", b"\1\0\xff\xff\xff\xff", b"\1\0\1\0\0\0" + OTHER, b"\1\0" + bytes(9),
                                  b"\1\1" + OTHER[:5], b"\2\0\0\x10", b"\2\2\5\0", b"\4\0\1\0", b"\5\0" + b"\1" + bytes(7), b"\xff\xff" + bytes(4000)])
def test_commands_that_are_none(data):
    assert Card().command(data) == w.NACK


def test_the_driver_hears_of_the_link():
    card = Card()
    assert card.device.read_config(6, 2) == w.LINK_UP
    card.cable.link(False)
    assert card.device.read_config(6, 2) == 0 and card.changes == 1 and card.device.generation == 1


def test_chains_that_wait_for_frames_go_with_their_queue():
    card = Card()
    card.give(64, 64)
    assert not card.comes(OWN, 300)                           # both were taken, and not enough
    card.device.write_status(0)
    assert card.device.read_status() == 0
