"""An NVMe controller over memory of its own, driven by its registers: queues, commands, answers."""

import struct

from vmio.devices.board import Board
from vmio.hardware.nvme.controller import NvmeController
from vmio.hardware.nvme.pci import NvmeFunction
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import HostMemory
from vmio.machine.storage import Image
from vmio.modes import one_guest

MASK = (1 << 64) - 1
BASE = 0xE000_0000
DISK = b"".join(struct.pack("<64Q", *[(lba * 0x9E3779B97F4A7C15 + i * 0x0101010101010101) & MASK for i in range(64)])
                for lba in range(2048))
CREATE_SQ, CREATE_CQ, IDENTIFY, SET_FEATURES, EVENT = 0x01, 0x05, 0x06, 0x09, 0x0C
FLUSH, WRITE, READ, COMPARE, ZERO = 0x00, 0x01, 0x02, 0x05, 0x08


def board_with_nvme():
    """A PC with the controller in slot 3, as the recording's QEMU had it."""
    guest = one_guest(ram_mib=16).guest
    board = Board(guest)
    controller = NvmeController(guest.clock, guest.memory, Image.open(DISK), fetch_ns=0)
    board.plug(3, NvmeFunction(controller), "nvme")
    return guest, controller


class Bench:
    """A controller on bare memory, and the least driver that can talk to it."""

    ASQ, ACQ, SQ, CQ, BUFFER = 0x10000, 0x11000, 0x12000, 0x13000, 0x40000

    def __init__(self, service=None, interrupt="message", entries=8):
        self.memory = HostMemory(4 << 20)
        self.image = Image.open(DISK)
        self.messages = []
        self.line = Line()
        to = {"message": self.messages.append, "line": self.line, "none": None}[interrupt]
        self.chip = NvmeController(Clock(), self.memory, self.image, to, service)
        self.entries = entries
        self.enable()

    def enable(self, cc=0x460001):
        self.id, self.rings = 0, {0: [0, 0, 1, self.ASQ, self.ACQ, self.entries]}
        self.memory.write(self.ACQ, bytes(4096))
        for offset, value in ((0x24, (self.entries - 1) * 0x10001), (0x28, self.ASQ), (0x2C, 0), (0x30, self.ACQ),
                              (0x34, 0), (0x14, cc)):
            self.chip.write(offset, 4, value)
        return self.chip.read(0x1C, 4)

    def io_queue(self, entries=4, vector=1, interrupts=True):
        self.memory.write(self.CQ, bytes(4096))
        ring = 1 | entries - 1 << 16
        assert self.ask(0, CREATE_CQ, prp1=self.CQ, d10=ring, d11=1 | interrupts << 1 | vector << 16) == 0
        assert self.ask(0, CREATE_SQ, prp1=self.SQ, d10=ring, d11=1 | 1 << 16) == 0
        self.rings[1] = [0, 0, 1, self.SQ, self.CQ, entries]
        self.messages.clear()

    def put(self, queue, opcode, nsid=0, prp1=0, prp2=0, d10=0, d11=0, d12=0, flags=0):
        ring = self.rings[queue]
        self.id += 1
        self.memory.write(ring[3] + 64 * ring[0], struct.pack("<BBHI16xQQ6I", opcode, flags, self.id, nsid, prp1, prp2,
                                                              d10, d11, d12, 0, 0, 0))
        ring[0] = (ring[0] + 1) % ring[5]

    def ring(self, queue):
        self.chip.write(0x1000 + 8 * queue, 4, self.rings[queue][0])

    def answers(self, queue, acknowledge=True):
        """[(status, id, result, SQ head), ...] that are new."""
        ring, found = self.rings[queue], []
        for _ in range(ring[5]):
            result, _, head, _, id, status = struct.unpack("<IIHHHH", self.memory.read(ring[4] + 16 * ring[1], 16))
            if status & 1 != ring[2]:
                break
            found.append((status >> 1, id, result, head))
            ring[1] = (ring[1] + 1) % ring[5]
            ring[2] ^= ring[1] == 0
        if found and acknowledge:
            self.chip.write(0x1004 + 8 * queue, 4, ring[1])
        return found

    def ask(self, queue, opcode, **fields):
        """One command: its status (11 bits)."""
        self.put(queue, opcode, **fields)
        self.ring(queue)
        (status, _, self.result, _), = self.answers(queue)
        return status & 0x7FF

    def io(self, opcode, lba, sectors, prp1=None, prp2=0, **fields):
        return self.ask(1, opcode, nsid=1, prp1=self.BUFFER if prp1 is None else prp1, prp2=prp2,
                        d10=lba & 0xFFFFFFFF, d11=lba >> 32, d12=sectors - 1, **fields)
