"""SRST and the diagnostic: what they cancel, and who answers (ATA/ATAPI-6, T13/1410D, 8.11 and 9.3)."""

import struct

import pytest

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.ata.channel import AtaChannel, AtaDisk
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import HostMemory
from vmio.machine.storage import Image

READ_DMA, WRITE_DMA, READ, WRITE = 0xC8, 0xCA, 0x20, 0x30
BUFFER, TABLE = 0x10000, 0x8000
SECTORS = 256


class Rig:
    """A channel with its bus master; with `later` each access of the medium, and a reset, ends when `finish` says so."""

    def __init__(self, later=False, slave=False, master=True):
        self.queue, self.line = [], Line("irq14")
        self.images = [Image.open(bytes([fill]) * 512 * SECTORS) for fill in (0x4D, 0x53)]
        disks = tuple(AtaDisk(image) if there else None for image, there in zip(self.images, (master, slave)))
        service = (lambda op, sectors, done: self.queue.append(done)) if later else None
        self.channel = AtaChannel(Clock(), self.line, disks, service)
        self.memory = HostMemory(1 << 20)
        self.bm = BusMaster(self.channel, AtaChannel(Clock(), Line("irq15")), self.memory)
        self.memory.write(BUFFER, b"\xEE" * 512)
        self.memory.write(TABLE, struct.pack("<II", BUFFER, 512 | 1 << 31))
        self.bm.write(4, 4, TABLE)

    def out(self, register, value):
        self.channel.command.write(register, 1, value)

    def read(self, register):
        return self.channel.command.read(register, 1)

    def issue(self, opcode, device=0xE0, count=1):
        for register, value in ((6, device), (1, 0), (2, count), (3, 5), (4, 0), (5, 0), (7, opcode)):
            self.out(register, value)

    def act(self, step):
        """One write of a driver, or `finish`: the oldest access of the medium ends."""
        if step == "finish":
            self.queue.pop(0)()
        else:
            {"read": lambda: self.issue(READ_DMA), "write": lambda: self.issue(WRITE_DMA),
             "read slave": lambda: self.issue(READ_DMA, device=0xF0),
             "reset": lambda: self.channel.control.write(0, 1, 0x04), "end": lambda: self.channel.control.write(0, 1, 0x00),
             "start": lambda: self.bm.write(0, 1, 0x09), "stop": lambda: self.bm.write(0, 1, 0x08)}[step]()

    def play(self, program):
        for step in program.split(", "):
            self.act(step)

    @property
    def moved(self):
        """Has a byte of the buffer or of a disk changed?"""
        return (self.memory.read(BUFFER, 512) != b"\xEE" * 512
                or any(image.read(5, 1) != bytes([fill]) * 512 for image, fill in zip(self.images, (0x4D, 0x53))))


