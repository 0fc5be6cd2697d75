"""The guest drivers on the board: every way to move data, errors, absent devices."""

import itertools

import pytest

from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver, AtaError
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.uart import UartDriver
from vmio.modes import one_guest
from vmio.modes.disk_emulated import BUS_MASTER, map_bus_master
from vmio.machine.storage import Image

SECTORS = 2048


def machine(disks=None, **board):
    guest = one_guest(ram_mib=4).guest
    if disks is None:
        disks = (AtaDisk(Image.open(b"".join(n.to_bytes(2, "little") * 256 for n in range(SECTORS)))),)
    return Board(guest, disks, service=lambda kind, n, done: guest.clock.call_later(20_000, done), **board)


def run(board, program):
    def whole(cpu):
        map_bus_master(cpu)
        pic.init(cpu)
        return (yield from program(cpu))
    return board.guest.host.run((board.guest.cpu, whole))[0]


WAYS = [dict(transfer=t, string=s, width=w, interrupts=i)
        for t, s, w, i in itertools.product(("pio", "multiple", "dma"), (True, False), (2, 4), (True, False))
        if t != "dma" or (s and w == 2)]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(str(v) for v in way.values()))
def test_every_way_reads_writes_and_flushes_the_same_bytes(way):
    board = machine()

    def program(cpu):
        disk = AtaDriver(cpu, bus_master=BUS_MASTER if way["transfer"] == "dma" else None, **way)
        identity = yield from disk.init()
        assert (identity.sectors, identity.lba48, identity.serial) == (SECTORS, True, "VMIO0001")
        yield from disk.read(100, 17, 0x10_0000)
        assert cpu.read(0x10_0000, 17 * 512) == b"".join(n.to_bytes(2, "little") * 256 for n in range(100, 117))
        cpu.write(0x11_FE00, bytes(range(256)) * 6)             # three sectors, across 64 KiB
        yield from disk.write(SECTORS - 3, 3, 0x11_FE00)
        yield from disk.flush()
        yield from disk.read(SECTORS - 4, 4, 0x13_0000)
        return cpu.read(0x13_0000, 4 * 512)
    data = run(board, program)
    assert data == (SECTORS - 4).to_bytes(2, "little") * 256 + bytes(range(256)) * 6
    assert board.guest.cpu.spurious == 0


def test_long_transfers_take_the_48_bit_commands():
    board = machine()

    def program(cpu):
        disk = AtaDriver(cpu, transfer="dma", bus_master=BUS_MASTER, interrupts=True)
        yield from disk.init()
        yield from disk.read(1, 1000, 0x10_0000)
        return cpu.read(0x10_0000 + 999 * 512, 2)
    assert run(board, program) == (1000).to_bytes(2, "little")


@pytest.mark.parametrize("transfer,interrupts", list(itertools.product(("pio", "dma"), (True, False))))
def test_a_range_error_is_reported_and_the_next_command_works(transfer, interrupts):
    def program(cpu):
        disk = AtaDriver(cpu, transfer=transfer, bus_master=BUS_MASTER, interrupts=interrupts)
        yield from disk.init()
        with pytest.raises(AtaError, match=f"LBA {SECTORS}: status 0x41, error 0x04"):
            yield from disk.read(SECTORS, 8, 0x10_0000)
        yield from disk.read(7, 1, 0x10_0000)
        return cpu.load(0x10_0000, 2)
    assert run(machine(), program) == 7


@pytest.mark.parametrize("where", [{"unit": 1}, {"base": 0x170, "control": 0x376}, {"base": 0x500, "control": 0x510}])
def test_an_absent_disk_is_a_time_out_not_a_hang(where):
    def program(cpu):
        with pytest.raises(DriverTimeout, match="no disk"):
            yield from AtaDriver(cpu, **where).init()
    run(machine(), program)


def test_a_disk_that_dies_in_a_command_is_a_time_out():
    guest = one_guest(ram_mib=4).guest
    board = Board(guest, (AtaDisk(Image.open(bytes(512 * 64))),), service=lambda kind, n, done: None)

    def program(cpu, interrupts):
        disk = AtaDriver(cpu, interrupts=interrupts)
        yield from disk.init()
        with pytest.raises(DriverTimeout, match="20h"):
            yield from disk.read(0, 1, 0x10_0000)
    for interrupts in (False, True):
        board.reset()
        run(board, lambda cpu: program(cpu, interrupts))


@pytest.mark.parametrize("bad", [dict(transfer="warp"), dict(width=3), dict(transfer="dma")])
def test_driver_parameters_are_checked(bad):
    with pytest.raises(ValueError):
        AtaDriver(machine().guest.cpu, **bad)


def test_transfers_are_checked_before_any_exit():
    board = machine()
    cpu = board.guest.cpu
    for lba, sectors in ((-1, 1), (0, 0), (0, 65_537)):
        with pytest.raises(ValueError, match="sectors"):
            list(AtaDriver(cpu).read(lba, sectors, 0))
    assert cpu.exits.total == 0


# The UART.

@pytest.mark.parametrize("fifo", [True, False])
@pytest.mark.parametrize("pace", ["instant", "baud"])
def test_uart_sends_by_polling_by_string_and_by_interrupt(fifo, pace):
    board = machine(uart_pace=pace)
    text = bytes(range(1, 101))

    def program(cpu):
        uart = UartDriver(cpu)
        uart.init(baud=115_200, fifo=fifo, interrupts=True)
        uart.write(text)
        cpu.write(0x1000, text)
        uart.write_string(0x1000, len(text))
        yield from uart.write_by_interrupt(text)
        yield from cpu.hlt(timeout_ns=3_000_000)                # the last bytes are still on the wire
    run(board, program)
    assert bytes(board.uart.sent) == 3 * text


def test_exits_per_byte_fall_with_the_fifo_and_string_io():
    counts = {}
    for name, fifo, string in (("bytes", False, False), ("fifo", True, False), ("string", True, True)):
        board = machine()
        cpu = board.guest.cpu
        uart = UartDriver(cpu)
        uart.init(fifo=fifo)
        cpu.write(0x1000, bytes(160))
        before = cpu.exits.total
        if string:
            uart.write_string(0x1000, 160)
        else:
            uart.write(bytes(160))
        counts[name] = cpu.exits.total - before
    assert counts == {"bytes": 2 * 160, "fifo": 160 + 10, "string": 10 + 10}


def test_uart_receives_by_polling_and_by_interrupt():
    board = machine()
    board.uart.receive(b"hello")

    def program(cpu):
        uart = UartDriver(cpu)
        uart.init(interrupts=True)
        board.uart.receive(b"hello")                            # init cleared the FIFO
        polled = uart.read(5)
        board.uart.receive(b"by interrupt")
        slept = yield from uart.read_by_interrupt(12)
        with pytest.raises(DriverTimeout, match="0 of 1"):
            uart.read(1, timeout_ns=1_000_000)
        return polled, slept
    assert run(board, program) == (b"hello", b"by interrupt")


def test_uart_overrun_is_reported():
    board = machine()

    def program(cpu):
        uart = UartDriver(cpu)
        uart.init()
        board.uart.receive(bytes(20))
        uart.read(16)
        return uart.errors
        yield
    assert run(board, program) == ["overrun"]


def test_absent_uart_and_impossible_rates():
    cpu = machine().guest.cpu
    with pytest.raises(DriverTimeout, match="no UART at port 0x2f8"):
        UartDriver(cpu, base=0x2F8).init()
    for baud in (0, 7, 230_400):
        with pytest.raises(DriverError, match=str(baud)):
            UartDriver(cpu).init(baud=baud)
