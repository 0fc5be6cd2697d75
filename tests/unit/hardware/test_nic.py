"""The 82576: descriptors, the switch between its functions, mailboxes, interrupts; what no honest driver does."""

import pytest
from tests.nic_rig import COMMAND, ENTRIES, RX, RX_DATA, TX, TX_DATA, Card, frame
from tests.net_rig import BROADCAST, GROUP, PEER

from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.pci import PhysicalFunction
from vmio.machine.net import checksums, headers
from vmio.machine.net.headers import IPV4, IS_TCP, IS_UDP, TCP, UDP

US, THEM = bytes([2, 0, 0, 0, 0, 0]), bytes([2, 0, 0, 0, 0, 1])


def ip(to, source, protocol, length):
    """A frame with an IPv4 and a TCP or UDP header, no checksum right, and so many bytes behind them."""
    inner = (TCP.pack(source=80, destination=81, flags=5 << 12) if protocol == IS_TCP else UDP.pack(source=80, destination=81, length=8 + length))
    inner += bytes(n & 0xFF for n in range(length))
    return to + source + b"\x08\0" + IPV4.pack(length=20 + len(inner), protocol=protocol, source=b"\x0a\0\0\1", destination=b"\x0a\0\0\2") + inner


def test_frames_go_out_and_come_in():
    rig = Card()
    vf = rig.vfs[0]
    vf.send(frame(PEER, US, 60))
    assert rig.got == [frame(PEER, US, 60)] and rig.vfs[1].heard() == []
    assert vf.memory.read(TX + d.STATUS_AT, 4) == b"\1\0\0\0" and vf.read(r.TX + r.HEAD) == 1
    assert vf.messages == [0]
    assert rig.say(frame(US)) and vf.heard() == [frame(US)] and vf.messages == [0, 1]
    assert (vf.read(r.TX_FRAMES), vf.read(r.TX_BYTES), vf.read(r.RX_FRAMES), vf.read(r.RX_BYTES)) == (1, 64, 1, 104)
    assert [rig.vfs[1].read(at) for at in (r.TX_FRAMES, r.RX_FRAMES)] == [0, 0]


def test_a_frame_of_several_descriptors_and_one_in_several_buffers():
    rig = Card(count=1)
    vf, whole = rig.vfs[0], frame(PEER, US, 1514)
    for part, last in ((whole[:100], False), (whole[100:101], False), (whole[101:], True)):
        vf.put(part, command=COMMAND if last else COMMAND & ~(d.T_END | d.T_REPORT))
    vf.ring()
    assert rig.got == [whole] and vf.messages == [0]
    vf.start(srrctl=0x0200_0001)                 # 1 KiB buffers
    assert rig.say(frame(US, length=1514))
    first, second = vf.written(0), vf.written(1)
    assert (first.length, first.status & 3, second.length, second.status & 3) == (1024, d.DONE, 490, d.DONE | d.END)
    assert b"".join(vf.heard()) == frame(US, length=1514)
    vf.write(r.RX + r.TAIL, 3)                   # one buffer is too few for two
    assert not rig.say(frame(US, length=1514)) and rig.say(frame(US, length=1000))


def test_the_ring_goes_round_and_stops_when_it_is_full():
    rig = Card(count=1)
    vf = rig.vfs[0]
    taken = [rig.say(frame(US, seed=n)) for n in range(40)]
    assert taken == [True] * (ENTRIES - 1) + [False] * 9 and vf.nic.receivers[0].missed == 9
    assert vf.heard() == [frame(US, seed=n) for n in range(31)]
    for n in range(50):
        vf.send(frame(PEER, US, seed=n))
        assert rig.say(frame(US, seed=n)) and vf.heard() == [frame(US, seed=n)]
    assert rig.got == [frame(PEER, US, seed=n) for n in range(50)]


@pytest.mark.parametrize("protocol", [IS_TCP, IS_UDP])
def test_checksums_are_filled_in_and_looked_at(protocol):
    rig = Card()
    vf, raw = rig.vfs[0], ip(THEM, US, protocol, 40)
    vf.context(14 << 9 | 20, d.C_IPV4 | (d.C_TCP if protocol == IS_TCP else 0))
    vf.send(raw, status=d.T_IP_CHECKSUM | d.T_CHECKSUM)
    came = rig.vfs[1].written(0)
    got, = rig.vfs[1].heard()
    assert checksums.good(got, headers.parse(got)) == (True, True)
    kind = (d.IS_TCP, d.TCP_CHECKED) if protocol == IS_TCP else (d.IS_UDP, d.UDP_CHECKED)
    assert came.info == d.IS_IPV4 | kind[0] and came.status == d.DONE | d.END | d.LOOPED | d.IP_CHECKED | kind[1]
    vf.send(got[:-1] + bytes([got[-1] ^ 1]))
    assert rig.vfs[1].written(1).status & (d.BAD_TRANSPORT | d.BAD_IP) == d.BAD_TRANSPORT


