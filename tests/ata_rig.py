"""An ATA channel with two disks, its neighbour, and the bus master over memory of their own."""

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.ata.channel import AtaChannel, AtaDisk
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import HostMemory
from vmio.machine.storage import Image

SECTORS = 64
RAM = 1 << 17
COMMANDS = [0x06, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x42, 0x90, 0x91, 0xB0, 0xC4, 0xC5, 0xC6,
            0xC8, 0xCA, 0xE7, 0xEC, 0xEF, 0xF8]


class Rig:
    def __init__(self, later=False):
        self.queue = []
        service = (lambda op, sectors, done: self.queue.append(done)) if later else None
        self.images = [Image.open(bytes([n]) * 512 * SECTORS) for n in range(3)]
        disks = [AtaDisk(image) for image in self.images]
        self.lines = Line("irq14"), Line("irq15")
        self.first = AtaChannel(Clock(), self.lines[0], disks[:2], service)
        self.other = AtaChannel(Clock(), self.lines[1], (disks[2], None), service)
        self.memory = HostMemory(RAM)
        self.bm = BusMaster(self.first, self.other, self.memory)

    def settle(self):
        while self.queue:
            self.queue.pop(0)()

    def command(self, opcode, lba, count, device=0xE0):
        for register, value in ((6, device | lba >> 24), (2, count & 0xFF), (3, lba & 0xFF), (4, lba >> 8 & 0xFF),
                                (5, lba >> 16 & 0xFF), (7, opcode)):
            self.first.command.write(register, 1, value)
        self.settle()

    def read(self, lba, count, device=0xE0):
        self.command(0x20, lba, count, device)
        data = b""
        for _ in range(count):
            data += self.first.command.read_block(2, 256)
            self.settle()
        return data

    def write(self, lba, data):
        self.command(0x30, lba, len(data) // 512)
        for at in range(0, len(data), 512):
            assert self.first.command.write_block(4, data[at:at + 512]) == 512
            self.settle()


class Fence:
    """Memory that remembers where it was touched and how often."""

    def __init__(self, memory):
        self.memory, self.touches = memory, 0

    def read(self, address, length):
        self.touches += 1
        return self.memory.read(address, length)

    def write(self, address, data):
        self.touches += 1
        self.memory.write(address, data)
