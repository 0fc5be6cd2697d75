"""Random programs for the IOMMU's registers and for edu, on the door and on a live QEMU's q35 machine.

Left out: what takes time (DMA, the factorial), and 8-byte accesses to registers of
4 bytes, at which QEMU 7.2 aborts.
"""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qemu import PROGRAM, Qemu, fixed

from vmio.oracle.qtest import Door

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("installed")]
IOMMU, EDU, QUEUE, STATUS = 0xFED9_0000, 0xE000_0000, 0x10_0000, 0x20_0000
PREPARE = ["outl 0xcf8 0x80001810", f"outl 0xcfc {EDU}", "outl 0xcf8 0x80001804", "outw 0xcfc 6"]


class Q35(Qemu):
    """`-machine q35 -device intel-iommu -device edu,addr=3`."""

    def __init__(self):
        self._process = subprocess.Popen(
            [PROGRAM, "-machine", "q35", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-m", "32",
             "-device", "intel-iommu", "-device", "edu,addr=3", "-qtest", "stdio", "-qtest-log", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def compare(program):
    lines = [*PREPARE, *(line for part in program for line in part)]
    machine, door = Q35(), Door(memory_mib=32, devices=["edu", "intel-iommu"])
    try:
        theirs = machine.answers(lines)
    finally:
        machine.close()
    for at, (line, other) in enumerate(zip(lines, theirs)):
        ours = door.answer(line)
        assert ours == other, f"{line}: vmio {ours}, QEMU {other}, after {lines[max(0, at - 16):at]}"


def store(address, size, value):
    return f"write{size} {address} {value & (1 << {'l': 32, 'q': 64}[size]) - 1}"


value = st.one_of(st.sampled_from([0, (1 << 64) - 1, 1 << 31, 1 << 63, QUEUE]), st.integers(0, (1 << 64) - 1),
                  st.integers(0, 63).map(lambda bit: 1 << bit))
dwords = st.sampled_from([*range(0, 0x48, 4), 0x58, 0x64, *range(0x80, 0xB0, 4), 0xB8, 0xBC, *range(0xF0, 0x104, 4),
                          *range(0x220, 0x240, 4)])
quads = st.sampled_from([0x20, 0x28, 0xB8, 0xF0, 0xF8, 0x220, 0x228])
read = st.builds(lambda at, size: [f"read{size} {IOMMU + at}"], dwords, st.sampled_from("lllbw"))
read_quad = st.builds(lambda at: [f"readq {IOMMU + 8 * at}"], st.integers(0, 0x22F // 8))
write = st.builds(lambda at, v: [store(IOMMU + at, "l", v)], dwords.filter(lambda at: at not in (0x18, 0x90, 0x94)), value)
write_quad = st.builds(lambda at, v: [store(IOMMU + at, "q", v)], quads, value)
command = st.builds(lambda v: [store(IOMMU + 0x18, "l", v), f"readl {IOMMU + 0x1C}"],     # all but CFI: ours has it
                    st.integers(0, 0xFF).map(lambda bits: bits << 24))
queue_address = st.sampled_from([0, 1, 2]).map(lambda size: [store(IOMMU + 0x90, "q", QUEUE | size)])
low = st.one_of(st.builds(lambda kind, rest: kind | rest << 4, st.integers(0, 8), st.integers(0, 3)),
                st.builds(lambda data: 5 | 1 << 5 | data << 32, st.integers(0, 1 << 32)),
                st.builds(lambda g, domain: 2 | g << 4 | domain << 16, st.integers(0, 3), st.integers(0, 9)),
                st.integers(0, (1 << 64) - 1).filter(lambda v: v & 0xF != 5))
high = st.one_of(st.just(0), st.integers(0, 40), st.integers(0, 15).map(lambda n: STATUS + 4 * n))
descriptor = st.builds(lambda at, a, b: [store(QUEUE + 16 * at, "q", a if a & 0x3F != 0x35 else a & ~0x10),
                                         store(QUEUE + 16 * at + 8, "q", b), store(IOMMU + 0x88, "q", 16 * at + 16),
                                         f"readq {IOMMU + 0x80}", f"readl {IOMMU + 0x34}", f"read {STATUS} 64"],
                       st.integers(0, 30), low, high)


@fixed
@given(st.lists(st.one_of(read, read_quad, write, write_quad, command, queue_address, descriptor), min_size=60, max_size=160))
def test_iommu_registers(program):
    compare(program)


edu_register = st.sampled_from([0x00, 0x04, 0x20, 0x24, 0x30, 0x60, 0x64, 0x80, 0x84, 0x88, 0x90, 0x98, 0x9C, 0x400])
edu_read = st.builds(lambda at, size: [f"read{size} {EDU + at}"], edu_register, st.sampled_from("lqbw"))
edu_write = st.builds(lambda at, size, v: [store(EDU + at, size, v & ~1 if at == 0x98 else v)],
                      edu_register.filter(lambda at: at != 0x04), st.sampled_from("lq"), value)
configure = st.builds(lambda at, v: [f"outl 0xcf8 {0x8000_1800 + at}", f"outl 0xcfc {v & 0xFFFF_FFFF}", "inl 0xcfc"],
                      st.sampled_from([0x00, 0x08, 0x0C, 0x2C, 0x34, 0x3C, 0x40, 0x44, 0x48, 0x4C, 0x50]), value)


@fixed
@given(st.lists(st.one_of(edu_read, edu_write, configure), min_size=40, max_size=120))
def test_edu_registers_and_configuration_space(program):
    compare(program)
