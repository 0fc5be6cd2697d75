"""Every chip on the board, through the ports of a vCPU, while time passes."""

from tests.fuzz.engine import number
from tests.board_rig import DISK, PORTS, machine
from vmio import modes
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.uart import UartDriver

# What drivers write: good words for each chip, by port.
GOOD = {0x20: (0x11, 0x20, 0x0A, 0x0B, 0x68, 0x60), 0x21: (0x20, 4, 1, 0, 0xFF), 0x43: (0x34, 0x36, 0xB6, 0, 0xC2, 0xE2, 0x30),
        0x40: (0, 1, 2, 0xFF), 0x60: (0xF4, 0xFF, 0xF2, 0xED, 0xF0, 0x02), 0x64: (0x20, 0x60, 0xA7, 0xAA, 0xAB, 0xD1, 0xD4, 0xFE),
        0x70: tuple(range(0x10)), 0x71: (0x80, 0x06, 0x26, 0x7F, 0x12), 0xA0: (0x11, 0x20, 0x0B), 0xA1: (0x28, 2, 1),
        0x92: (0, 1, 2, 3), 0x61: (0, 1, 3), 0x3F9: (0, 1, 2, 15), 0x3FA: (1, 7, 0xC7), 0x3FB: (3, 0x83, 0x40), 0x3FC: (0, 8, 0x1B),
        0xCF8: (0x8000_0000, 0x8000_0904, 0x8000_0920, 0x8000_0860), 0xCFC: (0, 5, 7, 0xC001, 0xFFFF_FFFF)}


KINDS = ("time",) + ("out",) * 7 + ("in",) * 3 + ("string", "mouse")


class Machine:
    """Two boards in one host; the second is the neighbour's, and must not notice."""

    def __init__(self, dice):
        self.host = modes.Machine(memory_mib=16).host
        self.guest, self.board = machine(self.host)
        self.other, board = machine(self.host)
        self.other.cpu.write(0x1000, b"canary")
        self.parts = board.uart, board.pit, board.ata[0], board.pci, board.rtc, board.pic
        self.before = [part.save() for part in self.parts]
        self.guest.cpu.cli()

    def step(self, dice, kind):
        cpu = self.guest.cpu
        if kind == "time":
            cpu.compute(dice.choice((100, 10_000, 1_000_000, dice.randrange(20_000_000))))
            return kind, self.board.int_line.level
        if kind == "mouse":         # a command to the mouse, whose answer nobody fetches
            cpu.outb(0x64, 0xD4)
            cpu.outb(0x60, dice.choice((0xE9, 0xE9, 0xFF, 0xF2, 0xF4, dice.randrange(256))))
            return kind, len(self.board.kbc.mouse.queue)
        if kind == "out":
            port = dice.choice(tuple(GOOD) if dice.random() < 0.7 else PORTS)
            size = dice.choice((1, 1, 1, 1, 2, 4)) if port < 0xCF8 else dice.choice((4, 4, 4, 2, 1))
            if dice.random() < 0.05:
                port = dice.randrange(0x1_0000)
            value = dice.choice(GOOD.get(port, (0, 1))) if dice.random() < 0.8 else number(dice, 8 * size)
            {1: cpu.outb, 2: cpu.outw, 4: cpu.outl}[size](port, value & (1 << 8 * size) - 1)
            return kind, port if port in PORTS else 0, size
        port, size = dice.choice(PORTS), dice.choice((1, 1, 1, 2, 4))
        if kind == "in":
            got = {1: cpu.inb, 2: cpu.inw, 4: cpu.inl}[size](port)
            assert 0 <= got < 1 << 8 * size
            return kind, port, size, got & 0xFF
        if dice.random() < 0.5:
            cpu.insw(port, 0x4000, dice.randrange(1, 40))
        else:
            cpu.outsb(port, 0x4000, dice.randrange(1, 40))
        return kind, port

    def check(self):
        """What a guest makes the chips remember has an end."""
        board = self.board
        assert len(self.guest.clock._heap) < 300, "timers without end"
        queues = board.kbc.keyboard.queue, board.kbc.mouse.queue, board.uart._rx, board.uart._tx
        assert all(len(queue) <= 20 for queue in queues), "a queue without end"
        assert all(0 <= cell <= 0xFF for chip in (board.pic.master, board.pic.slave) for cell in (chip.irr, chip.isr, chip.imr))

    def end(self):
        """The other board is as it was, and this one works after a reset."""
        assert self.other.cpu.read(0x1000, 6) == b"canary" and self.other.cpu.exits.total == 0
        assert [part.save() for part in self.parts] == self.before
        board, guest = self.board, self.guest
        board.reset()
        guest.clock.advance_to(guest.clock.now + 1_000_000)

        def honest(cpu):
            pic.init(cpu)
            uart = UartDriver(cpu)
            uart.init()
            board.uart.sent.clear()
            uart.write(b"alive")
            disk = AtaDriver(cpu)
            yield from disk.init()
            yield from disk.read(0, 1, 0x8000)
            yield from cpu.pay()
        self.host.run((guest.cpu, honest))
        assert bytes(board.uart.sent) == b"alive" and guest.cpu.read(0x8000, 512) == DISK[:512]
