"""The Tulip's transmit process: lists, buffers, what is on the wire, time, errors, and lists without an end."""

import zlib

import pytest
from tests.tulip_rig import PEER, TX, TX_DATA, US, Rig, frame

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.transmit import BURST, PAUSE_NS
from vmio.machine.memory import MemoryFault


def test_a_frame_leaves_and_its_descriptor_comes_back():
    rig = Rig()
    rig.start()
    at = rig.send(frame())
    assert rig.got == [frame()] and rig.status(at) == 0
    assert rig.csr(5) & 0x1FFFF == b.TI | b.TU | b.NIS and rig.line
    rig.csr(5, b.TI | b.TU)
    rig.send(frame(), flags=0)
    assert rig.csr(5) & 0x1FFFF == b.TU | b.NIS          # no TI without IC


def test_a_demand_with_nothing_to_send():
    rig = Rig()
    rig.csr(4, TX)
    rig.csr(1, 0)
    assert rig.csr(5) == 0xFC000000                      # stopped: nobody looks
    rig.csr(6, b.ST)
    assert rig.csr(5) & 0x7FFFFF == b.TX_SUSPENDED << 20 | b.TU


@pytest.mark.parametrize("skip", [0, 1, 31])
def test_descriptors_in_a_row(skip):
    rig = Rig()
    rig.csr(0, skip << 2)
    step = 16 + 4 * skip
    for n in range(3):
        rig.memory.write(TX_DATA + 4096 * n, frame(length=60 + n))
        rig.descriptor(TX + n * step, b.OWN, b.T_FS | b.T_LS | 60 + n | (b.END_OF_RING if n == 2 else 0), TX_DATA + 4096 * n)
    rig.start()
    assert [len(each) for each in rig.got] == [60, 61, 62]
    assert rig.tulip.transmitter.list.at == TX           # the end of the ring
    rig.descriptor(TX, b.OWN, b.T_FS | b.T_LS | 60, TX_DATA)
    rig.csr(1, 1)
    assert len(rig.got) == 4


def test_chained_descriptors_have_one_buffer_and_the_end_of_a_ring_comes_first():
    rig = Rig()
    rig.memory.write(TX_DATA, frame(length=100))
    rig.descriptor(TX, b.OWN, b.CHAINED | b.T_FS | 500 << 11 | 40, TX_DATA, 0x8001)       # 500 bytes of a second buffer: none
    rig.descriptor(0x8000, b.OWN, b.CHAINED | b.END_OF_RING | b.T_LS | 60, TX_DATA + 40, 0x9000)
    rig.start()
    assert rig.got == [frame(length=100)] and rig.tulip.transmitter.list.at == TX


def test_big_endian_descriptors():
    rig = Rig()
    rig.csr(0, b.BIG_ENDIAN_DESCRIPTORS)
    rig.memory.write(TX_DATA, frame())
    rig.memory.write(TX, b"".join(word.to_bytes(4, "big") for word in (b.OWN, b.T_FS | b.T_LS | b.END_OF_RING | 64, TX_DATA, 0)))
    rig.start()
    assert rig.got == [frame()] and rig.memory.read(TX, 4) == bytes(4)


def test_a_frame_in_many_pieces_of_any_alignment():
    rig = Rig()
    whole = frame(length=1514)
    rig.memory.write(TX_DATA + 1, whole)
    for n, (flags, first, second) in enumerate([(b.T_FS, (0, 14), (14, 1)), (0, (0, 0), (15, 485)), (0, (0, 0), (0, 0)),
                                                (b.T_LS | b.T_IC, (500, 1000), (1500, 14))]):
        rig.descriptor(TX + 16 * n, b.OWN, flags | first[1] | second[1] << 11, TX_DATA + 1 + first[0], TX_DATA + 1 + second[0])
    rig.start()
    assert rig.got == [whole]
    assert [rig.status(TX + 16 * n) for n in range(4)] == [0, 0, b.T_NOTHING, 0]


def test_a_frame_that_begins_anew():
    rig = Rig()
    rig.memory.write(TX_DATA, frame(length=200))
    rig.descriptor(TX, b.OWN, b.T_FS | 100, TX_DATA)
    rig.descriptor(TX + 16, b.OWN, b.T_FS | b.T_LS | 64, TX_DATA)
    rig.start()
    assert rig.got == [frame(length=200)[:64]]


