"""An NVMe controller whose DMA sees a window of memory, and secrets around it."""

import struct

from vmio.hardware.nvme.controller import NvmeController
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import READ, WRITE, AddressSpace, PageTable
from vmio.machine.storage import Image

WINDOW = 64 * 4096            # what the device may reach, at IOVA 0
SECRET = b"\x5A" * 4096


class Prison:
    """A controller whose DMA reaches `WINDOW` bytes, of which one page is read-only; around it secrets."""

    def __init__(self, slow):
        memory = HostMemory(2 << 20)
        self.below = memory.allocate(1)
        spa = memory.allocate(WINDOW // 4096)
        self.above = memory.allocate(1)
        for at in (self.below, self.above, spa + 0x6000):
            memory.write(at, SECRET)
        table = PageTable(memory)
        table.map(0, spa, WINDOW, READ | WRITE)
        table.map(0x6000, spa + 0x6000, 4096, READ)
        self.host_memory, self.read_only = memory, spa + 0x6000
        self.memory, self.pending, self.messages = AddressSpace(memory, table), [], []
        service = (lambda op, sectors, done: self.pending.append(done)) if slow else None
        self.chip = NvmeController(Clock(), self.memory, Image.open(bytes(512 * 64)), self.messages.append, service)
        for offset, value in ((0x24, 0x70007), (0x28, 0x1000), (0x30, 0x2000), (0x14, 0x460001)):
            self.chip.write(offset, 4, value)
        self.tails = [0, 0]
        self.command(0, (5, 0, 1, 0, 0x3000, 0, 0x70001, 0x10003, 0))
        self.command(0, (1, 0, 2, 0, 0x4000, 0, 0x70001, 0x10001, 0))

    def command(self, queue, fields):
        *head, d10, d11, d12 = fields
        at = (0x1000, 0x4000)[queue] + 64 * self.tails[queue]
        self.memory.write(at, struct.pack("<BBHI16xQQ6I", *head, d10, d11, d12, 0, 0, 0))
        self.tails[queue] = (self.tails[queue] + 1) % 8
        self.chip.write(0x1000 + 8 * queue, 4, self.tails[queue])
        self.chip.write(0x1004 + 8 * queue, 4, self.tails[queue])

    def do(self, step):
        kind, *rest = step
        try:
            if kind == "write":
                offset, size, value = rest
                self.chip.write(offset, size, value & (1 << 8 * size) - 1)
            elif kind == "read":
                assert 0 <= self.chip.read(*rest) < 1 << 8 * rest[1]
            elif kind == "bell":
                self.chip.write(0x1000 + 4 * rest[0], 4, rest[1])
            elif kind == "list":
                self.memory.write(rest[0], struct.pack(f"<{len(rest[1])}Q", *rest[1])[:WINDOW - rest[0]])
            elif kind == "done":
                if self.pending:
                    self.pending[rest[0] % len(self.pending)]()
            else:
                self.command(kind == "io", rest[0])
        except BadAccess:
            pass
