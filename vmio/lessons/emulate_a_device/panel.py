"""Machine, tables and panels of *Emulate a device*: a UART and an ATA disk, register by register."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from vmio import data
from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.experiments import disk, serial
from vmio.experiments.disk import DiskParams, DiskResult
from vmio.experiments.serial import PACES, SerialParams, SerialResult
from vmio.hypervisor.costs import PRESETS
from vmio.lab import axes, charts
from vmio.lab.controls import choice, log2_slider, toggle
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, unmoved
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.own import driver_panel
from vmio.lab.panel import Panel, Shown
from vmio.machine.contracts import Options
from vmio.machine.media.medium import Medium
from vmio.machine.storage import SECTOR, Image
from vmio.modes import one_guest
from vmio.table import table

SIZES = tuple(1 << n for n in range(7))     # sectors of a read
Read: TypeAlias = tuple[DiskResult, dict[str, tuple[list[int], list[float]]]]      # what was asked for, and curves {transfer: (sectors, exits)}
TRANSFERS = ("pio", "multiple", "dma")
MOVES: dict[str, Options] = {"2-byte words": dict(string=False, width=2), "4-byte words": dict(string=False, width=4),
         "string I/O": dict(string=True, width=2)}


@lru_cache
def file_system() -> Medium:
    """The course's disk: a 32 MiB ext4 file system with the texts of free licences."""
    return Image.open(data.path("licenses-ext4.img.gz"))


def machine(image: Medium | None = None) -> Board:
    """A PC with 4 MiB of RAM and, if given, a disk; its board.  The disk answers at once."""
    return Board(one_guest(name="student", ram_mib=4).guest, (AtaDisk(image),) if image else ())


