"""Guests to be replayed: for each class of driver a machine, a program, and what it needs of a real processor."""

import hashlib
from dataclasses import dataclass

from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.nvme import DOORBELLS, NvmeDriver, memory_needed
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.uart import FIFO, UartDriver
from vmio.drivers.vmbus import VmBusClient
from vmio.experiments.disk import pattern
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.processors.kvm.record import record
from vmio.modes.disk_emulated import BUS_MASTER
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

TEXT = b"From the model to the processor and back.\r\n"
ANSWER = b"Received, thank you."
BUFFER, RESULT, QUEUES = 0x2_0000, 0x4_0000, 0x6_0000     # guest-physical: the programs' data, NVMe's queues
DRIVER_PAGES = 1 << 20                                    # ... VMBus's pages
BAR, ENTRIES = 0xFEB0_0000, 8                             # NVMe: its registers, entries of a queue


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
    """A program: IDENTIFY, write half of the sectors, flush, read them and their neighbours."""
    def program(cpu):
        if transfer == "dma":
            for register, value in ((0x20, BUS_MASTER | 1), (0x04, 0x0005)):     # as firmware does
                cpu.outl(0xCF8, 0x8000_0900 | register)
                cpu.outl(0xCFC, value)
        pic.init(cpu)
        disk = AtaDriver(cpu, transfer=transfer, interrupts=interrupts,
                         bus_master=BUS_MASTER if transfer == "dma" else None, **how)
        yield from disk.init()
        cpu.write(BUFFER, bytes(n * 7 + n // 512 & 0xFF for n in range(sectors // 2 * SECTOR)))
        yield from disk.write(100, sectors // 2, BUFFER)
        yield from disk.flush()
        yield from disk.read(98, sectors, RESULT)
        return cpu.read(RESULT, sectors * SECTOR)
    return program


# The NVMe disk.

def nvme_machine(mib=1):
    """An emulated NVMe disk: its registers exit, its queues and data are in the guest's RAM."""
    def machine(guest):
        clock, costs, disk = guest.clock, guest.host.costs, Overlay(pattern(mib))
        controller = NvmeController(clock, guest.memory, disk, None, lambda kind, sectors, done: clock.call_later(
            costs.disk_ns(kind, sectors), done))
        guest.mmio.attach(BAR, BAR_BYTES, controller, "nvme", width=4)
        return {"nvme": controller.save, "the disk": lambda: contents(disk)}
    return machine


def nvme(cpu):
    """Queues, then a write and two reads; polled, as there is no MSI-X here."""
    disk = NvmeDriver(cpu, BAR, QUEUES, memory_needed(ENTRIES), ENTRIES)
    yield from disk.init()
    cpu.write(BUFFER, TEXT.ljust(8 * SECTOR, b"*"))
    yield from disk.write(100, 8, BUFFER)
    yield from disk.flush()
    yield from disk.read(96, 16, RESULT)
    for n in range(4):                       # four commands, one doorbell
        disk.submit("read", n, 1, [RESULT + 0x4000 + n * SECTOR], n)
    disk.ring_doorbell()
    left = 4
    while left:
        yield from cpu.hlt(10_000)
        left -= len(disk.reap())
    return cpu.read(RESULT, 16 * SECTOR)


# StorVSC.

def vmbus_machine(mib=1):
    """A guest that knows its hypervisor, with a SCSI disk behind VMBus; all of the host's half is there."""
    def machine(guest):
        disk = Overlay(pattern(mib))
        backend, = PhysicalDisk(guest.host, [disk]).slices
        enable_enlightenments(guest)
        vsp = StorVsp(guest.host, guest, {0: (ScsiTarget(disk.sectors), backend)})
        vsp.offer(VmbusServer(guest))
        return {"signals": lambda: vsp.channel.signals, "the disk": lambda: contents(disk)}
    return machine


def storvsc(cpu):
    """Bus, channel, SCSI bring-up; a write, a read, four reads in flight."""
    client = VmBusClient(cpu, GuestPages(DRIVER_PAGES, 2 * DRIVER_PAGES))
    yield from client.connect()
    channel, = yield from client.request_offers()
    disk = StorVsc(client, channel, ring_kib=16)
    yield from disk.init()
    cpu.write(BUFFER, TEXT.ljust(8 * SECTOR, b"*"))
    yield from disk.write(100, 8, BUFFER)
    yield from disk.read(96, 16, RESULT)
    yield from cpu.pay()
    for n in range(4):
        disk.submit("read", n, 1, RESULT + 0x4000 + n * SECTOR, n)
    disk.flush_ring()
    left = 4
    while left:
        yield from disk.wait()
        left -= len(disk.reap())
    return cpu.read(RESULT, 16 * SECTOR)


BELLS = tuple(BAR + DOORBELLS + 4 * n for n in range(4))       # admin and one pair, submission and completion
_STORVSC = dict(machine=vmbus_machine(), program=storvsc, ram_mib=2, host_mib=16)

CASES = {
    "uart": Case("UART: register, string, interrupt", serial(), talk),
    "ata-string": Case("ATA PIO by REP INSW and OUTSW", ata_machine(), ata()),
    "ata-multiple": Case("ATA READ MULTIPLE by REP INSD", ata_machine(), ata("multiple", width=4, sectors=32)),
    "ata-words": Case("ATA PIO, a word at a time", ata_machine(), ata(string=False, sectors=2)),
    "ata-dma": Case("ATA bus-master DMA", ata_machine(), ata("dma", sectors=32)),
    "storvsc": Case("StorVSC, signals exit", **_STORVSC),
    "storvsc-doorbell": Case("StorVSC, signals by ioeventfd", signals="doorbell", **_STORVSC),
    "nvme": Case("NVMe, doorbells exit", nvme_machine(), nvme),
    "nvme-doorbell": Case("NVMe, doorbells by ioeventfd", nvme_machine(), nvme, doorbells=BELLS),
}
