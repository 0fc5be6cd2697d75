"""The Tulip in the middle of anything that a guest may write goes on from a checkpoint; what it must never do is `tests/fuzz/fuzz_tulip.py`'s."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tulip_rig import PEER, RX, TX, US, Rig, frame

from vmio.machine.checkpoint import from_json, plain, to_json

NEAR = st.sampled_from([TX, TX + 16, RX, RX + 16, 0x10000, 0x40000, 0xFFFF0, 0xFFFFFFFC, 0])
word = st.one_of(st.integers(0, 0xFFFFFFFF), NEAR, st.sampled_from([1, 0x2002, 0x2042, 0x4000, 0x20002002, 0x1FFFF, 0x30005]))
control = st.builds(lambda flags, first, second: flags << 22 | second << 11 | first, st.integers(0, 1023),
                    st.sampled_from([0, 4, 64, 192, 1500, 2047]), st.sampled_from([0, 0, 60, 2047]))
write = st.tuples(st.just("write"), st.integers(0, 15), word)
read = st.tuples(st.just("read"), st.integers(0, 15), st.just(0))
descriptor = st.tuples(st.just("descriptor"), st.sampled_from([TX, TX + 16, TX + 32, RX, RX + 16, RX + 32]),
                       st.tuples(st.sampled_from([0, 1 << 31, 1 << 31]), control, NEAR, NEAR))
arrive = st.tuples(st.just("arrive"), st.integers(14, 1514), st.sampled_from([US, PEER, b"\xff" * 6]))
wait = st.tuples(st.just("wait"), st.integers(0, 3_000_000), st.just(0))
steps = st.lists(st.one_of(write, write, descriptor, descriptor, arrive, wait, read), max_size=40)
begin = [("write", 3, RX), ("write", 4, TX), ("write", 7, 0x1EBEF), ("write", 6, 0x02042042)]


def play(rig, program):
    """Do it; returns what was read and whether frames were taken."""
    seen = []
    for what, first, second in program:
        if what == "write":
            rig.csr(first, second)
        elif what == "read":
            seen.append(rig.csr(first))
        elif what == "descriptor":
            rig.memory.write(first, struct.pack("<4I", *second))
        elif what == "arrive":
            seen.append(rig.wire.send(frame(second, first)))
        else:
            rig.later(first)
    return seen


def outcome(rig):
    return [rig.csr(n) for n in range(16)], rig.line, rig.memory.read(0, 1 << 20), rig.tulip.save()


@settings(deadline=None)
@given(st.sampled_from(["21140A", "21143"]), st.sampled_from(["instant", "wire"]), st.booleans(), steps, steps)
def test_it_goes_on_from_a_checkpoint(chip, pace, begun, first, second):
    straight = Rig(chip, pace)
    play(straight, (begin if begun else []) + first)
    state, memory = from_json(to_json(plain(straight.tulip.save()))), straight.memory.read(0, 1 << 20)
    other = Rig(chip, pace)
    other.memory.write(0, memory)
    other.later(straight.clock.now)
    other.tulip.restore(state)
    assert other.line == straight.line and plain(other.tulip.save()) == plain(straight.tulip.save())
    straight.got.clear()
    assert play(straight, second) == play(other, second)
    assert plain(outcome(straight)) == plain(outcome(other)) and straight.got == other.got
