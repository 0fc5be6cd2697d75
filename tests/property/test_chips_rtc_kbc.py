"""The clock and the keyboard controller, saved and restored in the middle of any program, go on alike."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.devices.pc.i8042 import I8042
from vmio.devices.pc.rtc import Rtc
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line


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


KBC_PROGRAM = st.lists(st.tuples(st.sampled_from((0, 4)), st.just(1), st.none() | st.integers(0, 255)), max_size=80)


@given(KBC_PROGRAM, KBC_PROGRAM)
def test_i8042_saved_goes_on_alike(before, after):
    kbc, twin = I8042(Line(), Line()), I8042(Line(), Line())
    drive(kbc, None, before)
    twin.restore(kbc.save())
    assert drive(kbc, None, after) == drive(twin, None, after)
    assert kbc.save() == twin.save()
