"""UART, timer and interrupt controllers: saved and restored in the middle of any program they go on alike, and two runs are one."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.devices.pc.pic import PicPair
from vmio.devices.pc.pit import Pit
from vmio.devices.pc.port61 import Port61
from vmio.devices.pc.uart import Uart
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line

MOVES = (0, 1, 419, 838, 10_000, 86_805, 347_220, 3_000_000)  # ns


class Board:
    """The chips wired as on a PC, behind one flat list of (device, offsets)."""

    def __init__(self, **uart):
        self.clock, self.intr = Clock(), Line("INTR")
        self.pic = PicPair(self.intr)
        irq0, irq4 = Line("irq0"), Line("irq4")
        irq0.connect(self.pic.input(0)), irq4.connect(self.pic.input(4))
        self.pit = Pit(self.clock, irq0)
        self.port61 = Port61(self.clock, self.pit)
        self.uart = Uart(self.clock, irq4, **uart)
        self.devices = (self.uart, self.pit, self.port61, self.pic.master, self.pic.slave, self.pic.elcr)

    def timers(self):
        return sum(timer.callback is not None for _, _, timer in self.clock._heap)

    def state(self):
        return json.loads(json.dumps([self.uart.save(), self.pit.save(), self.port61.save(), self.pic.save()]))

    def do(self, step):
        """The answer to one step of a program; a refused access answers None."""
        kind, device, offset, size, value = step
        device = self.devices[device]
        try:
            if kind == "read":
                answer = device.read(offset, size)
                assert 0 <= answer <= 0xFF
                return answer
            if kind == "write":
                device.write(offset, size, value & (1 << 8 * size) - 1)
            elif kind == "wire":
                self.uart.receive(value.to_bytes(4, "little"), value >> 8 & 0x1C)
            elif kind == "inta":
                return self.pic.acknowledge()
            else:
                self.clock.advance_to(self.clock.now + MOVES[value % len(MOVES)])
        except BadAccess:
            return None


# A chip's own registers with their own bytes most of the time: garbage that gets past the door.
offsets = st.one_of(st.integers(0, 7), st.integers(0, 3), st.integers(-1, 9))
steps = st.tuples(
    st.sampled_from(["read", "write", "write", "write", "move", "wire", "inta"]), st.integers(0, 5), offsets,
    st.sampled_from([1, 1, 1, 1, 1, 2, 4]), st.one_of(st.integers(0, 255), st.integers(0, 2**32 - 1)))
programs = st.lists(steps, max_size=80)
paces = st.sampled_from(["instant", "baud"])


@settings(max_examples=60, deadline=None)
@given(programs, programs, paces)
def test_a_restored_board_goes_on_as_the_saved_one(before, after, pace):
    board, twin = Board(pace=pace), Board(pace=pace)
    for step in before:
        board.do(step)
    twin.clock.advance_to(board.clock.now)
    state = board.state()
    for device, saved in zip((twin.uart, twin.pit, twin.port61, twin.pic), state):
        device.restore(saved)
    assert twin.state() == state and twin.intr.level == board.intr.level
    for step in after:
        assert twin.do(step) == board.do(step)
    assert twin.state() == board.state()


@settings(max_examples=40, deadline=None)
@given(programs, paces)
def test_two_runs_are_the_same_run(program, pace):
    first, second = Board(pace=pace), Board(pace=pace)
    assert [first.do(step) for step in program] == [second.do(step) for step in program]
    assert first.state() == second.state() and first.uart.sent == second.uart.sent
