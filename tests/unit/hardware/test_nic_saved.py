"""The 82576 as plain data and back: frames that are begun, queues that are dead, tables; what an honest driver of the model never leaves behind."""

from tests.checkpoint_rig import held
from tests.net_rig import PEER
from tests.nic_rig import COMMAND, TX, Card, frame

from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.machine.checkpoint import from_json, plain, to_json
from vmio.machine.net import checksums, headers

UDP = bytes.fromhex("450000304242000040110000" "0a0000020a000001" "1388001400140000") + b"twelve bytes" + bytes(8)


def begun():
    """A card with two contexts, a frame that is begun, a queue that memory has refused, and tables that say something."""
    rig = Card()
    us, them = rig.vfs
    us.context(lengths=14 << 9 | 20, command=d.C_IPV4)
    us.context(lengths=14 << 9 | 20 | 7 << 16, sizes=1 << 4)
    us.put((PEER + us.address + b"\x08\x00" + UDP)[:30], command=COMMAND & ~d.T_END & ~d.T_REPORT, status=d.T_CHECKSUM | d.T_IP_CHECKSUM)
    us.ring()
    them.memory.write(TX, d.TX_DATA.pack(address=1 << 40, command=COMMAND | 60))
    them.write(r.TX + r.TAIL, 1)
    rig.write(r.MTA + 8, 0x10)
    rig.write(r.VLVF, 7 | r.VLVF_VALID | 1 << r.VLVF_POOL_SHIFT)
    return rig


def again(rig):
    """The same in another card, which has not been as quiet."""
    other = Card()
    other.write(r.MTA, 0xFFFF)
    other.card.restore(from_json(to_json(plain(rig.card.save()))))
    for here, there in zip(rig.vfs, other.vfs):
        there.memory.write(0, here.memory.read(0, here.memory.size))
        there.sent, there.taken = here.sent, here.taken
    return other


def test_a_card_is_all_that_it_was():
    rig = begun()
    other = again(rig)
    assert held(rig.card) == held(other.card)
    assert other.card.functions[1].faults == 1 and other.card.functions[1].transmitters[0].dead


def test_a_frame_that_was_begun_ends_elsewhere_with_its_checksums():
    rig = begun()
    other = again(rig)
    for card in (rig, other):
        us = card.vfs[0]
        us.put((PEER + us.address + b"\x08\x00" + UDP)[30:])
        us.ring()
    whole, = rig.got
    assert other.got == [whole] and len(whole) == 14 + len(UDP)
    assert checksums.good(whole, headers.parse(whole)) == (True, True)


def test_a_queue_that_is_dead_stays_so_until_it_is_enabled_anew():
    other = again(begun())
    them = other.vfs[1]
    them.memory.write(TX + d.BYTES, d.TX_DATA.pack(address=0x10_000, command=COMMAND | 60))
    them.memory.write(0x10_000, frame(PEER, them.address, 60))
    them.write(r.TX + r.TAIL, 2)
    assert other.got == []
    them.start()
    them.send(frame(PEER, them.address, 60))
    assert other.got == [frame(PEER, them.address, 60)]


def test_frames_come_by_the_tables_that_were_restored():
    rig = begun()
    other = again(rig)
    tagged = headers.tag(frame(rig.vfs[0].address), 7, 0)
    for card in (rig, other):
        card.say(tagged)
    assert rig.vfs[0].heard() == other.vfs[0].heard() == [tagged]