ORDERS = ["reset, end, start", "reset, start, end", "reset, start, stop, start, end", "reset, end, start, stop, start",
          "reset, reset, start, end"]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("command", ["read", "write", "read slave"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_reset_cancels_an_armed_transfer_whatever_follows(order, command, later):
    """A START finds nothing to do, before the reset has ended and after."""
    rig = Rig(later, slave=True)
    rig.act(command)
    assert rig.channel.control.read(0, 1) == 0x58
    rig.play(order)
    while rig.queue:
        rig.act("finish")
    assert not rig.moved and rig.channel.dma.kind is None
    assert (rig.read(7), rig.read(1)) == (0x50, 1)
    rig.play("stop")
    rig.issue(READ_DMA)                       # and the next command is served as ever
    rig.play("start")
    while rig.queue:
        rig.act("finish")
    assert rig.memory.read(BUFFER, 512) == b"\x4D" * 512


@pytest.mark.parametrize("when", range(1, 4))
@pytest.mark.parametrize("order", ORDERS)
def test_the_medium_may_end_the_reset_between_any_two_writes(order, when):
    rig = Rig(later=True)
    rig.act("read")
    for n, step in enumerate(order.split(", ")):
        rig.act(step)
        if n + 1 == when and rig.queue:
            rig.act("finish")
    while rig.queue:
        rig.act("finish")
    assert not rig.moved and rig.read(7) == 0x50


def test_a_command_during_the_reset_is_not_heard():
    rig = Rig(later=True)
    rig.play("read, reset, read, start, finish")
    assert not rig.queue and not rig.moved and rig.channel.dma.kind is None
    rig.act("read")                           # ACTIVE has waited for a command since that START
    rig.act("finish")
    assert rig.memory.read(BUFFER, 512) == b"\x4D" * 512


def test_a_transfer_that_has_begun_is_whole_when_the_reset_begins():
    rig = Rig(later=True)
    rig.play("read, start, reset")
    assert rig.memory.read(BUFFER, 512) == b"\x4D" * 512 and rig.channel.control.read(0, 1) == 0xD0
    rig.act("finish")                         # the medium's news comes too late to matter
    assert rig.channel.control.read(0, 1) == 0xD0
    rig.play("read")                          # still busy: not heard
    rig.act("finish")
    assert (rig.channel.control.read(0, 1), rig.channel.dma.kind, rig.read(3)) == (0x50, None, 1)


@pytest.mark.parametrize("opcode", [READ, WRITE])
def test_the_data_port_is_dead_from_the_edge_on(opcode):
    rig = Rig(later=True)
    rig.issue(opcode)
    if opcode == READ:
        rig.act("finish")
    assert rig.channel.control.read(0, 1) == 0x58
    rig.act("reset")
    for n in range(256):
        rig.channel.command.write(0, 2, n) if opcode == WRITE else rig.channel.command.read(0, 2)
    assert len(rig.queue) == 1 and not rig.moved and rig.channel.control.read(0, 1) == 0xD0
    rig.act("finish")
    assert rig.channel.control.read(0, 1) == 0x50 and not rig.queue


@pytest.mark.parametrize("device", [0xA0, 0xB0, 0xE5, 0xFF])
@pytest.mark.parametrize("slave", [False, True])
def test_the_diagnostic_is_answered_by_device_0_whoever_is_selected(device, slave):
    """8.11: DEV is ignored; both run it, and device 0's registers, with DEV 0, have the result."""
    rig = Rig(slave=slave)
    rig.out(6, device)
    rig.out(2, 9), rig.out(4, 7)
    rig.out(7, 0x90)
    assert (rig.line.level, rig.read(6), rig.read(1)) == (1, 0xA0, 1)
    assert (rig.channel.devices[1].count, rig.channel.devices[1].low) == ((1, 0) if slave else (9, 7))   # nobody ran it there
    assert [rig.read(n) for n in (2, 3, 4, 5, 7)] == [1, 1, 0, 0, 0x50] and rig.line.level == 0
    rig.issue(READ_DMA, device=0xE0)
    rig.act("start")
    assert rig.memory.read(BUFFER, 512) == b"\x4D" * 512
    rig.out(6, 0xB0)
    assert (rig.read(7), rig.read(2)) == (0x50, 1) if slave else (0, 1)
    if slave:
        rig.out(7, 0x90)
        rig.out(6, 0xB0)
        assert [rig.read(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("device, raised", [(0xA0, 1), (0xB0, 0)])
def test_the_diagnostic_of_an_empty_channel(device, raised):
    """As QEMU: whoever selects the absent master gets an interrupt, and a status of 0."""
    rig = Rig(master=False)
    rig.out(6, device)
    rig.out(7, 0x90)
    assert (rig.line.level, rig.channel.control.read(0, 1)) == (raised, 0)


def test_a_busy_device_hears_no_diagnostic():
    rig = Rig(later=True)
    rig.play("read, start")
    rig.out(7, 0x90)
    rig.act("finish")
    assert rig.memory.read(BUFFER, 512) == b"\x4D" * 512 and rig.read(3) == 6


@pytest.mark.parametrize("offset", range(1, 5))
def test_a_double_word_across_registers_is_four_bytes(offset):
    """As an ISA bus splits it, low first: a write from 4 on ends with the command."""
    rig, other = Rig(), Rig()
    rig.channel.command.write(offset, 4, 0xEFE30201)
    for n, value in enumerate((0x01, 0x02, 0xE3, 0xEF)):
        other.out(offset + n, value)
    assert rig.channel.command.save() == other.channel.command.save()
    wanted = sum(other.read(offset + n) << 8 * n for n in range(4))
    assert rig.channel.command.read(offset, 4) == wanted and rig.line.level == other.line.level
