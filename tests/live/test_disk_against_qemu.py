"""Random programs for the ATA channels and the bus master, on vmio's board and on a live QEMU.

As in test_against_qemu.py, with a disk as primary master, an empty slave and an
empty secondary channel; or with two disks on the first.  QEMU's disk works in its own time, so each step waits
until it is done (`Pair.ask_disk`).
"""

import base64
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qemu import LETTER, Pair, Stable, fixed

from vmio.oracle.qtest import Door

pytestmark = pytest.mark.qemu
SECTORS = 2048
BUS_MASTER = 0xC000
MAP_BUS_MASTER = ("outl 0xcf8 0x80000920", f"outl 0xcfc {BUS_MASTER:#x}", "outl 0xcf8 0x80000904", "outw 0xcfc 5")
STATUS_PORTS = (0x3F6, 0x376, BUS_MASTER + 2, BUS_MASTER + 10)
BASES = {0: 0x1F0, 1: 0x170}


@pytest.fixture(scope="module")
def disks(installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("qemu-disk")
    image = folder / "disk.img"
    image.write_bytes(b"".join(struct.pack("<I", lba * 0x9E3779B1 & 0xFFFFFFFF) * 128 for lba in range(SECTORS)))
    stable = Stable(folder, image)
    yield stable
    stable.close()


@pytest.fixture(scope="module")
def pairs(disks, tmp_path_factory):
    """As `disks`, with a slave."""
    image = tmp_path_factory.mktemp("qemu-slave") / "slave.img"
    image.write_bytes(b"".join(struct.pack("<I", lba * 0x85EBCA6B & 0xFFFFFFFF) * 128 for lba in range(SECTORS)))
    stable = Stable(disks.folder, [disks.drive, image])
    yield stable
    stable.close()


def compare(disks, program):
    """Run `program` on both; a step is ("now", lines) or ("disk", lines)."""
    qemu = disks.take()
    try:
        pair = Pair(qemu, Door(drive=disks.drive), prepare=MAP_BUS_MASTER)
        for kind, lines in program:
            if kind == "now":
                pair.ask(*lines)
            else:
                for group in lines:
                    pair.ask_disk(*group, watch=STATUS_PORTS)
    finally:
        qemu.close()
    os.unlink(qemu.serial)


def singly(lines):
    """A disk step of lines after each of which the disk may work."""
    return "disk", [(line,) for line in lines]


# --- what a driver writes --------------------------------------------------------

byte = st.integers(0, 0xFF)
channel = st.sampled_from([0, 0, 0, 0, 0, 1])
select = st.sampled_from([0xE0, 0xE0, 0xE0, 0xA0, 0xA0, 0x40, 0xF0, 0xB0])
count = st.one_of(st.integers(1, 4), st.integers(1, 20), st.sampled_from([0, 1, 2, 16, 255]))
lba = st.one_of(st.integers(0, SECTORS - 1), st.integers(SECTORS - 24, SECTORS + 2),
                st.sampled_from([0, 1 << 24, (1 << 28) - 1, (1 << 32) + 5, (1 << 48) - 1]))
chs = st.tuples(st.integers(0, 2), st.integers(0, 15), st.integers(0, 64))

PIO_IN, PIO_OUT = [0x20, 0x21, 0x24, 0xC4, 0x29, 0xEC], [0x30, 0x31, 0x34, 0xC5, 0x39, 0x3C]
DMA_IN, DMA_OUT = [0xC8, 0xC9, 0x25], [0xCA, 0xCB, 0x35]
PLAIN = [0x00, 0x08, 0x10, 0x27, 0x40, 0x42, 0x70, 0x90, 0x91, 0x94, 0x95, 0x98, 0xA1, 0xB0, 0xC6, 0xE0, 0xE3, 0xE5,
         0xE7, 0xEA, 0xEF, 0xF5, 0xF8]
FEATURES = [0x00, 0x02, 0x03, 0x05, 0x42, 0x55, 0x66, 0x82, 0x85, 0xAA, 0xC2, 0xCC, 0x69, 0x99]
DIAGNOSE = 0x90               # with DEV = 1: QEMU's runs on device 1 alone, or on nobody; ours on both, as ATA/ATAPI-6 has it
INITIALIZE_PARAMETERS = 0x91  # with 0 sectors a track QEMU 7.2 divides by zero and dies; ours refuses them
EXTENDED = {0x24, 0x25, 0x27, 0x29, 0x34, 0x35, 0x39, 0x42, 0xEA}


def task_file(base, opcode, device, sectors, where, cylinder_head_sector, feature):
    """The writes that start a command; the 48-bit ones write their registers twice."""
    if opcode == INITIALIZE_PARAMETERS:
        sectors = sectors or 63
    if opcode == DIAGNOSE:
        device &= ~0x10
    if device & 0x40:
        head, low = where >> 24 & 15, where & 0xFFFFFF
    else:
        cylinder, head, sector = cylinder_head_sector
        low = sector | cylinder << 8
    writes = [(6, device | head)]
    if opcode in EXTENDED:
        writes += [(2, 0), (3, where >> 24 & 0xFF), (4, where >> 32 & 0xFF), (5, where >> 40 & 0xFF)]
    writes += [(1, feature), (2, sectors), (3, low & 0xFF), (4, low >> 8 & 0xFF), (5, low >> 16 & 0xFF), (7, opcode)]
    return [f"outb {base + register:#x} {value:#x}" for register, value in writes]


def command(opcodes):
    """A command with a sensible task file."""
    return st.builds(lambda which, opcode, *rest: singly(task_file(BASES[which], opcode, *rest)),
                     channel, st.sampled_from(opcodes), select, count, lba, chs, st.sampled_from(FEATURES))


def words(which, verb, size, n, seed):
    """`n` units of `size` bytes read or written at the data port, in bursts of at most a block."""
    line = f"{verb}{LETTER[size]} {BASES[which]:#x}"
    if verb == "out":
        return "disk", [[f"{line} {(seed + i) * 0x1234567 & (1 << 8 * size) - 1:#x}" for i in range(n)]]
    return "disk", [[line] * n]


data = st.builds(words, channel, st.sampled_from(["in", "out"]), st.sampled_from([2, 2, 4]),
                 st.sampled_from([1, 7, 128, 256, 256, 512, 700, 1024, 2048]), byte)


def register_reads(which):
    return "now", [f"inb {BASES[which] + n:#x}" for n in (1, 2, 3, 4, 5, 6, 7)] + [
        f"inb {(0x3F6, 0x376)[which]:#x}", f"inb {BUS_MASTER:#x}", f"inb {BUS_MASTER + 2:#x}", f"inb {BUS_MASTER + 8:#x}"]


reads = channel.map(register_reads)


def pio(opcode, device, sectors, where, chs_, moved, size, seed):
    """A command and its data: all of it, or as many words as `moved` says."""
    units = min(sectors or 256, 24) * 512 // size if moved is None else moved
    return [singly(task_file(0x1F0, opcode, device, sectors, where, chs_, 0)),
            words(0, "in" if opcode in PIO_IN else "out", size, units, seed), register_reads(0)]


transfer = st.builds(pio, st.sampled_from(PIO_IN + PIO_OUT), select, count, lba, chs,
                     st.sampled_from([None, None, None, 1, 255, 600]), st.sampled_from([2, 4, 4]), byte)
control = st.builds(lambda which, value: singly([f"outb {(0x3F6, 0x376)[which]:#x} {value:#x}"]), channel,
                    st.sampled_from([0, 0, 2, 4, 6, 8, 0x80, 0x82]))
any_register = st.builds(lambda which, n, value: singly([f"outb {BASES[which] + n:#x} {value:#x}"]), channel,
                         st.integers(1, 6), byte)
any_opcode = st.builds(lambda which, opcode: singly([f"outb {BASES[which] + 7:#x} {opcode:#x}"]), channel, byte.filter(lambda opcode: opcode not in (DIAGNOSE, INITIALIZE_PARAMETERS)))
smart = st.builds(lambda device, feature, sector: singly(
    task_file(0x1F0, 0xB0, device | 0x40, 1, 0xC24F00 | sector, (0, 0, 0), feature)),
    st.just(0xA0), st.sampled_from([0xD0, 0xD1, 0xD2, 0xD4, 0xD5, 0xD6, 0xD8, 0xD8, 0xD9, 0xDA]),
    st.sampled_from([0, 1, 2, 6, 0xF1, 0x80]))


def programs(*parts, most):
    """Steps, or lists of steps that belong together, as one flat list of steps."""
    return st.lists(st.one_of(*parts), min_size=most // 2, max_size=most).map(
        lambda program: [step for part in program for step in (part if isinstance(part, list) else [part])])


@fixed
@given(program=programs(*[transfer] * 6, data, reads, command(PIO_IN + PIO_OUT), command(PLAIN), control, most=24))
def test_pio(disks, program):
    compare(disks, [*program, register_reads(0), register_reads(1)])


@fixed
@given(program=programs(any_register, any_opcode, any_opcode, command(PLAIN), command([0xEF, 0xC6, 0x91, 0xF8]), smart,
                        control, reads, reads, data, most=60))
def test_any_opcode(disks, program):
    compare(disks, [*program, register_reads(0), register_reads(1)])


@fixed
@given(program=programs(*[transfer] * 6, data, reads, command([0xEC, 0xC6, 0xEF, 0xE7, 0x98]), control, most=24))
def test_two_disks(pairs, program):
    compare(pairs, [*program, register_reads(0), register_reads(1)])


def test_the_diagnostic_of_two_disks(pairs):
    """Whoever is selected: device 0 answers, DEV is 0.  (Its own registers QEMU leaves alone if device 1 was selected.)"""
    signature = [f"inb {0x1F0 + n:#x}" for n in (6, 1, 2, 3, 4, 5, 7)]
    for device in (0xA0, 0xB0, 0xF5):
        compare(pairs, [singly([f"outb 0x1f6 {device:#x}", "outb 0x1f7 0x90"]), ("now", signature),
                        singly(["outb 0x1f6 0xf0"]), ("now", signature[2:])][:None if device & 0x10 else 2])


# --- bus master ---------------------------------------------------------------------------

# Within RAM and clear of the holes below 1 MiB, which this board doesn't have.
address = st.one_of(st.integers(0x100000, 0xF00000), st.integers(0x100, 0xF00).map(lambda page: page << 12))
length = st.one_of(st.sampled_from([512, 512, 1024, 2048, 4096, 8192, 0, 2, 510]), st.integers(0, 0xFFFF))
descriptor = st.tuples(address, length, st.booleans())
TABLE = 0xF80000


def dma(opcode, device, sectors, where, chs_, entries, start_first, at, fill):
    """One transfer: table, task file, START and its end; then the memory it may have touched."""
    entries = [*entries[:-1], (*entries[-1][:2], True)]
    table = b"".join(struct.pack("<II", a, n | last << 31) for a, n, last in entries)
    spans = [(a, min(n or 0x10000, 4096)) for a, n, _ in entries]
    direction = 8 if opcode in DMA_IN else 0
    commands = task_file(0x1F0, opcode, device, sectors, where, chs_, 0)
    start = [f"outb {BUS_MASTER:#x} {direction | 1:#x}"]
    both = start + commands if start_first else commands + start
    return [
        ("now", [*(f"memset {a:#x} {n} {fill + i & 0xFF}" for i, (a, n) in enumerate(spans)),
                 f"b64write {TABLE + at:#x} {len(table)} {base64.b64encode(table).decode()}"]),
        singly([f"outl {BUS_MASTER + 4:#x} {TABLE + at:#x}", *both]),
        register_reads(0),
        ("now", [f"b64read {a:#x} {n}" for a, n in spans]),
        singly([f"outb {BUS_MASTER:#x} {direction:#x}", f"outb {BUS_MASTER + 2:#x} 0x64"]),
    ]


transfers = st.builds(dma, st.sampled_from(DMA_IN + DMA_OUT), st.sampled_from([0xE0, 0xE0, 0xE0, 0xA0, 0xF0]),
                      st.one_of(st.integers(1, 8), st.integers(1, 40)), lba, chs,
                      st.lists(descriptor, min_size=1, max_size=6), st.booleans(),
                      st.integers(0, 1000).map(lambda n: 4 * n), byte)
bus_master_lines = st.builds(lambda line: singly([line]), st.one_of(
    st.builds(lambda at, value: f"outb {BUS_MASTER + at:#x} {value:#x}", st.sampled_from([0, 2, 8, 10]), byte),
    st.builds(lambda at, value: f"outl {BUS_MASTER + at:#x} {value:#x}", st.just(12), st.integers(0, 0xFFFFFFFF))))
bus_master_reads = st.builds(lambda letter, at: ("now", [f"in{letter} {BUS_MASTER + at:#x}"]),
                             st.sampled_from("bwl"), st.integers(0, 15))


@fixed
@given(program=programs(*[transfers] * 6, bus_master_reads, bus_master_lines, control, reads, most=20))
def test_bus_master(disks, program):
    compare(disks, [*program, register_reads(0), register_reads(1)])
