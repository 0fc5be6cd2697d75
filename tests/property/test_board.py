"""A hostile guest on the whole board: any port, any size, any value, any order, while time passes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.uart import UartDriver
from vmio.hypervisor.host import Host
from vmio.hypervisor.vcpu import GuestFault
from vmio.machine.storage import Image

PORTS = [*range(0x20, 0x22), *range(0x40, 0x44), 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xA0, 0xA1, 0x4D0, 0x4D1,
         *range(0x3F8, 0x400), *range(0x1F0, 0x1F8), 0x3F6, *range(0x170, 0x178), 0x376, *range(0xCF8, 0xD00),
         *range(0xC000, 0xC010)]
ACCESS = st.tuples(st.one_of(st.sampled_from(PORTS), st.integers(0, 0xFFFF)), st.sampled_from((1, 2, 4)),
                   st.booleans(), st.one_of(st.sampled_from((0, 1, 8, 9, 0x20, 0xC8, 0xCA, 0x8000_0920, 0xC001)),
                                            st.integers(0, 0xFFFF_FFFF)))
STEP = st.one_of(ACCESS, st.integers(0, 50_000_000))


def machine(host):
    guest = host.guest(ram_mib=2)
    disk = AtaDisk(Image.open(bytes(range(256)) * 2 * 64))
    board = Board(guest, (disk,), service=lambda kind, n, done: guest.clock.call_later(1000, done))
    return guest, board


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(STEP, max_size=80))
def test_nothing_escapes_the_bus_and_a_reset_cures_it(steps):
    host = Host(memory_mib=16)
    guest, board = machine(host)
    other, other_board = machine(host)
    other.cpu.write(0x1000, b"canary")
    before = other_board.uart.save(), other_board.pit.save(), other_board.ata[0].save(), other_board.pci.save()
    cpu = guest.cpu
    cpu.cli()
    for step in steps:
        if isinstance(step, int):
            cpu.compute(step)
            continue
        port, size, write, value = step
        if write:
            {1: cpu.outb, 2: cpu.outw, 4: cpu.outl}[size](port, value & (1 << 8 * size) - 1)
        else:
            got = {1: cpu.inb, 2: cpu.inw, 4: cpu.inl}[size](port)
            assert 0 <= got < 1 << 8 * size
        cpu.insw(port, 0x4000, 7)
        cpu.outsb(port, 0x4000, 3)
    assert other.cpu.read(0x1000, 6) == b"canary"
    assert before == (other_board.uart.save(), other_board.pit.save(), other_board.ata[0].save(),
                      other_board.pci.save())
    assert other.cpu.exits.total == 0

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
    try:
        host.run((cpu, honest))
    except GuestFault:   # the only thing that a guest may suffer is its own fault
        raise AssertionError("an honest driver failed after the reset") from None
    assert bytes(board.uart.sent) == b"alive"
