"""The matrix engine's function by its registers: what it computes, how long it takes, and what it refuses."""

import numpy as np
import pytest

from tests.accelerator_rig import DATA, ENTRIES, RING, Unit, load
from vmio.drivers.accelerator import Halted
from vmio.hardware.accelerator import job as work
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.registers import BIAS, DESCRIPTOR, INTERRUPT, RELU, REQUANTISE, Error, Op

FULL = 1 << 16


def test_it_says_who_it_is():
    unit = Unit()
    assert (unit.read(r.ID), unit.read(r.FEATURES)) == (0x4D415458, 256 | 64 << 16)


def product(left, right, bias=None, flags=0, factor=0, shift=0):
    """The same by plain loops, in whole numbers."""
    rows = []
    for row in left.tolist():
        sums = [sum(a * b for a, b in zip(row, col)) + (bias[n] if bias is not None else 0) for n, col in enumerate(right.T.tolist())]
        if flags & RELU:
            sums = [max(each, 0) for each in sums]
        if flags & REQUANTISE:
            sums = [min(127, max(-128, each * factor + (1 << shift >> 1) >> shift)) for each in sums]
        rows.append(sums)
    return np.array(rows)


@pytest.mark.parametrize("flags", [0, BIAS, BIAS | RELU, REQUANTISE, BIAS | REQUANTISE, BIAS | RELU | REQUANTISE])
@pytest.mark.parametrize("rows, depth, cols", [(1, 1, 1), (3, 5, 2), (7, 64, 32)])
def test_a_product_is_exact(flags, rows, depth, cols):
    rng = np.random.default_rng(rows * cols + flags)
    left, right = rng.integers(-128, 128, (rows, depth), np.int8), rng.integers(-128, 128, (depth, cols), np.int8)
    bias = rng.integers(-5000, 5000, cols).astype("<i4")
    unit = Unit()
    unit.run()
    load(unit, left.tobytes() + right.tobytes() + bytes(-(left.size + right.size) % 4) + bias.tobytes(), 0)
    at = left.size + right.size
    at += -at % 4
    unit.add(Op.MATMUL, flags=flags, rows=rows, cols=cols, depth=depth, input=0, weights=left.size, bias=at, output=0x4000, factor=77_777, shift=24)
    whole = rows * cols * (1 if flags & REQUANTISE else 4)
    unit.add(Op.STORE, flags=INTERRUPT, rows=1, cols=whole, address=DATA, input=0x4000)
    unit.ring()
    got = np.frombuffer(unit.memory.read(DATA, whole), np.int8 if flags & REQUANTISE else "<i4").reshape(rows, cols)
    assert np.array_equal(got, product(left, right, bias.tolist() if flags & BIAS else None, flags, 77_777, 24))
    assert unit.messages == [0] and unit.written() == (3, 0)


def test_sums_wrap_at_32_bits():
    unit = Unit()
    unit.function.sram[0:2], unit.function.sram[4:8] = b"\x7f\x7f", (0x7FFF_FFFF).to_bytes(4, "little")
    unit.start(Op.MATMUL, flags=BIAS, rows=1, cols=1, depth=1, input=0, weights=1, bias=4, output=8)
    assert int.from_bytes(unit.function.sram[8:12], "little", signed=True) == (0x7FFF_FFFF + 127 * 127) - (1 << 32)


def test_without_a_ring_the_processor_carries_everything():
    unit = Unit()
    unit.write(r.SRAM, 0x0102)
    unit.write(r.SRAM + 4, 0x0304)
    unit.start(Op.MATMUL, flags=INTERRUPT, rows=1, cols=1, depth=2, input=0, weights=4, output=8)
    assert unit.read(r.SRAM + 8) == 2 * 4 + 1 * 3
    assert unit.messages == [0] and unit.error == 0


