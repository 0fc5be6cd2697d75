"""The local APIC's page: which registers there are, its timer, interrupts to itself; as Intel's manual has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmio.devices.board import Board
from vmio.devices.pc import local_apic as la
from vmio.hypervisor.apic import LocalApic
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.bus import BadAccess
from vmio.machine.clock import NEVER, Clock
from vmio.modes import one_guest

GHZ = 1_000_000_000


class Page(la.LocalApicPage):
    """A page with an APIC of its own; `ended` counts the ends of interrupts."""

    def __init__(self):
        self.ended = 0
        super().__init__(LocalApic(lambda: None), Clock(), self._end, GHZ)
        self.set(la.SPURIOUS, 0x1FF)

    def _end(self):
        self.ended += 1
        self.apic.eoi()

    def set(self, offset, value):
        self.write(offset, 4, value)

    def get(self, offset):
        return self.read(offset, 4)


@pytest.fixture
def page():
    return Page()


def test_after_power_on(page):
    page.reset()
    assert [page.get(at) for at in (la.ID, la.VERSION, la.TPR, la.LOGICAL, la.FORMAT, la.SPURIOUS, la.ERRORS, la.INITIAL, la.CURRENT)] == [
        0, 0x50014, 0, 0, 0xFFFF_FFFF, 0xFF, 0, 0, 0]
    assert {page.get(at) for at in la.LVT} == {0x10000} and page.get(0x2F0) == 0 and page.get(0xB0) == 0


@pytest.mark.parametrize("register, writable, fixed", [
    (la.ID, 0xFF00_0000, 0), (la.LOGICAL, 0xFF00_0000, 0), (la.FORMAT, 0xF000_0000, 0x0FFF_FFFF), (la.SPURIOUS, 0x3FF, 0),
    (la.DESTINATION, 0xFF00_0000, 0), (la.DIVIDE, 0xB, 0), (la.TIMER, 0x300FF, 0), (la.THERMAL, 0x107FF, 0), (la.LINT0, 0x1A7FF, 0),
    (la.LVT_ERROR, 0x100FF, 0), (la.VERSION, 0, 0x50014), (la.CURRENT, 0, 0), (la.PPR, 0, 0), (la.IRR, 0, 0)])
def test_which_bits_stick(page, register, writable, fixed):
    page.set(register, 0xFFFF_FFFF)
    assert page.get(register) == writable | fixed


def test_a_disabled_apic_has_its_entries_masked(page):
    page.set(la.TIMER, 0x40)
    assert page.get(la.TIMER) == 0x40
    page.set(la.SPURIOUS, 0xFF)
    assert page.get(la.TIMER) == 0x10040
    page.set(la.TIMER, 0x40)
    assert page.get(la.TIMER) == 0x10040


def test_what_is_requested_and_in_service(page):
    page.apic.request(0x21)
    page.apic.request(0xFE)
    assert page.get(la.IRR + 0x10) == 2 and page.get(la.IRR + 0x70) == 1 << 30 and page.get(la.IRR) == 0
    page.apic.acknowledge()
    assert page.get(la.IRR + 0x70) == 0 and page.get(la.ISR + 0x70) == 1 << 30 and page.get(la.PPR) == 0xF0 and page.get(la.TMR + 0x70) == 0
    page.set(la.EOI, 0)
    assert page.ended == 1 and page.get(la.ISR + 0x70) == 0


def test_the_task_priority(page):
    page.set(la.TPR, 0x1FF)
    assert page.get(la.TPR) == 0xFF == page.get(la.PPR) and page.apic.tpr == 0xFF
    page.set(la.TPR, 0x35)
    assert page.get(la.PPR) == 0x35
    page.apic.request(0x41)
    page.apic.acknowledge()
    assert page.get(la.PPR) == 0x40


@pytest.mark.parametrize("destination, command, arrives", [
    (0, 0x40040, True), (0, 0x80040, True), (0, 0xC0040, False),        # itself; all; all others
    (0, 0x00040, True), (1, 0x00040, False), (0xFF, 0x00040, True),     # by number
    (2, 0x00840, True), (1, 0x00840, False), (3, 0x00840, True),        # by logical number
    (0, 0x40140, False), (0, 0x40440, False), (0, 0x40540, False)])     # lowest priority, NMI, INIT: nothing
def test_interrupts_that_it_sends(page, destination, command, arrives):
    page.set(la.LOGICAL, 2 << 24)
    page.set(la.DESTINATION, destination << 24)
    page.set(la.COMMAND, command | 1 << 12)
    assert page.apic.irr == (1 << 0x40 if arrives else 0) and page.get(la.COMMAND) == command


def test_a_vector_that_is_none(page):
    page.set(la.COMMAND, 0x4000F)
    assert page.apic.irr == 0 and page.get(la.ERRORS) == 0
    page.set(la.ERRORS, 0)
    assert page.get(la.ERRORS) == 0x20
    page.set(la.ERRORS, 0)
    assert page.get(la.ERRORS) == 0


@pytest.mark.parametrize("code, divisor", [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)])
def test_the_timer_counts_down_once(page, code, divisor):
    page.set(la.DIVIDE, code)
    page.set(la.TIMER, 0x30)
    page.set(la.INITIAL, 1000)
    page.clock.advance_to(400 * divisor)
    assert page.get(la.CURRENT) == 600 and page.get(la.INITIAL) == 1000
    page.clock.advance_to(1000 * divisor - 1)
    assert page.apic.irr == 0 and page.get(la.CURRENT) == 1
    page.clock.advance_to(1000 * divisor)
    assert page.apic.irr == 1 << 0x30 and page.get(la.CURRENT) == 0 and page.clock.deadline() == NEVER


def test_the_timer_goes_on(page):
    page.set(la.DIVIDE, 11)
    page.set(la.TIMER, 0x20030)
    page.set(la.INITIAL, 300_000)
    for turn in range(1, 4):
        page.clock.advance_to(300_000 * turn - 1)
        assert page.apic.irr == 0
        page.clock.advance_to(300_000 * turn)
        assert page.apic.acknowledge() == 0x30 and page.apic.eoi() == 0x30
    page.set(la.INITIAL, 0)
    assert page.clock.deadline() == NEVER and page.get(la.CURRENT) == 0


def test_a_timer_that_would_ring_all_the_time_does_not(page):
    page.set(la.DIVIDE, 11)
    page.set(la.TIMER, 0x20030)
    page.set(la.INITIAL, 1)
    rings = []
    page.apic.request = lambda vector, by_host: rings.append(page.clock.now)
    page.clock.advance_to(1_000_000)
    assert rings == [200_000, 400_000, 600_000, 800_000, 1_000_000]


def test_a_masked_timer_counts_and_is_silent(page):
    page.set(la.DIVIDE, 11)
    page.set(la.TIMER, 0x10030)
    page.set(la.INITIAL, 1000)
    page.clock.advance_to(300)
    assert page.get(la.CURRENT) == 700 and page.clock.deadline() == NEVER
    page.set(la.TIMER, 0x30)
    assert page.clock.deadline() == 1000
    page.set(la.DIVIDE, 0)                            # what is left takes twice as long
    assert page.get(la.CURRENT) == 700 and page.clock.deadline() == 300 + 1400
    page.clock.advance_to(1700)
    assert page.apic.irr == 1 << 0x30


def test_a_timer_without_a_vector(page):
    page.set(la.TIMER, 3)
    page.set(la.INITIAL, 10)
    page.clock.advance_to(100)
    page.set(la.ERRORS, 0)
    assert page.apic.irr == 0 and page.get(la.ERRORS) == 0x40


@pytest.mark.parametrize("offset, size", [(0x20, 1), (0x20, 2), (0x20, 8), (0x24, 4), (0x1000, 4), (-16, 4)])
def test_accesses_that_the_manual_leaves_open(page, offset, size):
    with pytest.raises(BadAccess):
        page.read(offset, size)
    with pytest.raises(BadAccess):
        page.write(offset, size, 0)


@pytest.mark.parametrize("apic, exits", [("virtualized", 2), ("emulated", 6)])
def test_which_accesses_exit(apic, exits):
    guest = one_guest(ram_mib=1, apic=apic).guest
    board = Board(guest, local_apic=True)
    before = guest.cpu.exits.total
    for at in (la.TPR, la.EOI):                       # the processor's, if it virtualizes the APIC
        guest.cpu.store(la.BASE + at, 4, 0)
    assert guest.cpu.load(la.BASE + la.TPR, 4) == 0 and guest.cpu.load(la.BASE + la.PPR, 4) == 0
    assert guest.cpu.load(la.BASE + la.VERSION, 4) == 0x50014
    guest.cpu.store(la.BASE + la.SPURIOUS, 4, 0x1FF)
    assert guest.cpu.exits.total - before == exits and board.local_apic.read(la.SPURIOUS, 4) == 0x1FF


def test_an_end_of_interrupt_lets_waiting_messages_through():
    guest = one_guest(ram_mib=1).guest
    enable_enlightenments(guest)
    board = Board(guest, local_apic=True)
    ended = []
    guest.enlightened.synics[0].end_of_interrupt = lambda: ended.append(guest.cpu.apic.eoi())
    guest.cpu.apic.request(0x50)
    guest.cpu.apic.acknowledge()
    guest.cpu.store(la.BASE + la.EOI, 4, 0)
    assert ended == [0x50] and board.local_apic is not None


def test_a_board_of_two_vcpus_has_no_page():
    with pytest.raises(ValueError, match="^local_apic: guest guest0 has 2 vCPUs; the page of registers is that of one$"):
        Board(one_guest(ram_mib=1, vcpus=2).guest, local_apic=True)


def test_saved_and_taken_back():
    def board():
        return Board(one_guest(ram_mib=1).guest, local_apic=True)
    one, other = board(), board()
    page = one.local_apic
    for at, value in ((la.SPURIOUS, 0x1FF), (la.DIVIDE, 11), (la.TIMER, 0x20030), (la.COMMAND, 0x4000F), (la.INITIAL, 500_000)):
        page.write(at, 4, value)
    one.guest.clock.advance_to(100_000)
    state = one.save()
    other.guest.clock.now = 100_000
    other.restore(state)
    assert other.save() == state and other.local_apic.read(la.CURRENT, 4) == 400_000
    assert [timer.when for name, timer in other.timers() if name == "local APIC, timer"] == [500_000]
    other.reset()
    assert other.local_apic.read(la.SPURIOUS, 4) == 0xFF and other.guest.clock.deadline() > 500_000


@given(st.lists(st.tuples(st.sampled_from(range(0, 0x400, 0x10)), st.one_of(st.integers(0, 0xFFFF_FFFF), st.sampled_from(
    [0, 0x20030, 0x30, 0x40030, 0x1FF, 1, 11])), st.integers(0, 3_000_000)), max_size=40))
def test_whatever_is_written_the_page_lives(acts):
    """No write raises, time goes on, and the timer rings at most every 200 us while it is periodic."""
    page = Page()
    rings = []
    page.apic.request = lambda vector, by_host=False: rings.append(vector)
    for offset, value, ns in acts:
        page.set(offset, value)
        before = len(rings)
        page.clock.advance_to(page.clock.now + ns)
        assert len(rings) - before <= ns // la.SHORTEST_NS + 1
        assert all(0 <= page.get(at) <= 0xFFFF_FFFF for at in range(0, 0x400, 0x10))
    other = Page()
    other.clock.now = page.clock.now
    other.restore(page.save())
    assert other.save() == page.save() and all(16 <= vector <= 255 for vector in rings)
