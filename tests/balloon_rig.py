"""A guest of dynamic memory whose driver is a list of bytes: what it sends is packed by `struct`, with no layout of ours."""

import struct

from tests import guests
from tests.bus_rig import LIMIT
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.modes import Machine
from vmio.vmbus.balloon.dynamic import DynamicMemory

SECOND = 10**9
VERSION_2, VERSION_1, VERSION_03 = 0x20000, 0x10000, 3


def message(kind, body=b"", number=1, size=None):
    """A message: u16 type, u16 size, u32 number, then its body."""
    return struct.pack("<HHI", kind, 8 + len(body) if size is None else size, number) + body


def version(value=VERSION_2, last=0):
    return message(1, struct.pack("<HHI", value & 0xFFFF, value >> 16, last))


def capabilities(bits=0b11111):
    return message(3, struct.pack("<QQQ", bits, 0, (1 << 64) - 1))


def status(available, committed):
    return message(5, struct.pack("<QQQQII", available, committed, 0, 0, 0, 0))


def given(*ranges, more=0, count=None):
    words = [first | pages << 40 for first, pages in ranges]
    return message(7, struct.pack("<II", 0, more | (len(words) if count is None else count) << 1) + struct.pack(f"<{len(words)}Q", *words))


START = version(), capabilities()


class Rig:
    """`run(script)` plays a generator function of (rig, cpu) as the guest; `memory` is the host's half."""

    def __init__(self, ram_mib=64, memory_mib=512, host=None, **options):
        self.host = host or Machine(memory_mib=memory_mib).host
        self.guest, self.server = guests.on_a_bus(self.host, "bytes", ram_mib=ram_mib)
        self.memory = DynamicMemory(self.host, self.guest, **options)
        self.channel = self.memory.offer(self.server)
        self.got = []                   # payloads from the host, as they came

    def start(self, cpu, *messages):
        """Open the channel and say these."""
        self.client = VmBusClient(cpu, GuestPages(0x10_0000, 0x80_0000))
        yield from self.client.connect()
        self.offered, = yield from self.client.request_offers()
        self.end = yield from self.client.open(self.offered, pages=5, on_signal=self._look)
        for each in messages:
            yield from self.say(cpu, each)

    def _look(self, cpu):
        self.got += [packet.payload for packet in self.end.packets()]

    def say(self, cpu, payload, rest=1_000_000):
        """Send it, and see what comes within a millisecond."""
        yield from cpu.pay()
        self.end.send(payload)
        yield from self.rest(cpu, rest)

    @staticmethod
    def rest(cpu, ns=1_000_000):
        """Wait so long, whatever comes meanwhile."""
        until = cpu.now + ns
        while cpu.now < until:
            yield from cpu.hlt(until - cpu.now)

    def run(self, script):
        def program(cpu):
            yield from self.start(cpu, *START)
            return (yield from script(self, cpu))
        return self.host.run((self.guest.cpu, program), limit_ns=LIMIT)[0]
