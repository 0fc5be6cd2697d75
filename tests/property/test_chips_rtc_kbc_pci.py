"""A hostile guest: garbage in every register of the small chips, in any order, with time moving in between."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.devices.pc.i8042 import I8042
from vmio.devices.pc.port92 import Port92
from vmio.devices.pc.rtc import Rtc
from vmio.devices.pci.bar import Bar
from vmio.devices.pci.function import Identity, PciFunction
from vmio.devices.pci.host import PciHost
from vmio.devices.pci.piix import IsaBridge, host_bridge, ide_function, power_management
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line

SIZES = st.sampled_from((1, 2, 4))


def accesses(length):
    """Reads (value None), writes, and steps of the clock (in ns)."""
    one = SIZES.flatmap(lambda size: st.tuples(
        st.integers(0, length - 1), st.just(size), st.none() | st.integers(0, (1 << 8 * size) - 1)))
    return st.lists(one | st.integers(0, 400_000_000), max_size=60)


def drive(device, clock, program):
    """Run the program; return what was read.  Only BadAccess may come out of the chip."""
    seen = []
    for step in program:
        if isinstance(step, int):
            if clock:
                clock.advance_to(clock.now + step)
            continue
        offset, size, value = step
        try:
            if value is None:
                got = device.read(offset, size)
                assert 0 <= got < 1 << 8 * size
                seen.append(got)
            else:
                device.write(offset, size, value)
        except BadAccess:
            seen.append(None)
    return seen


# Byte accesses to both ports of the clock, so that garbage reaches the registers and not only the door.
RTC_PROGRAM = st.lists(
    st.tuples(st.integers(0, 255), st.none() | st.integers(0, 255)) | st.integers(0, 400_000_000), max_size=60)


def rtc_steps(program):
    for step in program:
        if isinstance(step, int):
            yield step
        else:
            yield 0, 1, step[0]
            yield 1, 1, step[1]


def waiting(clock):
    """Timers that will fire."""
    return sum(timer.callback is not None for _, _, timer in clock._heap)


@settings(deadline=None)
@given(RTC_PROGRAM)
def test_rtc_survives(program):
    clock, line = Clock(), Line()
    rtc = Rtc(clock, line)
    for step in rtc_steps(program):
        drive(rtc, clock, [step])
        assert waiting(clock) <= 2       # one for the update, one for the period, whatever was written
    for index, value in ((0x0A, 0x26), (0x0B, 0x82), (0x32, 0x20), (9, 0x24), (8, 0x02), (7, 0x29), (4, 0x23),
                         (2, 0x59), (0, 0x58), (0x0B, 0x12)):
        drive(rtc, clock, [(0, 1, index), (1, 1, value)])
    drive(rtc, clock, [(0, 1, 0x0C), (1, 1, None)])
    assert line.level == 0
    clock.advance_to(clock.now + 2_000_000_000)
    assert line.level == 1
    seen = drive(rtc, clock, [step for i in (0x32, 9, 8, 7, 6, 4, 2, 0) for step in ((0, 1, i), (1, 1, None))])
    assert bytes(seen).hex(" ") == "20 24 03 01 06 00 00 00"
    rtc.reset()
    assert line.level == 0


@settings(deadline=None)
@given(RTC_PROGRAM, RTC_PROGRAM)
def test_rtc_saved_goes_on_alike(before, after):
    clock = Clock()
    rtc = Rtc(clock, Line())
    drive(rtc, clock, rtc_steps(before))
    other = Clock(clock.now)
    twin = Rtc(other, Line())
    twin.restore(rtc.save())
    assert drive(rtc, clock, rtc_steps(after)) == drive(twin, other, rtc_steps(after))
    assert rtc.save() == twin.save()


@given(accesses(3))
def test_rtc_any_access(program):
    clock = Clock()
    drive(Rtc(clock, Line()), clock, program)


KBC_PROGRAM = st.lists(st.tuples(st.sampled_from((0, 4)), st.just(1), st.none() | st.integers(0, 255)), max_size=80)


@given(KBC_PROGRAM)
def test_i8042_survives(program):
    line1, line12 = Line(), Line()
    kbc = I8042(line1, line12)
    drive(kbc, None, program)
    assert len(kbc.keyboard.queue) <= 16 and len(kbc.mouse.queue) <= 16
    kbc.reset()
    assert drive(kbc, None, [(4, 1, 0xAA), (4, 1, None), (0, 1, None), (0, 1, 0xFF), (0, 1, None), (0, 1, None),
                             (4, 1, None)]) == [0x1D, 0x55, 0xFA, 0xAA, 0x1C]
    assert (line1.level, line12.level) == (0, 0)


@given(KBC_PROGRAM, KBC_PROGRAM)
def test_i8042_saved_goes_on_alike(before, after):
    kbc, twin = I8042(Line(), Line()), I8042(Line(), Line())
    drive(kbc, None, before)
    twin.restore(kbc.save())
    assert drive(kbc, None, after) == drive(twin, None, after)
    assert kbc.save() == twin.save()


@given(accesses(6), accesses(2))
def test_kbc_and_port92_any_access(program, other):
    drive(I8042(Line(), Line()), None, program)
    drive(Port92(), None, other)


def machine():
    host = PciHost()
    host.add(0, 0, host_bridge())
    host.add(1, 0, IsaBridge([Line() for _ in range(16)]))
    host.add(1, 1, ide_function())
    host.add(1, 3, power_management())
    bars = {0: Bar(16), 2: Bar(4096, wide=True), 4: Bar(4, io=True)}
    host.add(2, 0, PciFunction(Identity(1, 2, 3), bars))
    return host


ADDRESS = st.builds(lambda where, register: (0, 4, 1 << 31 | where << 8 | register),
                    st.sampled_from((0, 8, 9, 11, 16)), st.integers(0, 255))


@given(st.lists(accesses(9) | st.lists(ADDRESS, min_size=1, max_size=1), max_size=30))
def test_pci_survives(programs):
    host = PciHost()
    events = {}
    for at, function in machine().functions.items():
        state = events[at] = {}

        def watch(index, base, state=state):
            assert (base is None) != (state.get(index) is None), "mapped or unmapped twice"
            state[index] = base

        function.on_bar = watch
        host.add(*at, function)
    drive(host, None, [step for program in programs for step in program])
    saved = host.save()
    host.reset()
    assert not any(base is not None for state in events.values() for base in state.values())
    fresh = machine()
    assert host.save()["functions"][2:] == fresh.save()["functions"][2:]
    host.restore(saved)
    assert host.save() == saved
