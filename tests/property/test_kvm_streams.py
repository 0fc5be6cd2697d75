"""Any stream of accesses, interrupts and waits: recorded whole, compiled whole, and the same on a real processor."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.machine.storage import Image
from vmio.processors.kvm import expect, probe
from vmio.processors.kvm.compile import compile_record
from vmio.processors.kvm.programs import chips
from vmio.processors.kvm.record import EXITS, Kind, record

USABLE, REASON = probe.usable()
on_kvm = pytest.mark.skipif(not USABLE, reason=f"NOT RUN ON REAL HARDWARE: {REASON}")
if USABLE:
    from vmio.processors.kvm.replay import replay

PORTS = (0x40, 0x43, 0x60, 0x64, 0x70, 0x71, 0x1F0, 0x1F2, 0x1F6, 0x1F7, 0x300, 0x3F6, 0x3F8, 0x3F9, 0x3FA, 0x3FB,
         0x3FD, 0xCF8, 0xCFC)
REGISTERS = 0xFEB0_0000
BUFFER = 0x2_0000
SIZE = st.sampled_from((1, 2, 4))
PORT = st.one_of(st.sampled_from(PORTS), st.integers(0x100, 0xFFFC))
VALUE = st.one_of(st.sampled_from((0, 1, 7, 0x20, 0xEC, 0xE0, 0x80)), st.integers(0, 0xFFFF_FFFF))
ADDRESS = st.one_of(st.sampled_from((0, 1, 0x7FC, 0xC01, 0xFFD, 0xFFE, 0xFFF)), st.integers(0, 0x1FFF))
STEP = st.one_of(
    st.tuples(st.just("out"), PORT, SIZE, VALUE), st.tuples(st.just("in"), PORT, SIZE),
    st.tuples(st.just("outs"), PORT, SIZE, ADDRESS, st.integers(1, 20)),
    st.tuples(st.just("ins"), PORT, SIZE, ADDRESS, st.integers(1, 700)),
    st.tuples(st.just("store"), ADDRESS, st.sampled_from((1, 2, 4, 8)), VALUE),
    st.tuples(st.just("load"), ADDRESS, st.sampled_from((1, 2, 4, 8))),
    st.tuples(st.just("write"), ADDRESS, st.binary(max_size=40)),
    st.tuples(st.just("read"), ADDRESS, st.integers(0, 40)),
    st.tuples(st.just("compute"), st.integers(0, 3_000_000)), st.tuples(st.just("hlt"), st.integers(1, 3_000_000)),
    st.tuples(st.just("cpuid"), st.sampled_from((0, 1, 0x4000_0000))), st.just(("cli",)), st.just(("sti",)))


class Registers:
    """4 KiB of registers that keep what is written to them, at any size."""

    def __init__(self):
        self.bytes = bytearray(0x2000)

    def read(self, offset, size):
        return int.from_bytes(self.bytes[offset:offset + size], "little")

    def write(self, offset, size, value):
        self.bytes[offset:offset + size] = value.to_bytes(size, "little")


def machine(plan):
    guest = plan.guest
    disk = AtaDisk(Image.open(bytes(range(256)) * 2 * 64))
    board = Board(guest, (disk,), service=lambda kind, n, done: guest.clock.call_later(1000, done))
    registers = Registers()
    guest.mmio.attach(REGISTERS, 0x2000, registers, "registers", width=8)
    return chips(board) | {"registers": lambda: bytes(registers.bytes)}


def guest_program(steps):
    """The steps, with the timer ticking and its handler counting in RAM."""
    def tick(cpu):
        cpu.store(0x1000, 4, (cpu.load(0x1000, 4) + 1) & 0xFFFF_FFFF)

    def program(cpu):
        pic.init(cpu)
        for irq in (0, 4, 14):
            pic.connect(cpu, irq, tick)
        for value in (0x34, 0x00, 0x08):               # channel 0: a tick every 1.7 ms
            cpu.outb(0x43 if value == 0x34 else 0x40, value)
        letter = {1: "b", 2: "w", 4: "l"}
        for name, *rest in steps:
            if name in ("out", "in"):
                port, size, *value = rest
                getattr(cpu, name + letter[size])(port, *(v & (1 << 8 * size) - 1 for v in value))
            elif name in ("outs", "ins"):
                port, size, address, count = rest
                getattr(cpu, name + letter[size])(port, BUFFER + address, count)
            elif name in ("store", "load"):
                at, size, *value = rest
                for base in (REGISTERS, BUFFER):
                    if at + size <= 0x2000:
                        getattr(cpu, name)(base + at, size, *(v & (1 << 8 * size) - 1 for v in value))
            elif name in ("write", "read"):
                getattr(cpu, name)(BUFFER + rest[0], rest[1])
            elif name == "hlt":
                yield from cpu.hlt(rest[0])
            else:
                getattr(cpu, name)(*rest)
    return program


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(STEP, max_size=40))
def test_nothing_is_lost_between_model_record_and_code(steps):
    taken = record(machine, guest_program(steps))
    assert sum(step.kind in EXITS for step in taken.steps) == taken.exits.total()
    pieces = compile_record(taken)
    assert [step for piece in pieces for step in piece.steps] == taken.steps
    expected = [exit for step in taken.steps for exit in expect.exits(step)]
    assert [exit for piece in pieces for exit, _ in piece.expected] == expected
    for piece in pieces:
        assert not any(step.kind is Kind.WAIT for step in piece.steps[:-1])


@on_kvm
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(STEP, max_size=40))
def test_any_stream_is_the_same_on_a_real_processor(steps):
    result = replay(record(machine, guest_program(steps)))
    assert result.differences == []