def test_a_large_segment_is_cut():
    rig = Card(count=1)
    vf, raw = rig.vfs[0], ip(PEER, US, IS_TCP, 4000)
    vf.context(14 << 9 | 20, d.C_IPV4 | d.C_TCP, 1000 << 16 | 20 << 8)
    for at in range(0, len(raw), 2000):
        last = at + 2000 >= len(raw)
        vf.put(raw[at:at + 2000], command=(COMMAND if last else COMMAND & ~(d.T_END | d.T_REPORT)) | d.T_SEGMENT)
    vf.ring()
    assert [len(each) for each in rig.got] == [1054] * 4
    assert b"".join(each[54:] for each in rig.got) == raw[54:]
    assert all(checksums.good(each, headers.parse(each)) == (True, True) for each in rig.got)


def test_a_tag_is_put_on_and_taken_off():
    rig = Card()
    for register, value in ((r.VLVF, r.VLVF_VALID | 2 << r.VLVF_POOL_SHIFT | 7), (r.VMOLR + 4, r.UNTAGGED | r.STRIP)):
        rig.write(register, value)
    vf = rig.vfs[0]
    vf.context(7 << 16 | 14 << 9)
    vf.send(frame(PEER, US), command=COMMAND | d.T_VLAN)
    assert rig.got == [headers.tag(frame(PEER, US), 7)]
    assert rig.say(headers.tag(frame(THEM), 7)) and rig.say(headers.tag(frame(THEM), 8))
    came = rig.vfs[1].written(0)
    assert came.vlan == 7 and came.status & d.TAGGED and rig.vfs[1].heard() == [frame(THEM)]


def test_who_gets_what():
    """Neighbours by address, all by broadcast, groups by their hash; what is nobody's goes to the wire, or to the host."""
    rig = Card(count=3)
    a, b, c = rig.vfs
    a.send(frame(b.address, US))
    assert (b.heard(), rig.got, c.heard()) == ([frame(b.address, US)], [], [])
    assert a.read(r.LOOP_TX_FRAMES) == b.read(r.LOOP_RX_FRAMES) == 1
    a.send(frame(BROADCAST, US))
    assert b.heard() == c.heard() == rig.got == [frame(BROADCAST, US)] and a.heard() == []
    a.send(frame(PEER, US))
    assert rig.got[1:] == [frame(PEER, US)] and b.heard() == []
    b_rules = rig.read(r.VMOLR + 4)
    rig.write(r.VMOLR + 4, b_rules | r.GROUPS_BY_HASH)
    assert rig.say(frame(GROUP)) and b.heard() == []
    rig.write(r.MTA, 1 << 0x10)                          # 01:00:5e:00:00:01
    rig.say(frame(GROUP))
    assert (b.heard(), c.heard()) == ([frame(GROUP)], [])
    rig.write(r.DTXSWC, 0)                               # no switch: all goes to the wire
    a.send(frame(b.address, US))
    assert rig.got[2:] == [frame(b.address, US)] and b.heard() == []


def test_frames_of_nobody_are_the_hosts():
    rig = Card(count=1)
    heard = []
    rig.write(r.VMOLR + 4 * 7, r.UNTAGGED | r.BROADCASTS)

    class Root:
        def receive(self, data):
            heard.append(data)
            return True
    rig.card.host = Root()
    rig.say(frame(PEER, US))
    rig.vfs[0].send(frame(BROADCAST, US))
    assert heard == [frame(PEER, US), frame(BROADCAST, US)]
    rig.card.send_for_host(frame(US))
    assert rig.vfs[0].heard() == [frame(US)] and rig.vfs[0].read(r.LOOP_RX_FRAMES) == 1


def test_spoofed_frames_go_nowhere():
    rig = Card(count=2, guard=True)
    a, b = rig.vfs
    a.send(frame(PEER, b.address))
    a.send(frame(b.address, PEER))
    a.send(headers.tag(frame(PEER, US), 9))
    assert rig.got == [] and b.heard() == [] and rig.card.dropped["spoofed"] == 3
    assert rig.read(r.WVBR) == 1 and rig.read(r.WVBR) == 0
    a.send(frame(PEER, US))
    assert rig.got == [frame(PEER, US)]