def test_time_is_bytes_over_the_link_and_products_over_the_lanes():
    unit = Unit()
    spans = []
    unit.engine.served = lambda user, span: spans.append(span[1] - span[0])
    unit.run()
    load(unit, bytes(3938), 0)
    unit.add(Op.MATMUL, rows=16, cols=16, depth=100, input=0, weights=0, output=0x8000)
    unit.add(Op.NOP)
    unit.ring()
    assert spans == [500 + 1000, 500 + 100, 500]
    assert unit.engine.busy_ns == sum(spans)
    unit.begin()
    unit.start(Op.MATMUL, rows=16, cols=16, depth=100, output=0x8000)
    assert spans[-1] == 101            # nothing was fetched


def test_one_interrupt_for_many_and_the_ring_wraps():
    unit = Unit()
    unit.run()
    for turn in range(5):
        for n in range(7):
            unit.add(Op.NOP, flags=INTERRUPT if n == 6 else 0)
        unit.ring()
        assert len(unit.messages) == turn + 1
        assert unit.read(r.HEAD) == unit.put % ENTRIES == unit.written().head
    assert unit.function.done == 35


# What it refuses.

@pytest.mark.parametrize("error, fields", [
    (Error.OPERATION, {"op": 5}), (Error.OPERATION, {"op": 255}), (Error.OPERATION, {"op": Op.LOAD, "flags": BIAS}),
    (Error.OPERATION, {"op": Op.MATMUL, "flags": 16}), (Error.OPERATION, {"op": Op.MATMUL, "shift": 32}),
    (Error.BOUNDS, {"op": Op.LOAD, "rows": 1, "cols": 2, "output": 0xFFFF}), (Error.BOUNDS, {"op": Op.STORE, "rows": 0xFFFF, "cols": 0xFFFF}),
    (Error.BOUNDS, {"op": Op.LOAD, "rows": 257, "cols": 256}),
    (Error.BOUNDS, {"op": Op.MATMUL, "rows": 2, "cols": 1, "depth": 0x8001}),
    (Error.BOUNDS, {"op": Op.MATMUL, "rows": 1, "cols": 2, "depth": 0x8000, "weights": 1}),
    (Error.BOUNDS, {"op": Op.MATMUL, "rows": 1, "cols": 2, "depth": 1, "flags": BIAS, "bias": 0xFFFC}),
    (Error.BOUNDS, {"op": Op.MATMUL, "rows": 1, "cols": 1, "depth": 1, "output": 0xFFFD}),
    (Error.DMA, {"op": Op.LOAD, "rows": 1, "cols": 1, "address": 0x20000}), (Error.DMA, {"op": Op.STORE, "rows": 1, "cols": 2, "address": 0x1FFFF}),
    (Error.DMA, {"op": Op.LOAD, "rows": 1, "cols": 1, "address": (1 << 64) - 1}),
    (Error.RING, {"op": Op.JUMP, "rows": ENTRIES})])
def test_what_it_cannot_do_halts_it_and_moves_nothing(error, fields):
    unit = Unit()
    unit.run()
    before = bytes(unit.memory.read(DATA, 0x1000)), bytes(unit.function.sram)
    unit.add(**fields)
    unit.add(Op.NOP)
    unit.ring()
    assert unit.error == error and unit.function.halts[error] == 1
    assert unit.messages == [0] and unit.written() == (0, r.HALTED | error << 8)
    told = str(Halted(r.HALTED | error << 8))
    assert f"halted, {error.name}: " in told and (error != Error.BOUNDS or "whose last byte is at 0xffff" in told)
    assert (unit.memory.read(DATA, 0x1000), bytes(unit.function.sram)) == before
    unit.ring()
    assert unit.function.done == 0 and unit.messages == [0]         # until it is reset
    unit.write(r.CONTROL, r.RESET)
    unit.begin()
    unit.run()
    unit.add(Op.NOP, flags=INTERRUPT)
    unit.ring()
    assert unit.error == 0 and unit.function.done == 1


@pytest.mark.parametrize("op, fields, length", [
    (Op.LOAD, {"rows": 256, "cols": 256}, FULL), (Op.STORE, {"rows": 1, "cols": 1, "input": 0xFFFF}, 1),
    (Op.MATMUL, {"rows": 1, "cols": 1, "depth": 1, "output": 0xFFFC}, 4), (Op.LOAD, {}, 0), (Op.MATMUL, {"rows": 3, "depth": 0, "cols": 2}, 24)])
