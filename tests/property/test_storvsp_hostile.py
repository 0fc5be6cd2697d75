"""StorVSP against a guest that writes whatever it likes: a status or a closed channel, never a byte elsewhere."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage_rig import Rig, srb
from vmio.experiments.disk import pattern
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.vmbus.bus.ring import DATA, WRITE, RingFull
from vmio.vmbus.storage import vstor as v

EXAMPLES = 100

pages = st.one_of(st.integers(0, 40), st.integers(250, 260), st.integers(0, (1 << 64) - 1))
ranges = st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 0xFFF), st.lists(pages, min_size=7, max_size=7)), max_size=2)
opcodes = st.sampled_from(bytes.fromhex("0003121a1b255a9ea03591422f8f080a282aa8aa888aff"))
cdbs = st.one_of(st.binary(max_size=16), st.builds(
    lambda opcode, lba, sectors: bytes((opcode, 0)) + lba.to_bytes(4, "big") + b"\0" + sectors.to_bytes(2, "big") + b"\0",
    opcodes, st.integers(0, 2100), st.integers(0, 40)))
srbs = st.fixed_dictionaries({
    "cdb": cdbs, "cdb_length": st.integers(0, 18), "direction": st.integers(0, 3),
    "transfer_length": st.one_of(st.integers(0, 20_480), st.sampled_from((0x40000, 0x40001, 0xFFFFFFFF))),
    "lun": st.sampled_from((0, 0, 0, 1, 255)), "target": st.sampled_from((0, 0, 0, 1)), "length": st.integers(0, 0xFFFF),
    "sense_length": st.integers(0, 255), "flags": st.integers(0, 2)})


def make(hold=False, ready=True):
    rig = Rig(Overlay(pattern(1)), pages=4, hold=hold, batch=3, queue_depth=8, ram_mib=1)
    if ready:
        rig.ready()
    rig.neighbour.memory.write(0, b"n" * rig.neighbour.ram)
    return rig


def granted(given_ranges):
    """Guest page -> bytes of it that the guest has lent."""
    lent = {}
    for count, offset, numbers in given_ranges:
        for n, number in enumerate(numbers):
            first = offset if n == 0 else 0
            last = min(PAGE, offset + count - n * PAGE)
            if last > first:
                lent.setdefault(number, []).append((first, last))
    return lent


def check_untouched(rig, before, lent):
    """All RAM outside the lent ranges is as it was, the neighbour's as well."""
    now = bytearray(rig.guest.memory.read(0, rig.guest.ram))
    was = bytearray(before)
    for number, parts in lent.items():
        if number < rig.guest.ram // PAGE:
            for first, last in parts:
                at = number * PAGE
                now[at + first:at + last] = was[at + first:at + last] = bytes(last - first)
    assert now == was
    assert rig.neighbour.memory.read(0, rig.neighbour.ram) == b"n" * rig.neighbour.ram


@settings(max_examples=EXAMPLES, deadline=None)
@given(requests=st.lists(st.tuples(srbs, ranges), min_size=1, max_size=6), hold=st.booleans())
def test_almost_right_requests(requests, hold):
    rig = make(hold)
    before, lent, sent = rig.guest.memory.read(0, rig.guest.ram), {}, []
    for number, (fields, lend) in enumerate(requests, 1):
        payload, _ = srb(**fields)
        for page, parts in granted(lend).items():
            lent.setdefault(page, []).extend(parts)
        lend = [(count, offset, numbers[:offset + count + 0xFFF >> 12]) for count, offset, numbers in lend]
        try:
            rig.end.send(payload, number, want_completion=True, ranges=lend)
            sent.append(number)
        except RingFull:
            pass
    answers = rig.run()
    while rig.backend.held:
        rig.backend.release(len(rig.backend.held) // 2)
        answers += rig.run()
    assert rig.errors == []
    assert sorted(packet.transaction_id for packet in answers) == sent
    for packet in answers:
        answer = v.SRB.parse(packet.payload)
        assert answer.operation == v.COMPLETE_IO and (answer.status == 0) == (answer.srb_status == v.SRB_SUCCESS)
        assert (answer.srb_status & v.SENSE_VALID != 0) == any(answer.cdb)
    assert rig.vsp.in_flight == 0 and rig.vsp.worker.in_flight == 0
    check_untouched(rig, before, lent)
    assert rig.srb("12 00 00 00 24 00", 36).srb_status == v.SRB_SUCCESS


@settings(max_examples=EXAMPLES, deadline=None)
@given(payload=st.binary(max_size=200), operation=st.one_of(st.none(), st.integers(0, 16)), number=st.integers(0, (1 << 64) - 1),
       wanted=st.booleans(), lend=ranges, ready=st.booleans())
def test_any_payload(payload, operation, number, wanted, lend, ready):
    rig = make(ready=ready)
    before = rig.guest.memory.read(0, rig.guest.ram)
    if operation is not None:
        payload = operation.to_bytes(4, "little") + payload
    lend = [(count, offset, numbers[:offset + count + 0xFFF >> 12]) for count, offset, numbers in lend]
    rig.end.send(payload, number, want_completion=wanted, ranges=lend)
    answers = rig.run()
    if rig.errors:
        assert answers == [] and len(rig.errors) == 1
    else:
        answer, = answers
        assert answer.transaction_id == number and 48 <= len(answer.payload) <= 64
    check_untouched(rig, before, granted(lend))


@settings(max_examples=EXAMPLES, deadline=None)
@given(garbage=st.binary(min_size=8, max_size=2048), at=st.integers(0, 1500), write=st.one_of(
    st.integers(0, 3 * PAGE // 8).map(lambda n: 8 * n), st.integers(0, (1 << 32) - 1)), corrupt_back=st.booleans())
def test_garbage_in_the_ring(garbage, at, write, corrupt_back):
    rig = make()
    before = rig.guest.memory.read(0, rig.guest.ram)
    rig.out.write(DATA + at * 8, garbage[:3 * PAGE - at * 8])
    rig.out.store32(WRITE, write)
    if corrupt_back:
        rig.back.write(0, garbage[:16])
    rig.vsp.signalled()
    rig.host.env.run()
    rig.vsp.signalled()
    rig.host.env.run()
    assert len(rig.errors) <= 1
    assert rig.neighbour.memory.read(0, rig.neighbour.ram) == b"n" * rig.neighbour.ram
    if not rig.backend.log and not rig.errors:
        assert rig.guest.memory.read(0, rig.guest.ram) == before
    rig.vsp.closed()
    rig.open()
    assert rig.ready().srb("12 00 00 00 24 00", 36).srb_status == v.SRB_SUCCESS