def serial_table(length: int = 1024) -> str:
    """Every way to send `length` bytes, side by side."""
    rows = []
    for how, fifo in (("polled", False), ("polled", True), ("string", True), ("interrupt", True)):
        one = serial.run(length, fifo, how, "baud" if how == "interrupt" else "instant")
        rows.append((how, "16 bytes" if fifo else "off", one.exits_total, one.exits_per_byte, one.interrupts,
                     one.exit_ns // 1000))
    return table(rows, ("how", "FIFO", "exits", "exits per byte", "interrupts", "us in exits"),
                 title=f"{length:,} bytes through the UART")


def disk_table(sectors: int = 8, costs: str = "server-2022") -> str:
    """One read of `sectors` sectors in every way that the driver knows."""
    rows = []
    for transfer, move in (("pio", "2-byte words"), ("pio", "4-byte words"), ("pio", "string I/O"),
                           ("multiple", "string I/O"), ("dma", "")):
        one = read_once(transfer, sectors, move or "string I/O", True, costs)
        rows.append((transfer, move or "by the device", one.exits_total, one.exits_total / sectors,
                     one.interrupts, one.exit_ns / 1000, one.device_ns / 1000))
    return table(rows, ("transfer", "data moves by", "exits", "exits per sector", "interrupts", "us in exits",
                        "us waiting"), title=f"one read of {sectors} sectors")


@lru_cache(maxsize=4096)
def read_once(transfer: str, sectors: int, move: str, interrupts: bool, costs: str) -> DiskResult:
    """The `DiskResult` of one read; equal questions get the same answer without another run."""
    return disk.run(DiskParams(bytes=sectors * SECTOR, block=sectors * SECTOR, transfer=transfer,
                               polled=not interrupts, costs=costs, **MOVES[move]))


def _uart_view(result: SerialResult) -> Shown:
    rows = [(name, n, n / result.bytes) for name, n in result.exits.items()]
    text = "\n".join([
        f"{result.bytes:,} bytes", f"exits {result.exits_total:,}, {result.exits_per_byte:.3f} per byte",
        f"virtual time {result.virtual_ns / 1000:,.1f} us", f"interrupts {result.interrupts:,}", "",
        table(rows, ("exits by", "count", "per byte"))])
    names = ("OUT", "IN", "REP OUTS", "HLT")
    times = {"time": {"exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total), edge("hypervisor", "host", "to the worker",
                                                                           result.worker_exits),
             edge("host", "device", "bytes", len(result.sent), kind="data"),
             edge("device", "guest", "interrupts", result.interrupts, kind="interrupt")]
    shown = [charts.bars("Exits by instruction", {name: result.exits.get(name, 0) for name in names}, "exits"),
             charts.stack("Virtual time", times, "us")]
    return text, shown, {"edges": edges, "title": "UART"}


_sent = lru_cache(maxsize=1024)(serial.run)


@later
def _uart_idle(**params: Any) -> Asking:
    """Which controls change nothing, and why.  Where exits are dear, the line is done with a byte before the guest asks."""
    if params["bytes"] == 1:
        return dict.fromkeys(("fifo", "pace"), "a single byte waits for no other")
    done = yield from unmoved(_sent, _uart_view, params, "pace", PACES)
    return {"pace": "at this price of an exit the line is always done first"} if done else {}


def uart_panel() -> Panel:
    """Bytes through the UART: how many, how, and at what pace the line takes them."""
    return Panel(_sent, [
        declared(SerialParams, "bytes", "Bytes", 64, high=512),
        declared(SerialParams, "fifo", "FIFO on"),
        declared(SerialParams, "how", "How"),
        declared(SerialParams, "pace", "Transmitter"),
        declared(SerialParams, "costs", "Cost preset", choices=PRESETS)],
        _uart_view, name="emulate_a_device uart", live=MachineView(title="UART", notes={"device": "16550A"}),
        idle=_uart_idle)


_whole: set = set()     # settings whose curves were counted to their ends


def _read(sectors: int, transfer: str, move: str, interrupts: bool, costs: str) -> Iterator[Read]:
    """Yield the read, with curves of more and more sizes: the largest take longest.  Exits don't depend on what they cost."""
    asked = read_once(transfer, sectors, move, interrupts, costs)
    curves: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in TRANSFERS}
    for size in SIZES:
        for name, (sizes, exits) in curves.items():
            sizes.append(size)
            exits.append(read_once(name, size, move, interrupts, "server-2022").exits_total / size)
        if size >= SIZES[3] and (size == SIZES[-1] or (move, interrupts) not in _whole):
            yield asked, curves
    _whole.add((move, interrupts))


def _disk_view(answer: Read) -> Shown:
    result, curves = answer
    sectors = result.bytes // SECTOR
    rows = [(name, n, n / sectors) for name, n in result.exits_by_device.items()]
    text = "\n".join([
        f"one read of {sectors} sectors by {result.params.transfer}",
        f"exits {result.exits_total:,}, {result.exits_total / sectors:,.2f} per sector",
        f"virtual time {result.virtual_ns / 1000:,.1f} us", f"interrupts {result.interrupts}", "",
        table(rows, ("exits by", "count", "per sector"))])
    devices = ("ata", "bus master", "pic", "hypervisor")
    times = {"time": {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total),
             edge("hypervisor", "host", "to the worker", result.worker_exits),
             edge("host", "device", "sectors", result.bytes_read // SECTOR, kind="data"),
             edge("device", "guest", "interrupts", result.interrupts, kind="interrupt")]
    counts = {name: result.exits_by_device.get(name, 0) for name in devices}
    steps, values = axes.log("sectors per read", (), SIZES), [y for _, ys in curves.values() for y in ys]
    shown = [charts.bars("Exits by device", counts, "exits"), charts.stack("Virtual time of one read", times, "us"),
             charts.lines("Exits per sector", curves, steps, axes.log("exits", values), at=sectors)]
    return text, shown, {"edges": edges, "title": f"ATA disk, {result.params.transfer}"}


def own_uart_panel(send: Callable[..., object]) -> Panel:
    """A student's `send` in the live machine, beside the reference."""
    return driver_panel("send-through-a-fifo", send, [log2_slider("length", 1, 128, 64, "Bytes"), declared(SerialParams, "pace", "Transmitter")],
                        "16550A")


def own_disk_panel(read: Callable[..., object]) -> Panel:
    """A student's `read` in the live machine, beside the reference."""
    return driver_panel("read-with-few-exits", read, [log2_slider("sectors", SIZES[0], SIZES[-1], 8, "Sectors")], "IDE disk")


def disk_panel() -> Panel:
    """One read from the ATA disk: how large, and by which way the data come."""
    return Panel(_read, [
        log2_slider("sectors", SIZES[0], SIZES[-1], 8, label="Sectors"),
        declared(DiskParams, "transfer", "Transfer"),
        choice("move", MOVES, "string I/O", label="PIO moves"),
        toggle("interrupts", True, label="Interrupts on"),
        declared(DiskParams, "costs", "Cost preset", choices=PRESETS)],
        _disk_view, name="emulate_a_device disk", live=MachineView(title="ATA disk", notes={"device": "IDE disk"}))