def test_who_may_not_send_or_receive():
    rig = Card(count=2)
    a, b = rig.vfs
    b.write(r.CTRL, r.RESET)
    assert rig.read(r.VFTE) == rig.read(r.VFRE) == 0xFD and rig.read(r.VFLRE) == 2
    b.start()
    b.send(frame(PEER, THEM))
    assert rig.got == [] and rig.say(frame(THEM)) and b.heard() == []
    rig.write(r.VFTE, 0xFF)                              # what waited goes
    assert rig.got == [frame(PEER, THEM)]
    a.send(frame(PEER, US))
    assert len(rig.got) == 2                             # the neighbour never noticed


def test_the_mailbox_changes_hands():
    rig = Card(count=2)
    vf = rig.vfs[0]
    assert vf.read(r.V2P) == r.RESET_DONE and vf.read(r.V2P) == 0
    vf.write(r.V2P, r.VF_USES)
    rig.write(r.P2V, r.PF_USES)
    assert vf.read(r.V2P) == rig.read(r.P2V) == r.VF_USES          # who comes first has it
    vf.write(r.MAIL + 4, 0x1234)
    vf.write(r.V2P, r.REQUEST)
    assert rig.read(r.MBVFICR) == 1 and rig.read(r.ICR) & r.MAILBOX and rig.read(r.ICR) == 0
    assert rig.read(r.MAIL + 4) == 0x1234 and rig.read(r.MAIL + 0x44) == 0       # the other one's is another
    rig.write(r.P2V, r.PF_USES | r.ACK)
    vf.write(r.V2P, r.VF_USES)
    assert vf.read(r.V2P) == r.PF_ACK | r.PF_USES and vf.read(r.V2P) == r.PF_USES
    rig.write(r.P2V, r.STATUS_READY)
    assert vf.read(r.V2P) == r.PF_STATUS and vf.messages == [2]
    vf.write(r.V2P, r.ACK)
    rig.write(r.MBVFICR, 1)
    assert rig.read(r.MBVFICR) == 1 << 16
    vf.write(r.V2P, r.VF_USES)
    rig.write(r.P2V, r.TAKE_AWAY | r.PF_USES)
    assert rig.read(r.P2V) == r.PF_USES


def test_interrupts_mask_themselves_and_come_no_oftener_than_told():
    rig = Card(count=1)
    vf = rig.vfs[0]
    vf.write(r.EIAC, 7)
    vf.write(r.EIAM, 7)
    vf.write(r.EITR + 4, 100 << 2)                       # 100 us
    rig.say(frame(US))
    rig.say(frame(US))
    assert vf.messages == [1] and vf.read(r.EIMS) == 5
    vf.write(r.EIMS, 2)
    assert vf.messages == [1]                            # too early
    rig.later(99_999)
    assert vf.messages == [1]
    rig.later(2)
    assert vf.messages == [1, 1] and vf.read(r.EICR) == 0
    vf.write(r.EIMC, 7)
    rig.say(frame(US))
    assert vf.nic.read(r.EICR, 2) == 2 and vf.read(r.EICR) == 2 and vf.read(r.EICR) == 0        # half a register has no effect


def test_memory_that_refuses_stops_that_queue_alone():
    rig = Card(count=2)
    a, b = rig.vfs
    a.put(frame(PEER, US))
    a.memory.write(TX, d.TX_DATA.pack(address=1 << 40, command=COMMAND | 60))
    a.ring()
    assert a.nic.faults == 1 and rig.got == [] and a.nic.transmitters[0].dead
    a.send(frame(PEER, US))
    assert rig.got == []
    a.memory.write(RX, d.RX_READ.pack(packet=1 << 40))
    assert not rig.say(frame(US)) and a.nic.faults == 2
    b.send(frame(PEER, THEM))
    assert rig.say(frame(THEM)) and b.heard() == [frame(THEM)] and rig.got == [frame(PEER, THEM)]
    a.start()
    a.send(frame(PEER, US))
    assert rig.got[1:] == [frame(PEER, US)]


