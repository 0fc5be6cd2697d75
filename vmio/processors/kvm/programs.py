"""Guests to be replayed: for each class of driver a machine, a program, and what it needs of a real processor."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmio.devices.board import Board
from vmio.drivers import pic
from vmio.drivers.ata import AtaDriver
from vmio.drivers.nvme import DOORBELLS, NvmeDriver, memory_needed
from vmio.drivers.pages import GuestPages
from vmio.drivers.uart import FIFO, UartDriver
from vmio.experiments.disk import pattern
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.hypervisor.contracts import Steps
from vmio.machine.contracts import SectorStore
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.modes import Attachment, GuestMachine, attachment
from vmio.modes.disk_emulated import BUS_MASTER, map_bus_master
from vmio.modes.disk_split import SplitDisk
from vmio.processors.kvm.record import Builds, Devices, Record, RecordingCpu, record

TEXT = b"From the model to the processor and back.\r\n"
ANSWER = b"Received, thank you."
BUFFER, RESULT, QUEUES = 0x2_0000, 0x4_0000, 0x6_0000     # guest-physical: the programs' data, NVMe's queues
DRIVER_PAGES = 1 << 20                                    # ... VMBus's pages
BAR, ENTRIES = 0xFEB0_0000, 8                             # NVMe: its registers, entries of a queue


@dataclass(frozen=True)
class Case:
    """`machine(plan)` and `program(cpu)` as `record` takes them, the rest as `compile_record` does."""

    title: str
    machine: Builds
    program: Callable[..., Any]
    ram_mib: int = 1
    doorbells: tuple = ()
    signals: str = "exit"

    def record(self) -> Record:
        """Run it on the model."""
        return record(self.machine, self.program, self.ram_mib)


def chips(board: Board) -> Devices:
    """Return what `record` wants: how to ask each chip of a board for its state."""
    return {name: getattr(board, name).save for name in (
        "uart", "pic", "pit", "port61", "kbc", "rtc", "bus_master", "pci", "port92")} | {
        "primary ATA channel": board.ata[0].save, "secondary ATA channel": board.ata[1].save}


def contents(medium: SectorStore) -> str:
    """Return a digest of all that is on a medium."""
    return hashlib.sha256(medium.read(0, medium.sectors)).hexdigest()


def on(plan: GuestMachine, device: Attachment, medium: SectorStore | None = None) -> GuestMachine:
    """Attach `device` to a `GuestMachine` and switch it on; returns it."""
    plan.attach(device, medium).machine.power_on()
    return plan


# The UART.

def serial(pace: str = "baud", answer: bytes = ANSWER, at: int = 8_000_000) -> Builds:
    """Return a machine on whose COM1 `answer` arrives at `at` ns."""
    def machine(plan: GuestMachine) -> Devices:
        board = on(plan, attachment("serial", "emulated", pace=pace)).board
        plan.guest.clock.call_at(at, lambda: board.uart.receive(answer))
        return chips(board) | {"the line": lambda: bytes(board.uart.sent)}
    return machine


def talk(cpu: RecordingCpu) -> Steps:
    """Send by register, by interrupt and by REP OUTSB; receive by interrupt."""
    pic.init(cpu)
    uart = UartDriver(cpu)
    uart.init(interrupts=True)
    uart.write(TEXT[:8])
    yield from uart.write_by_interrupt(TEXT[8:])
    yield from cpu.hlt(watchdog_ns=2_000_000)           # until the FIFO is empty
    cpu.write(BUFFER, TEXT)
    uart.write_string(BUFFER, FIFO)
    received = yield from uart.read_by_interrupt(len(ANSWER))
    cpu.write(RESULT, received)
    return received


# The ATA disk.

def ata_machine(mib: int = 1) -> Builds:
    """Return a board with an ATA disk whose requests take the time of the cost model's disk."""
    def machine(plan: GuestMachine) -> Devices:
        disk = Overlay(pattern(mib))
        return chips(on(plan, attachment("disk", "emulated"), disk).board) | {"the disk": lambda: contents(disk)}
    return machine