def test_up_to_the_last_byte_it_is_allowed(op, fields, length):
    unit = Unit()
    unit.start(op, **{"address": 0, **fields})
    assert unit.error == 0 and unit.function.done == 1


@pytest.mark.parametrize("size, base", [(0, RING), (1, RING), (4097, RING), (0xFFFF_FFFF, RING), (ENTRIES, RING + 8)])
def test_a_ring_that_cannot_be(size, base):
    unit = Unit()
    unit.run(size, base)
    assert unit.error == Error.RING and not unit.read(r.CONTROL) & r.RUN


@pytest.mark.parametrize("tail", [ENTRIES, ENTRIES + 1, 0x8000_0000, 0xFFFF_FFFF])
def test_a_tail_beyond_the_ring(tail):
    unit = Unit()
    unit.run()
    unit.write(r.TAIL, tail)
    unit.clock.advance_to(1_000_000)
    assert unit.error == Error.RING and unit.read(r.TAIL) == 0 and unit.function.done == 0


def test_a_ring_out_of_reach():
    unit = Unit()
    unit.run(base=0x40000)
    unit.write(r.TAIL, 1)
    unit.clock.advance_to(1_000_000)
    assert unit.error == Error.DMA and unit.messages == [0]


def test_a_descriptor_is_fetched_once_and_what_is_changed_then_changes_nothing():
    unit = Unit()
    unit.run()
    unit.memory.write(DATA, b"A" * 16)
    unit.add(Op.LOAD, rows=1, cols=16, address=DATA, output=0)
    unit.ring(ns=100)                                      # fetched at the doorbell, done after 500 ns and more
    unit.memory.write(RING, DESCRIPTOR.pack(op=Op.LOAD, rows=0xFFFF, cols=0xFFFF, address=0))
    unit.clock.advance_to(10_000)
    assert unit.error == 0 and unit.function.sram[:16] == b"A" * 16


def test_a_job_without_an_end_is_ended():
    unit = Unit(limit_ns=100_000)
    unit.run()
    unit.add(Op.NOP)
    unit.add(Op.JUMP, rows=0)
    unit.ring()
    assert unit.error == Error.LIMIT and unit.engine.busy_ns == 100_500
    assert unit.engine.current is None and unit.engine.clock.deadline() > 1 << 60        # nothing is to come


def test_two_functions_share_by_slices_and_an_endless_one_takes_no_more_than_its_own():
    hostile = Unit(slice_ns=10_000, limit_ns=200_000)
    honest = Unit(hostile.engine)
    for unit in (hostile, honest):
        unit.run()
    hostile.add(Op.JUMP, rows=0)
    for _ in range(8):
        honest.add(Op.MATMUL, rows=100, cols=100, depth=256)              # 10,500 ns each
    honest.add(Op.NOP, flags=INTERRUPT)
    hostile.ring(ns=1)
    honest.ring(ns=180_000)
    assert honest.error == 0 and honest.messages == [0] and honest.function.done == 9
    assert hostile.error == 0
    hostile.clock.advance_to(1_000_000)
    assert hostile.error == Error.LIMIT


def test_slices_are_fair():
    units = [Unit(slice_ns=10_000)]
    units += [Unit(units[0].engine), Unit(units[0].engine)]
    used = dict.fromkeys(range(3), 0)
    units[0].engine.served = lambda user, span: used.__setitem__(which[id(user)], used[which[id(user)]] + span[1] - span[0])
    which = {id(unit.function): n for n, unit in enumerate(units)}
    for unit in units:
        unit.run()
        unit.add(Op.JUMP, rows=0)
        unit.write(r.TAIL, 1)
    units[0].clock.advance_to(3_000_000)
    assert max(used.values()) - min(used.values()) <= 10_000


# Reset.

