"""Machine, tables and panels of *Emulate a device*: a UART and an ATA disk, register by register."""

from functools import lru_cache

from vmio import data
from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import Board
from vmio.experiments import disk, serial
from vmio.experiments.disk import DiskParams
from vmio.hypervisor.costs import PRESETS
from vmio.hypervisor.host import Host
from vmio.lab.controls import choice, log2_slider, toggle
from vmio.lab.figures import CountBars, Curves, StackedBars
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.machine.storage import SECTOR, Image
from vmio.table import table

MOST_SECTORS = 64
TRANSFERS = ("pio", "multiple", "dma")
MOVES = {"2-byte words": dict(string=False, width=2), "4-byte words": dict(string=False, width=4),
         "string I/O": dict(string=True, width=2)}


@lru_cache
def file_system():
    """The course's disk: a 32 MiB ext4 file system with the texts of free licences."""
    return Image.open(data.path("licenses-ext4.img.gz"))


def machine(image=None):
    """A PC with 4 MiB of RAM and, if given, a disk; its board.  The disk answers at once."""
    guest = Host(memory_mib=16).guest("student", ram_mib=4)
    return Board(guest, (AtaDisk(image),) if image else ())


def serial_table(length=1024):
    """Every way to send `length` bytes, side by side."""
    rows = []
    for how, fifo in (("polled", False), ("polled", True), ("string", True), ("interrupt", True)):
        one = serial.run(length, fifo, how, "baud" if how == "interrupt" else "instant")
        rows.append((how, "16 bytes" if fifo else "off", one.exits_total, one.exits_per_byte, one.interrupts,
                     one.exit_ns // 1000))
    return table(rows, ("how", "FIFO", "exits", "exits a byte", "interrupts", "us in exits"),
                 title=f"{length:,} bytes through the UART")


def disk_table(sectors=8, costs="server-2022"):
    """One read of `sectors` sectors in every way that the driver knows."""
    rows = []
    for transfer, move in (("pio", "2-byte words"), ("pio", "4-byte words"), ("pio", "string I/O"),
                           ("multiple", "string I/O"), ("dma", "")):
        one = read_once(transfer, sectors, move or "string I/O", True, costs)
        rows.append((transfer, move or "by the device", one.exits_total, one.exits_total / sectors,
                     one.interrupts, one.exit_ns / 1000, one.device_ns / 1000))
    return table(rows, ("transfer", "data moves by", "exits", "exits a sector", "interrupts", "us in exits",
                        "us waiting"), title=f"one read of {sectors} sectors")


@lru_cache(maxsize=4096)
def read_once(transfer, sectors, move, interrupts, costs):
    """The `DiskResult` of one read; equal questions get the same answer without another run."""
    return disk.run(DiskParams(bytes=sectors * SECTOR, block=sectors * SECTOR, transfer=transfer,
                               polled=not interrupts, costs=costs, **MOVES[move]))


_uart_exits = CountBars("Exits by instruction", width=4.6, left=0.27)
_uart_time = StackedBars("Virtual time", unit="us", width=4.6, height=2.5)


def _uart_view(result):
    rows = [(name, n, n / result.bytes) for name, n in result.exits.items()]
    text = "\n".join([
        f"{result.bytes:,} bytes", f"exits {result.exits_total:,}, {result.exits_per_byte:.3f} a byte",
        f"virtual time {result.virtual_ns / 1000:,.1f} us", f"interrupts {result.interrupts:,}", "",
        table(rows, ("exits by", "count", "a byte"))])
    names = ("OUT", "IN", "REP OUTS", "HLT")
    times = {"time": {"exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total), edge("hypervisor", "host", "to the worker",
                                                                           result.worker_exits),
             edge("host", "device", "bytes", result.bytes, kind="data"),
             edge("device", "guest", "interrupts", result.interrupts, kind="interrupt")]
    return (text, [_uart_exits.update({name: result.exits.get(name, 0) for name in names}), _uart_time.update(times)],
            {"edges": edges, "title": "UART"})


def uart_panel():
    """Bytes through the UART: how many, how, and at what pace the line takes them."""
    return Panel(serial.run, [
        log2_slider("bytes", 1, 512, 64, label="Bytes"),
        toggle("fifo", True, label="FIFO on"),
        choice("how", serial.HOW, label="How"),
        choice("pace", ("instant", "baud"), label="Transmitter"),
        choice("costs", PRESETS, "server-2022", label="Cost preset")],
        _uart_view, name="emulate_a_device uart", live=MachineView(title="UART", notes={"device": "16550A"}))


_disk_exits = CountBars("Exits by device", width=4.6, left=0.3)
_disk_time = StackedBars("Virtual time of one read", unit="us", width=4.6, height=2.5)
_per_sector = Curves("Exits per sector", "sectors per read", "exits", logx=True, logy=True)


def _read(sectors, transfer, move, interrupts, costs):
    sizes = [1 << n for n in range(MOST_SECTORS.bit_length())]
    curves = {name: (sizes, [read_once(name, n, move, interrupts, "server-2022").exits_total / n for n in sizes])
              for name in TRANSFERS}     # how many exits there are doesn't depend on what they cost
    return read_once(transfer, sectors, move, interrupts, costs), {"series": curves, "at": sectors}


def _disk_view(answer):
    result, curves = answer
    sectors = result.bytes // SECTOR
    rows = [(name, n, n / sectors) for name, n in result.exits_by_device.items()]
    text = "\n".join([
        f"one read of {sectors} sectors by {result.params.transfer}",
        f"exits {result.exits_total:,}, {result.exits_total / sectors:,.2f} a sector",
        f"virtual time {result.virtual_ns / 1000:,.1f} us", f"interrupts {result.interrupts}", "",
        table(rows, ("exits by", "count", "a sector"))])
    devices = ("ata", "bus master", "pic", "hypervisor")
    times = {"time": {"guest": result.guest_ns / 1000, "exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    edges = [edge("guest", "hypervisor", "exits", result.exits_total),
             edge("hypervisor", "host", "to the worker",
                  sum(result.exits_by_device.get(name, 0) for name in ("ata", "bus master"))),
             edge("host", "device", "sectors", sectors, kind="data"),
             edge("device", "guest", "interrupts", result.interrupts, kind="interrupt")]
    return (text, [_disk_exits.update({name: result.exits_by_device.get(name, 0) for name in devices}),
                   _disk_time.update(times), _per_sector.update(curves)],
            {"edges": edges, "title": f"ATA disk, {result.params.transfer}"})


def disk_panel():
    """One read from the ATA disk: how large, and by which way the data come."""
    return Panel(_read, [
        log2_slider("sectors", 1, MOST_SECTORS, 8, label="Sectors"),
        choice("transfer", TRANSFERS, label="Transfer"),
        choice("move", MOVES, "string I/O", label="PIO moves"),
        toggle("interrupts", True, label="Interrupts"),
        choice("costs", PRESETS, "server-2022", label="Cost preset")],
        _disk_view, name="emulate_a_device disk", live=MachineView(title="ATA disk", notes={"device": "IDE disk"}))
