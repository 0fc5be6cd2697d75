"""Guests to be replayed: for each class of driver a machine, a program, and what it needs of a real processor."""

import hashlib
from dataclasses import dataclass

from vmio.devices.ata import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.uart import FIFO, UartDriver
from vmio.kvm.record import record
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.workloads.disk import BUS_MASTER, pattern

TEXT = b"From the model to the processor and back.\r\n"
ANSWER = b"Received, thank you."
BUFFER, RESULT = 0x2_0000, 0x4_0000        # guest-physical: where the programs have their data


@dataclass(frozen=True)
class Case:
    """`machine(guest)` and `program(cpu)` as `record` takes them, the rest as `compile_record` does."""

    title: str
    machine: object
    program: object
    ram_mib: int = 1
    host_mib: int = 8
    doorbells: tuple = ()
    signals: str = "exit"

    def record(self):
        """Run it on the model."""
        return record(self.machine, self.program, self.ram_mib, self.host_mib)


def chips(board):
    """What `record` wants: how to ask each chip of a board for its state."""
    return {name: getattr(board, name).save for name in (
        "uart", "pic", "pit", "port61", "kbc", "rtc", "bus_master", "pci", "port92")} | {
        "primary ATA channel": board.ata[0].save, "secondary ATA channel": board.ata[1].save}


def contents(medium):
    """A digest of all that is on a medium."""
    return hashlib.sha256(medium.read(0, medium.sectors)).hexdigest()


# The UART.

def serial(pace="baud", answer=ANSWER, at=8_000_000):
    """A machine on whose COM1 `answer` arrives at `at` ns."""
    def machine(guest):
        board = Board(guest, uart_pace=pace)
        guest.clock.call_at(at, lambda: board.uart.receive(answer))
        return chips(board) | {"the line": lambda: bytes(board.uart.sent)}
    return machine


def talk(cpu):
    """Send by register, by interrupt and by REP OUTSB; receive by interrupt."""
    pic.init(cpu)
    uart = UartDriver(cpu)
    uart.init(interrupts=True)
    uart.write(TEXT[:8])
    yield from uart.write_by_interrupt(TEXT[8:])
    yield from cpu.hlt(2_000_000)           # until the FIFO is empty
    cpu.write(BUFFER, TEXT)
    uart.write_string(BUFFER, FIFO)
    received = yield from uart.read_by_interrupt(len(ANSWER))
    cpu.write(RESULT, received)
    return received


# The ATA disk.

def ata_machine(mib=1):
    """A board with an ATA disk whose requests take the time of the cost model's disk."""
    def machine(guest):
        clock, costs, disk = guest.clock, guest.host.costs, Overlay(pattern(mib))

        def service(kind, sectors, done):
            if kind in ("buffer", "reset"):
                done()
            else:
                clock.call_later(costs.disk_ns(kind, sectors), done)
        return chips(Board(guest, (AtaDisk(disk),), service)) | {"the disk": lambda: contents(disk)}
    return machine


def ata(transfer="pio", interrupts=True, sectors=8, **how):
    """A program: IDENTIFY, write some sectors, read them and their neighbours, flush."""
    def program(cpu):
        if transfer == "dma":
            for register, value in ((0x20, BUS_MASTER | 1), (0x04, 0x0005)):     # as firmware does
                cpu.outl(0xCF8, 0x8000_0900 | register)
                cpu.outl(0xCFC, value)
        pic.init(cpu)
        disk = AtaDriver(cpu, transfer=transfer, interrupts=interrupts,
                         bus_master=BUS_MASTER if transfer == "dma" else None, **how)
        yield from disk.init()
        cpu.write(BUFFER, bytes(n * 7 + n // 512 & 0xFF for n in range(sectors * SECTOR)))
        yield from disk.write(100, sectors, BUFFER)
        yield from disk.flush()
        yield from disk.read(98, sectors, RESULT)
        return cpu.read(RESULT, sectors * SECTOR)
    return program


CASES = {
    "uart": Case("UART: FIFO, string output, interrupts", serial(), talk),
    "ata-string": Case("ATA PIO, REP INSW and OUTSW", ata_machine(), ata()),
    "ata-multiple": Case("ATA READ MULTIPLE, REP INSD", ata_machine(), ata("multiple", width=4, sectors=32)),
    "ata-words": Case("ATA PIO, IN and OUT of a word", ata_machine(), ata(string=False, sectors=2)),
    "ata-dma": Case("ATA bus-master DMA", ata_machine(), ata("dma", sectors=32)),
}
