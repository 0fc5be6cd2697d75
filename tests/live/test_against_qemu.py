"""Random programs for every chip, run on vmio's board and on a live QEMU 7.2 or later, answer by answer.

A program is a list of qtest lines that hypothesis made up; each runs on a
machine fresh from power-on.  The choice is the same in every run, so that a
failure is one of the change under test.  VMIO_EXAMPLES=1000 runs that many
programs of each kind instead of 16 (a night's worth: 20000); VMIO_SHRINK=1
makes the first program that fails as short as can be, which takes minutes.

Left out on purpose, each with its reason where the programs are made: running
time (see qemu.py), machine resets (QEMU's comes some time after the command),
and BARs laid over other chips' ports (an overlap has no right answer).
"""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qemu import LETTER, Pair, Stable, fixed

from vmio.oracle.qtest import Door

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def machines(installed, tmp_path_factory):
    stable = Stable(tmp_path_factory.mktemp("qemu"))
    yield stable
    stable.close()


def compare(machines, program):
    """Run `program` on both; what COM1 sent must be equal, too."""
    qemu, sent = machines.take(), bytearray()
    try:
        pair = Pair(qemu, Door(serial=sent.append))
        pair.ask(*program)
    finally:
        qemu.close()
    with open(qemu.serial, "rb") as file:
        assert file.read() == sent
    os.unlink(qemu.serial)


byte = st.integers(0, 0xFF)


def out(port, values=byte, size=1):
    """Lines that write one of `values` to the port."""
    return st.builds(lambda value: f"out{LETTER[size]} {port:#x} {value:#x}", values)


def into(*ports):
    """Lines that read a byte of one of the ports."""
    return st.sampled_from([f"inb {port:#x}" for port in ports])