def ata(transfer: str = "pio", interrupts: bool = True, sectors: int = 8, **how: Any) -> Any:
    """Return a program: IDENTIFY, write half of the sectors, flush, read them and their neighbours."""
    def program(cpu: RecordingCpu) -> Steps:
        if transfer == "dma":
            map_bus_master(cpu)
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


def ata_reads(count: int, transfer: str) -> Any:
    """Return a program: bring the disk up and read 4 KiB `count` times, with the widest accesses that it knows."""
    def program(cpu: RecordingCpu) -> Steps:
        if transfer == "dma":
            map_bus_master(cpu)
        pic.init(cpu)
        disk = AtaDriver(cpu, transfer=transfer, width=4, interrupts=True, bus_master=BUS_MASTER if transfer == "dma" else None)
        yield from disk.init()
        for n in range(count):
            yield from disk.read(8 * n, 8, RESULT)
    return program


# The NVMe disk.

def nvme_machine(mib: int = 1) -> Any:
    """Return an emulated NVMe disk: its registers exit, its queues and data are in the guest's RAM."""
    def machine(plan: Any) -> Any:
        guest = plan.guest
        clock, costs, disk = guest.clock, guest.host.costs, Overlay(pattern(mib))
        controller = NvmeController(clock, guest.memory, disk, None, lambda op, sectors, done: clock.call_later(
            costs.disk_ns(op, sectors), done))
        guest.mmio.attach(BAR, BAR_BYTES, controller, "nvme", width=4)
        return {"nvme": controller.save, "the disk": lambda: contents(disk)}
    return machine


def nvme(cpu: RecordingCpu) -> Steps:
    """Make queues, then do a write and two reads; it polls, as there is no MSI-X here."""
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

class SplitCase:
    """A guest that knows its hypervisor, with a SCSI disk behind VMBus; all of the host's half is there.

    `work(cpu, disk)` is what the guest does with it.
    """

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work

    def machine(self, plan: GuestMachine) -> Devices:
        """See `record`."""
        medium, self.disk = Overlay(pattern(1)), SplitDisk(ring_kib=16)
        on(plan, self.disk, medium)
        channels = plan.platform.bus.channels
        return {"signals": lambda: [channel.signals for channel in channels.values()], "the disk": lambda: contents(medium)}

    def program(self, cpu: RecordingCpu) -> Steps:
        """Bring up bus, channel and SCSI disk; then do the work."""
        return (yield from self.work(cpu, (yield from self.disk.boot(cpu, GuestPages(DRIVER_PAGES, 2 * DRIVER_PAGES)))))


def storvsc(cpu: RecordingCpu, disk: Any) -> Steps:
    """Do a write, a read, and four reads in flight."""
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


def _split(work: Callable[..., Any]) -> dict[str, Any]:
    case = SplitCase(work)
    return dict(machine=case.machine, program=case.program, ram_mib=2)


def split_reads(count: int) -> Callable[..., Steps]:
    """Read 4 KiB `count` times."""
    def work(cpu: RecordingCpu, disk: Any) -> Steps:
        for n in range(count):
            yield from disk.read(8 * n, 8, RESULT)
    return work


_STORVSC = _split(storvsc)

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

# How a 4 KiB read is made -> a driver that makes one, and one that makes two.
READS = {
    "emulated, PIO": [Case(f"ATA READ MULTIPLE by REP INSD, {n} x 4 KiB", ata_machine(), ata_reads(n, "multiple")) for n in (1, 2)],
    "emulated, DMA": [Case(f"ATA bus-master DMA, {n} x 4 KiB", ata_machine(), ata_reads(n, "dma")) for n in (1, 2)],
    "split": [Case(f"StorVSC, {n} x 4 KiB", **_split(split_reads(n))) for n in (1, 2)],
}
ALL = CASES | {f"{how}, {n}": case for how, both in READS.items() for n, case in enumerate(both, 1)}