def test_padding_is_the_chips_unless_it_is_told_not_to():
    rig = Rig()
    rig.start()
    rig.send(frame(length=42))
    rig.send(frame(length=42), flags=b.T_DPD)
    assert rig.got == [frame(length=42) + bytes(18), frame(length=42)]


def test_a_frame_with_an_fcs_of_its_own():
    rig = Rig()
    rig.start()
    fcs = zlib.crc32(frame()).to_bytes(4, "little")
    rig.send(frame() + fcs, flags=b.T_AC)
    at = rig.send(frame() + bytes(4), flags=b.T_AC)              # a wrong one: nobody on the wire takes it
    short = frame(length=42)
    rig.send(short + zlib.crc32(short).to_bytes(4, "little"), flags=b.T_AC | b.T_DPD)
    rig.send(short, flags=b.T_AC)                                # padded: then the FCS is the chip's
    assert rig.got == [frame(), short, short + bytes(18)] and rig.status(at) == 0
    assert rig.tulip.transmitter.spoiled == 1


@pytest.mark.parametrize(("length", "flags"), [(13, b.T_DPD), (1515, 0), (1600, 0), (2047, 0)])
def test_what_no_network_takes_is_lost(length, flags):
    rig = Rig()
    rig.start()
    at = rig.send(bytes(range(13)) + bytes(length - 13), flags)
    assert rig.got == [] and rig.status(at) == 0 and rig.csr(5) & b.TU


def test_a_tagged_frame_is_four_bytes_longer():
    rig = Rig()
    rig.start()
    tagged = frame(length=1518, kind=0x8100)
    rig.send(tagged)
    assert rig.got == [tagged]


def test_nobody_takes_it():
    rig = Rig(takes=False)
    rig.start()
    at = rig.send(frame())
    assert rig.status(at) == 0 and rig.cable.ends[0].sent.lost == 1
    rig.cable.link(False)
    assert rig.status(rig.send(frame())) == 0 and rig.cable.ends[0].sent.lost == 2


def test_jabber_stops_the_process():
    rig = Rig()
    rig.start()
    for n in range(2):
        rig.descriptor(TX + 16 * n, b.OWN, (b.T_FS if n == 0 else 0) | 1500, TX_DATA)
    rig.csr(1, 0)
    assert rig.status(TX + 16) == b.T_ES | b.T_TO and rig.got == []
    assert rig.csr(5) & 0x7FFFFF == b.RX_WAITING << 17 | b.TJT | b.TPS | b.AIS      # transmit: stopped
    rig.tx = 2
    rig.send(frame())
    assert rig.got == []
    rig.csr(6, b.ST | b.SR)                              # goes on where it was
    assert rig.got == [frame()]


def test_memory_that_does_not_answer_stops_all_until_a_reset():
    rig = Rig()
    rig.start()
    rig.give()
    rig.descriptor(TX, b.OWN, b.T_FS | b.T_LS | 64, 0xFFF00000)
    rig.csr(1, 0)
    assert rig.csr(5) & 0x3FFFFFF == b.MASTER_ABORT << 23 | b.FBE | b.AIS and rig.line and rig.got == []
    rig.csr(6, b.ST | b.SR)
    rig.csr(4, TX + 16)
    rig.csr(1, 0)
    assert not rig.wire.send(frame(US)) and rig.csr(5) & 0x3F << 17 == 0
    rig.csr(0, 1)
    rig.descriptor(TX, 0, 0)
    rig.start()
    rig.tx = 0
    rig.send(frame())
    assert rig.got == [frame()]


def test_a_list_outside_memory():
    rig = Rig()
    rig.csr(4, 0xFFFFFFFC)
    rig.csr(6, b.ST)
    assert rig.csr(5) & b.FBE


class AlwaysOwned:
    """Memory in which every descriptor is always the chip's: no list ends."""

    def __init__(self):
        self.reads = 0

    def read(self, address, length):
        self.reads += 1
        return b"\0\0\0\x80" + bytes(12) if length == 16 else bytes(length)

    def write(self, address, data):
        pass