@pytest.mark.parametrize("how", ["function", "register"])
def test_a_reset_leaves_nothing_on_the_chip(how):
    unit = Unit()
    unit.run()
    load(unit, b"secret" * 100, 0x100, flags=INTERRUPT)
    unit.ring()
    unit.function.direct[:] = b"secret??" * 4
    assert b"secret" in unit.function.sram
    unit.function.reset() if how == "function" else unit.write(r.CONTROL, r.RESET)
    assert not any(unit.function.sram) and not any(unit.read(r.DIRECT + at) for at in range(0, 32, 4))
    assert not any(unit.read(at) for at in (r.CONTROL, r.STATUS, r.RING_LOW, r.RING_HIGH, r.RING_SIZE, r.HEAD, r.TAIL))


def test_a_reset_makes_what_is_under_way_void():
    unit = Unit()
    unit.run()
    load(unit, b"x" * 1000, 0)
    unit.ring(ns=100)
    assert unit.read(r.STATUS) & r.BUSY
    unit.function.reset()
    unit.clock.advance_to(1_000_000)
    assert not any(unit.function.sram) and unit.messages == [] and unit.function.done == 0


def test_a_stop_lets_the_others_go_on():
    one = Unit()
    other = Unit(one.engine)
    for unit in (one, other):
        unit.run()
        unit.add(Op.NOP, flags=INTERRUPT)
        unit.write(r.TAIL, 1)
    one.clock.advance_to(1)
    one.write(r.CONTROL, 0)
    one.clock.advance_to(10_000)
    assert one.messages == [] and other.messages == [0]


def test_a_bad_tail_in_the_middle_of_an_operation_ends_it():
    unit = Unit()
    unit.run()
    load(unit, b"x" * 1000, 0)
    unit.ring(ns=100)
    unit.write(r.TAIL, ENTRIES)
    unit.clock.advance_to(1_000_000)
    assert unit.error == Error.RING and unit.function.done == 0 and not any(unit.function.sram)


def rung_and_started():
    """A function to which both were said in one moment: the ring's tail, and to start the descriptor in its registers."""
    unit = Unit()
    unit.run()
    unit.add(Op.NOP, flags=INTERRUPT)
    unit.write(r.TAIL, 1)
    unit.write(r.CONTROL, r.RUN | r.START)
    assert len(unit.function._bells) == 1
    return unit


def test_a_stop_ends_what_was_started_and_rung_and_a_ring_goes_on():
    unit = rung_and_started()
    unit.write(r.CONTROL, 0)
    unit.clock.advance_to(10_000)
    assert (unit.function.done, unit.read(r.STATUS), unit.read(r.HEAD)) == (0, 0, 1)
    unit.write(r.CONTROL, r.RUN)
    unit.add(Op.NOP, flags=INTERRUPT)
    unit.ring()
    assert (unit.function.done, unit.messages) == (1, [0])


def test_a_start_beside_a_doorbell_loses_neither():
    unit = rung_and_started()
    unit.clock.advance_to(10_000)
    assert (unit.function.done, unit.messages, unit.read(r.HEAD)) == (2, [0], 1)


def test_odd_accesses_are_answered():
    unit = Unit()
    for offset in (0, 1, 2, r.DIRECT + 2, r.TABLE + 1, r.PENDING + 0x1000, r.SRAM - 4, r.SRAM + 0xFFFF, r.SRAM + 0x1FFFF):
        for size in (1, 2, 4, 8):
            unit.function.write(offset, size, (1 << 8 * size) - 1)
            assert 0 <= unit.function.read(offset, size) < 1 << 8 * size
    unit.function.write(r.SRAM + 0xFFFD, 4, 0xFFFF_FFFF)
    assert len(unit.function.sram) == FULL


def test_many_doorbells_in_one_moment_are_one():
    unit = Unit()
    unit.run()
    unit.add(Op.NOP)
    for _ in range(1000):
        unit.write(r.TAIL, 1)
    assert len(unit.function._bells) == 1
    unit.clock.advance_to(10_000)
    assert unit.function.done == 1


def test_the_largest_product_is_within_the_limit():
    biggest = DESCRIPTOR.parse(DESCRIPTOR.pack(op=Op.MATMUL, flags=REQUANTISE, rows=256, cols=256, depth=256))
    work.check(biggest)
    assert work.duration(biggest) < r.LIMIT_NS // 30