def programs(*lines, most=120):
    return st.lists(st.one_of(*lines), min_size=most // 2, max_size=most)


def steps(*parts):
    """Several lines that belong together, as one element of a program."""
    return st.tuples(*parts)


def flat(program):
    return [line for step in program for line in ((step,) if isinstance(step, str) else step)]


# --- UART -------------------------------------------------------------------------

UART = range(0x3F8, 0x400)
LOOP = st.sampled_from([0x10, 0x12, 0x18, 0x1F])
uart_lines = (
    into(*UART), into(0x3F8, 0x3FA, 0x3FD, 0x3FE),
    out(0x3F8), out(0x3F8), out(0x3F9, st.integers(0, 15)), out(0x3F9), out(0x3FA),
    out(0x3FA, st.sampled_from([0x01, 0x41, 0x81, 0xC1, 0x00, 0x03, 0x05])),
    out(0x3FB, st.sampled_from([0x03, 0x03, 0x83, 0x00, 0xFF])), out(0x3FC, LOOP), out(0x3FC),
    out(0x3FD), out(0x3FE), out(0x3FF),
)


@fixed
@given(program=programs(*uart_lines))
def test_uart(machines, program):
    compare(machines, program)


burst = st.lists(out(0x3F8), min_size=1, max_size=18)
drain = st.integers(1, 18).map(lambda n: ["inb 0x3f8", "inb 0x3fa"] * n)
ENABLED = [0x01, 0x41, 0x81, 0xC1]  # the FIFO on, with each of the trigger levels


@fixed
@given(fcr=out(0x3FA, st.sampled_from(ENABLED)), ier=out(0x3F9, st.sampled_from([1, 5, 7])),
       program=programs(burst, drain, into(0x3FA, 0x3FD), out(0x3FA, st.sampled_from(ENABLED)), most=40))
def test_uart_fifo_in_loopback(machines, fcr, ier, program):
    compare(machines, ["outb 0x3fc 0x1b", fcr, ier, *flat(program)])


# --- interrupt controllers, with lines that other chips drive ------------------------

PIC_READS = into(0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1)


def initialise(base):
    """ICW1 to ICW4 as a PC's firmware writes them, with any mode bits."""
    return steps(out(base, st.sampled_from([0x11, 0x10, 0x13, 0x12, 0x19])), out(base + 1), out(base + 1),
                 out(base + 1))


# No special mask mode for the slave: its INT follows at once in ours, as the data sheet wants, and in QEMU only when
# something else happens.
slave_command = byte.filter(lambda value: value & 0x58 != 0x48)

pic_lines = (
    PIC_READS, PIC_READS, initialise(0x20), initialise(0xA0), out(0x20), out(0xA0, slave_command), out(0x21), out(0xA1),
    out(0x20, st.sampled_from([0x20, 0x0A, 0x0B, 0x0C, 0x68, 0x48, 0xA0, 0xC3, 0x80, 0x00])),
    out(0xA0, st.sampled_from([0x20, 0x0A, 0x0B, 0x0C, 0x61, 0x60, 0xA0, 0xC3, 0x80, 0x00])),
    out(0x3F9, st.sampled_from([0, 2])), into(0x3FA), out(0x3F8),               # IRQ 4
    out(0x64, st.sampled_from([0xAA, 0xAB])), into(0x60),                       # IRQ 1
    steps(out(0x64, st.just(0xD3)), out(0x60)), steps(out(0x64, st.just(0xD2)), out(0x60)),  # IRQ 12, IRQ 1
    out(0x43, st.sampled_from([0x30, 0x34, 0x38])),                             # IRQ 0: OUT follows the mode
)


@fixed
@given(elcr=steps(out(0x4D0), out(0x4D1)), program=programs(*pic_lines, most=150))
def test_interrupt_controllers(machines, elcr, program):
    # ELCR only while all is quiet.  An edge that waits in IRR when its input becomes level-triggered goes when the
    # line is next driven low; QEMU's UART drives it low again and again, ours only when it was high.
    compare(machines, [*elcr, *flat(program)])


# --- timer and port 61h, in the moment that lasts ---------------------------------------

# Two differences on purpose.  Not BCD: the data sheet's counter counts in decimal then, and so does ours; QEMU's
# goes on in binary.  Not modes 6 and 7: the data sheet has them as other names of 2 and 3; QEMU's OUT is mode 0's.
control_word = byte.map(lambda word: word & (0xF6 if word & 0x0C == 0x0C else 0xFE) if word < 0xC0 and word & 0x30 else word)


@fixed
@given(program=programs(into(0x40, 0x41, 0x42, 0x61), out(0x40), out(0x41), out(0x42), out(0x43, control_word),
                        out(0x43, control_word), out(0x61)))
def test_timer_registers(machines, program):
    compare(machines, program)


# --- keyboard controller -------------------------------------------------------------------

# Commands with bit 0 clear from F0h on reset the machine, and so does an output port with bit 0 clear.
kbc_command = byte.filter(lambda value: value < 0xF0 or value & 1)
kbc_lines = (
    into(0x60, 0x64), into(0x60), into(0x60), out(0x60), out(0x64, kbc_command),
    out(0x60, st.sampled_from([0xED, 0xEE, 0xF0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xFF])),
    out(0x64, st.sampled_from([0x20, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD, 0xAE, 0xC0, 0xD0])),
    steps(out(0x64, st.sampled_from([0x60, 0xD2, 0xD3])), out(0x60)),
    steps(out(0x64, st.just(0x60)), out(0x60, st.sampled_from([0x03, 0x43, 0x47, 0x00, 0x65]))),
    steps(out(0x64, st.just(0xD4)), out(0x60, st.sampled_from(
        [0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xEE, 0xF0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xFF]))),
    steps(*(part for rate in (200, 100, 80) for part in (
        out(0x64, st.just(0xD4)), out(0x60, st.just(0xF3)), out(0x64, st.just(0xD4)),
        out(0x60, st.sampled_from([rate, rate, 200]))))),
    steps(out(0x64, st.just(0xD4)), out(0x60)),
)


def without_reset(program):
    """The same lines, but D1h (write output port) with its reset bit high."""
    pending = False
    for line in program:
        if line.startswith("outb 0x64"):
            pending = line.endswith(" 0xd1")
        elif pending and line.startswith("outb 0x60"):
            line, pending = f"outb 0x60 {int(line.split()[2], 0) | 1:#x}", False
        yield line


@fixed
@given(program=programs(*kbc_lines, most=100))
def test_keyboard_controller(machines, program):
    compare(machines, list(without_reset(flat(program))))


# --- clock and CMOS RAM ------------------------------------------------------------------------

def cell(index, values=byte):
    return steps(out(0x70, index), out(0x71, values))


anywhere = st.integers(0, 0x7F)
rtc_lines = (
    steps(out(0x70, anywhere), into(0x71)), steps(out(0x70, st.integers(0, 13)), into(0x71)),
    steps(out(0x70, byte), into(0x70, 0x71)), cell(anywhere), cell(st.integers(0, 9)), cell(st.just(0x32)),
    cell(st.just(10), st.sampled_from([0x26, 0x20, 0x2F, 0x60, 0x70, 0x16, 0x46])), cell(st.just(10)),
    cell(st.just(11), st.sampled_from([0x02, 0x82, 0x06, 0x86, 0x00, 0x80, 0x72])), cell(st.just(11)),
)


@fixed
@given(program=programs(*rtc_lines, most=60))
def test_clock_and_cmos(machines, program):
    whole = [line for index in range(128) for line in (f"outb 0x70 {index}", "inb 0x71")]
    compare(machines, [*flat(program), *whole])


# --- PCI configuration ------------------------------------------------------------------------

def config(function, register, size, write, value):
    """Select the register's dword, then read or write `size` bytes within it."""
    port = 0xCFC + (register & 3)
    line = f"out{LETTER[size]} {port:#x} {value:#x}" if write else f"in{LETTER[size]} {port:#x}"
    return f"outl 0xcf8 {0x80000000 | function << 8 | register & 0xFC:#x}", line


def allowed(access):
    """Not where a write moves ports over other chips': BAR 4 of the IDE function, the ACPI ports of 1.3."""
    function, register, size, write, value = access
    forbidden = {0x09: range(0x20, 0x24), 0x0B: (*range(0x40, 0x44), *range(0x90, 0x94))}.get(function, ())
    return not write or not set(range(register, register + size)) & set(forbidden)


def access(write):
    return st.sampled_from([1, 2, 4]).flatmap(lambda size: st.tuples(
        st.sampled_from([0x00, 0x08, 0x09, 0x0B]), st.integers(0, 256 // size - 1).map(lambda n: n * size),
        st.just(size), st.just(write), st.integers(0, (1 << 8 * size) - 1)))


pci_lines = (
    access(False).map(lambda a: config(*a)),
    access(True).filter(allowed).map(lambda a: (*config(*a), config(*a[:3], False, 0)[1])),
    st.builds(lambda register, size, value: config(0x09, register, size, True, value),
              st.sampled_from([0x04, 0x06]), st.just(2), st.integers(0, 0xFFFF)),
    st.sampled_from([config(0x09, 0x20, 4, True, value) for value in (0xC000, 0xC123, 0xFFFFFFFF, 0)]),
    st.sampled_from([config(0x09, 0x20, 4, False, 0), config(0x10, 0, 4, False, 0), config(0x0A, 0, 4, False, 0)]),
    st.builds(lambda address: (f"outl 0xcf8 {address:#x}", "inl 0xcf8", "inl 0xcfc"), st.integers(0, 0xFFFFFFFF)),
    into(0xCF8, 0xCF9, 0xCFA, 0xCFB), st.sampled_from(["inw 0xcf8", "inw 0xcfa", "outb 0xcf8 1", "outw 0xcfa 2"]),
    out(0xCF9, st.sampled_from([0, 2])),  # bit 2 would reset the machine
)


@fixed
@given(program=programs(*pci_lines, most=100))
def test_pci_configuration(machines, program):
    whole = [line for f in (0x00, 0x08, 0x09, 0x0B) for at in range(0, 256, 4) for line in config(f, at, 4, False, 0)]
    compare(machines, [*flat(program), *whole])