def test_a_list_without_an_end_does_not_hold_up_the_host():
    rig = Rig()
    rig.tulip.memory = memory = AlwaysOwned()
    rig.csr(6, b.ST)
    assert memory.reads == BURST and rig.csr(5) >> b.TX_STATE & 7 == 1
    rig.csr(1, 0)
    assert memory.reads == BURST                         # it is at work
    rig.later(10 * PAUSE_NS)
    assert memory.reads == 11 * BURST
    rig.csr(6, 0)
    rig.later(10 * PAUSE_NS)
    assert memory.reads == 11 * BURST and rig.csr(5) & 7 << b.TX_STATE == 0


def test_a_frame_without_an_end_is_cut_off():
    rig = Rig()

    class Full(AlwaysOwned):
        def read(self, address, length):
            self.reads += 1
            return b"\0\0\0\x80" + (2047).to_bytes(4, "little") + bytes(8) if length == 16 else bytes(length)
    rig.tulip.memory = memory = Full()
    rig.csr(6, b.ST)
    assert rig.csr(5) & b.TJT and memory.reads == 4


def test_each_frame_has_the_wire_for_its_time():
    rig = Rig(pace="wire")
    rig.start(b.PS)
    rig.send(frame(), demand=False)
    rig.send(frame(length=1514))
    assert rig.got == [] and rig.csr(5) >> b.TX_STATE & 7 == b.TX_SENDING
    rig.csr(1, 0)
    rig.later(7039)
    assert rig.got == []
    rig.later(1)                                         # (64 + 4 + 20) bytes at 100 Mb/s
    assert len(rig.got) == 1 and rig.csr(5) & (b.TI | b.TU) == b.TI and rig.status(TX) == 0 and rig.status(TX + 16) & b.OWN
    rig.later(123_040)
    assert len(rig.got) == 2 and rig.csr(5) & b.TU
    rig.csr(6, rig.csr(6) | b.TTM)
    rig.send(frame())
    rig.later(70_399)
    assert len(rig.got) == 2
    rig.later(1)
    assert len(rig.got) == 3


def test_a_stop_waits_for_the_frame_on_the_wire():
    rig = Rig(pace="wire")
    rig.start(b.PS)
    rig.send(frame(), demand=False)
    rig.send(frame())
    rig.csr(6, b.PS)
    assert rig.csr(5) >> b.TX_STATE & 7 == b.TX_SENDING
    rig.later(10_000)
    assert len(rig.got) == 1 and rig.csr(5) >> b.TX_STATE & 7 == b.TX_STOPPED and rig.status(TX + 16) & b.OWN
    rig.csr(6, b.PS | b.ST)
    rig.later(10_000)
    assert len(rig.got) == 2


def test_a_reset_takes_the_frame_off_the_wire():
    rig = Rig(pace="wire")
    rig.start(b.PS)
    rig.send(frame())
    rig.csr(0, 1)
    rig.later(10**9)
    assert rig.got == [] and rig.status(TX) & b.OWN


@pytest.mark.parametrize(("code", "ns"), [(1, 200_000), (2, 800_000), (3, 1_600_000), (4, 12_800), (5, 25_600), (6, 51_200), (7, 102_400)])
def test_automatic_polling(code, ns):
    rig = Rig()
    rig.csr(0, code << 17)
    rig.start()
    rig.send(frame(), demand=False)
    rig.later(ns - 1)
    assert rig.got == []
    rig.later(1)
    assert rig.got == [frame()]
    rig.csr(6, 0)
    rig.send(frame(), demand=False)
    rig.later(10 * ns)
    assert len(rig.got) == 1                             # stopped


def test_internal_loopback_reaches_the_receiver_alone():
    for code, told in ((1, 1), (2, 2), (3, 3)):
        rig = Rig()
        rig.start(code << 10 | b.PR)
        rig.give()
        rig.send(frame(PEER))
        assert rig.got == [] and rig.data(0, 64) == frame(PEER)
        assert rig.status(0x3000) >> 12 & 3 == told and rig.csr(5) & b.RI
        assert rig.wire.send(frame(US)) and rig.tulip.receiver.missed == 0      # the wire is not heard


def test_the_memory_is_whatever_its_function_says():
    rig = Rig()
    with pytest.raises(MemoryFault):
        type(rig.tulip)(rig.clock, US).memory.read(0, 1)