@pytest.mark.parametrize(("register", "value"), [(r.LENGTH, 0), (r.LENGTH, 0x80), (r.TAIL, 0xFFFF), (r.HEAD, 0x4000), (r.HIGH, 0xFFFF_FFFF)])
def test_rings_that_are_none(register, value):
    rig = Card(count=1)
    vf = rig.vfs[0]
    for ring in (r.TX, r.RX):
        vf.write(ring + register, value)
    vf.put(frame(PEER, US))
    vf.write(r.TX + r.TAIL, 1 if register != r.TAIL else value)
    rig.say(frame(US))
    rig.later(1_000_000)
    assert rig.got in ([], [frame(PEER, US)])
    vf.start()
    vf.send(frame(PEER, US))
    rig.got.clear()
    vf.send(frame(PEER, US))
    assert rig.got == [frame(PEER, US)] and rig.say(frame(US)) and vf.heard() == [frame(US)]


def test_frames_that_are_none_are_passed_over():
    rig = Card(count=1)
    vf, good = rig.vfs[0], frame(PEER, US)
    for bad in (b"x" * 13, frame(PEER, US, 1515), frame(PEER, US, 2000)):
        vf.put(bad)
    vf.put(good, command=COMMAND & ~d.T_ADVANCED)        # a legacy one
    vf.put(good, command=COMMAND | d.T_SEGMENT)          # to be cut, nobody said how
    vf.put(good)
    vf.ring()
    assert rig.got in ([good], [good, good]) and vf.read(r.TX + r.HEAD) == 6
    assert vf.memory.read(TX + 3 * 16 + d.STATUS_AT, 4) == b"\1\0\0\0"


def test_a_frame_without_an_end_takes_no_memory():
    rig = Card(count=1)
    vf = rig.vfs[0]
    for _ in range(20):
        vf.put(bytes(2048), length=0xF000, command=COMMAND & ~d.T_END)
        vf.ring()
    assert len(vf.nic.transmitters[0]._frame) <= (1 << 16) + 256 and rig.got == []
    vf.send(frame(PEER, US))
    vf.send(frame(PEER, US))
    assert rig.got == [frame(PEER, US)]


def test_a_long_ring_is_worked_on_in_bursts():
    rig = Card(count=1)
    vf, one = rig.vfs[0], frame(PEER, US, 60)
    vf.memory.write(TX_DATA, one)
    vf.write(r.TX + r.LENGTH, 512 * 16)
    vf.write(r.TX + r.LOW, RX_DATA + 0x2_0000)
    vf.memory.write(RX_DATA + 0x2_0000, d.TX_DATA.pack(address=TX_DATA, command=COMMAND | 60) * 512)
    vf.write(r.TX + r.TAIL, 511)
    assert len(rig.got) == 128
    vf.write(r.TX + r.TAIL, 511)
    assert len(rig.got) == 128                           # ringing again brings nothing forward
    rig.later(1_000_000)
    assert rig.got == [one] * 511


def test_a_reset_leaves_nothing_of_the_guest_before():
    rig = Card(count=1)
    vf = rig.vfs[0]
    fresh = Card(count=1)
    vf.write(r.MAIL, 0x5EC0_DE)
    vf.send(frame(PEER, US))
    rig.say(frame(US))
    vf.nic.reset()
    fresh.vfs[0].nic.reset()
    vf.nic.interrupts.msix.reset()
    assert vf.nic.save() == fresh.vfs[0].nic.save()


def test_the_functions_in_configuration_space():
    rig = Card(count=0)
    pci = PhysicalFunction(rig.card)
    assert pci.read(0, 4) == 0x10C9_8086 and pci.read(0x100, 2) == 0x10
    assert [pci.read(at, 2) for at in (0x10E, 0x114, 0x116, 0x11A)] == [8, 0x80, 2, 0x10CA]
    assert rig.read(r.STATUS) == 0x8008_0483
    pci.write(0x110, 2, 2)
    pci.write(0x108, 2, 9)
    assert rig.read(r.STATUS) == 0x800C_8483 and len(rig.card.functions) == 2        # as QEMU's reads with two
    vf, = pci.sriov.functions[:1]
    assert vf.read(0, 4) == 0x10CA_8086 and vf.bars[0].size == vf.bars[3].size == 0x4000 and vf.vectors == 3
    assert rig.card.read(r.MAIL + 0x80, 4) == 0          # no such function
    pci.write(0x108, 2, 0)
    assert rig.card.functions == [] and rig.read(r.STATUS) == 0x8008_0483
    rig.cable.link(False)
    assert not rig.read(r.STATUS) & r.LINK_UP and rig.read(r.ICR) & r.LINK_CHANGED
