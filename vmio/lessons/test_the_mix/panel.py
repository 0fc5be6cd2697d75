"""Tables and the panel of *Test the mix*: guests on hosts as a matrix, and what stands behind each cell."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from vmio.experiments import mix, mix_kinds as k
from vmio.experiments.mix_lies import LIES
from vmio.experiments.mix_result import REFUSED, VERDICTS, Cell, Device
from vmio.lab import charts, palette
from vmio.lab.controls import choice
from vmio.lab.matrix_view import WAITS, MatrixView
from vmio.lab.panel import Drawn, Panel
from vmio.lab.report import Report
from vmio.lessons.test_the_mix import recorded as real
from vmio.lessons.test_the_mix.linux import NAME as LINUX
from vmio.lessons.test_the_mix.linux import LinuxCell
from vmio.lessons.test_the_mix.linux_tables import boot_linux, linux_lies, linux_row, linux_table, linux_words, where  # noqa: F401  the lesson's
from vmio.table import number, table
from vmio.vmbus.bus.messages import WIN7, WIN8, version, version_text

GUESTS, HOSTS = mix.ALL_GUESTS, mix.ALL_HOSTS
ROWS = [*GUESTS, LINUX]
PER = {"disk": "a read", "network": "a ping"}
QUESTIONS = (
    "Which cells does your company lose when it drops its legacy devices, and what would you offer each of these guests instead?",
    "Which cell breaks, and which one line of a driver would turn it into one that falls back?",
    "Choose a guest that falls back. What does that cost in exits for a read and for a ping, and how did you notice at all?",
    "Which of the lies did a guest believe? What would it have to check?",
    "Your host will speak VMBus 6.0 and nothing below 5.2. Which rows change, and how do you know before you switch it on?")


# Guests and hosts.

def guest(name: str) -> k.GuestKind:
    """Return the guest of that name; ValueError with those that there are."""
    return k.guest(name)


def host(name: str, bus: Sequence[str] = ()) -> k.HostKind:
    """Return the host of that name; with a `bus`, such as ["5.3", "5.2"], one like it that speaks these versions of VMBus instead.

    ValueError for a name that there isn't, and for what is no version.
    """
    found = k.host(name)
    return replace(found, bus=tuple(map(_version, bus))) if bus else found


def _version(text: str) -> int:
    """Return a version of VMBus as it travels."""
    major, point, minor = text.partition(".")
    if not (point and major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit() and int(major) < 1 << 16 and int(minor) < 1 << 16):
        raise ValueError(f"version {text!r}: two whole numbers with a point between them, such as 5.3")
    return version(int(major), int(minor))


def disk_verdict(drivers: Sequence[str], offered: Collection[str], agreed: bool, dma: bool) -> str:
    """Return what comes of the disk of a guest with these drivers on a host with these devices, in a run of its own."""
    one = replace(k.guest("2012"), disk=tuple(drivers), net=(k.NETVSC,), bus=(WIN8,) if agreed else (WIN7,))
    return mix.meet(one, replace(k.host("2012"), devices=tuple(sorted(offered)), dma=dma)).disk.verdict


# Cells.

def cell(guest: str, host: str, lie: str = "none") -> Cell:
    """Return the cell of a guest on a host, run now or remembered; of a real Linux as it was recorded, or booted here."""
    return real.cell(host, lie) if guest == LINUX else mix.cell(guest, host, lie)


def cells(lie: str = "none") -> list[Cell]:
    """Return the whole matrix, row after row."""
    return [cell(guest, host, lie) for guest in ROWS for host in HOSTS]


def known(guest: str, host: str, lie: str) -> Cell | None:
    """Return a cell that has been run, or None."""
    return real.cell(host, lie) if guest == LINUX else mix.KEPT.get((guest, host, lie))


# Tables.

def guests_table() -> str:
    """The rows of the matrix: what each guest tries, in its order."""
    return table([(one.name, ", ".join(one.disk), ", ".join(one.net), ", ".join(map(version_text, one.bus)) or "-") for one in k.GUESTS],
                 ("guest", "drivers for a disk", "for a network card", "VMBus it asks for"), "<<<<")


def hosts_table() -> str:
    """The columns of the matrix: what each host offers."""
    return table([(one.name, ", ".join(one.devices), ", ".join(map(version_text, one.bus)) or "-") for one in k.HOSTS],
                 ("host", "offers", "VMBus it speaks"), "<<<")


def matrix_table(lie: str = "none") -> str:
    """The matrix in words."""
    return table([(guest, *(cell(guest, host, lie).verdict for host in HOSTS)) for guest in ROWS], ("guest", *HOSTS), "<<<<<<")


def kvm_table() -> str:
    """Each guest on a host that offers virtio and no VMBus: what became of it, by a run, and why."""
    rows = []
    for one in (mix.meet(each, k.KVM) for each in k.GUESTS):
        costs = [number(device.exits) if device.worked() else "-" for device in one.devices]
        rows.append((one.guest, one.verdict, one.disk.driver or "-", one.network.driver or "-", *costs, one.reason or "-"))
    return table(rows, (f"guest on host {k.KVM.name}", "verdict", "disk", "network card", "exits of a read", "of a ping", "why"), "<<<<>><",
                 title=f"Host {k.KVM.name}: {', '.join(k.KVM.devices)}")


def counted(verdict: str) -> int:
    """Return how many cells have this verdict, on hosts that tell the truth."""
    return sum(cell.verdict == verdict for cell in mix.matrix())


def reason_table(verdict: str) -> str:
    """The cells with a verdict, and what each guest was told."""
    return table([(cell.guest, cell.host, device.what, device.reason) for cell in cells() if cell.verdict == verdict
                  for device in cell.devices if device.verdict == verdict], ("guest", "host", "device", "why"), "<<<<")


def contacts(one: k.GuestKind, other: k.HostKind) -> int:
    """Return how often a guest asked until it and its host agreed on a version of VMBus, and on one of the network's protocol."""
    asked = mix.meet(one, other).asked
    return len(asked["VMBus"]) + len(asked["network"])


def turned_away(by: k.HostKind) -> int:
    """Return how many of the guests a host refuses."""
    return sum(mix.meet(one, by).verdict == REFUSED for one in k.GUESTS)


def conversation(guest: str, host: str) -> str:
    """What one guest and one host said to each other about versions."""
    return "\n".join(cell(guest, host).conversation())


def cost_table() -> str:
    """What a read and a ping cost, by the driver that came up; the first cell in which each did."""
    found: dict[tuple[str, str], Device] = {}
    first: dict[tuple[str, str], Cell] = {}
    for cell in mix.matrix():
        for device in cell.devices:
            name = f"{device.driver}, PIO" if device.driver == k.IDE_EITHER and not k.host(cell.host).dma else device.driver
            if device.worked() and (device.what, name) not in found:
                found[device.what, name], first[device.what, name] = device, cell
    rows = [(PER[what], name, first[what, name].guest, first[what, name].host, one.exits, one.at_device, one.interrupts, one.setup_exits)
            for (what, name), one in sorted(found.items())]
    return table(rows, ("", "driver", "guest", "host", "exits", "at the device", "interrupts", "to set up"), "<<<<>>>>")


def lies_table(guest: str = "isolated", host: str = "2022") -> str:
    """Each lie, and what becomes of one guest: what it says, and whether the host's other guest was served."""
    return table([(lie.name, lie.what, one.verdict, one.reason, {None: "-", True: "yes", False: "no"}[one.neighbour]) for lie in LIES[1:]
                  for one in [cell(guest, host, lie.name)]], ("lie", "what the host says", "the guest", "it says", "the other guest served"), "<<<<<")


def sweep_table() -> str:
    """All guests on all hosts, with each lie: how many cells of each kind; all cores of the machine work on it."""
    verdicts = [(cell.lie, cell.verdict) for cell in mix.sweep()]
    return table([(lie, *(verdicts.count((lie, one)) for one in VERDICTS)) for lie in mix.ALL_LIES], ("lie", *VERDICTS), "<>>>>",
                 title=f"{len(verdicts)} cells")


def report() -> Report:
    """Return the report of this lab, with the matrix and the costs in it."""
    made = Report("L4 · Test the mix", QUESTIONS)
    found = cells()
    made.table("The matrix", ("guest", "host", "verdict", "disk", "network", "VMBus", "why"), [
        (cell.guest, cell.host, cell.verdict, cell.disk.driver, cell.network.driver, cell.agreed("VMBus"), cell.reason) for cell in found])
    made.table("Costs", ("guest", "host", "device", "driver", "exits", "interrupts", "exits to set up"), [
        (cell.guest, cell.host, one.what, one.driver, one.exits, one.interrupts, one.setup_exits) for cell in mix.matrix() for one in cell.devices if one.worked()])
    made.table("A real Linux", ("host", "device", "driver", "exits", "interrupts"), [
        (one.host, device.what, device.driver, device.exits, device.interrupts) for one in map(real.cell, HOSTS) for device in one.devices if device.worked()])
    return made


# The panel.

def _run(guest: str, on_host: str, lie: str) -> Iterator[Cell]:
    """Yield the chosen cell, again after each other cell of the matrix that had to be run first."""
    chosen = cell(guest, on_host, lie)
    yield chosen
    for other in GUESTS:
        for there in HOSTS:
            if (other, there, lie) not in mix.KEPT:
                mix.cell(other, there, lie)
                yield chosen


def _said(one: Device, alone: bool = True) -> list[str]:
    """The lines of the readout about a device; one that is not brought up `alone` has no exits of its own for that."""
    if not one.driver:
        return [f"{one.what}: none came up"] + ([f"  exits to look for it: {number(one.setup_exits)}"] if alone else [])
    each = f"  {PER[one.what]}: exits {number(one.exits)}, interrupts {number(one.interrupts)}" if one.worked() else "  came up, and broke"
    return [f"{one.what}: {one.driver}", each] + ([f"  exits to set it up: {number(one.setup_exits)}"] if alone else [])


def _wrap(text: str, width: int = 38) -> list[str]:
    """The words of a text in lines of at most so many characters."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [line for line in lines if line]


def _bars(cell: Cell) -> charts.Chart | None:
    """The exits of a read by one guest on each host on which its disk works, so far as they were run; None on none."""
    row = {host: there.disk for host in HOSTS if (there := known(cell.guest, host, cell.lie)) is not None}
    values = {host: one.exits for host, one in row.items() if one.worked()}
    return charts.bars(f"Exits of a read: guest {cell.guest}", values, "exits", log=True, color=palette.OTHERS[0]) if values else None


def _view(cell: Cell) -> Drawn:
    ours = not isinstance(cell, LinuxCell)
    said = [*_wrap(f"guest {cell.guest} on host {cell.host}: {cell.verdict}"), *_said(cell.disk, ours), *_said(cell.network, ours)]
    if isinstance(cell, LinuxCell):
        said += [f"exits of its start: {number(cell.start_exits)}", "a real Linux, booted here" if real.live(cell) else "a real Linux, as it was recorded"]
    for line in cell.conversation():
        said += _wrap(line)
    said += _wrap(f"why: {cell.reason}") if cell.reason else []
    said += [] if cell.neighbour is None else [f"the other guest: {'served' if cell.neighbour else 'not served'}"]
    there = [[known(guest, host, cell.lie) for host in HOSTS] for guest in ROWS]
    drawn: dict[str, Any] = {"cells": [[WAITS if one is None else one.verdict for one in row] for row in there],
                             "at": [ROWS.index(cell.guest), HOSTS.index(cell.host)]}
    return "\n".join(said), [_bars(cell)], drawn


def panel() -> Panel:
    """Any guest on any host; a click on a cell chooses both."""
    view = MatrixView(names=ROWS, columns=HOSTS, words=list(VERDICTS), corner="guest, host")
    made = Panel(_run, [choice("guest", ROWS, "2013 gen 2", "Guest"), choice("on_host", HOSTS, "2022", "Host"),
                        choice("lie", mix.ALL_LIES, label="The host lies about")], _view, name="test_the_mix", live=view)

    def picked(change: Any) -> None:
        row, column = change["new"]
        made.set(guest=ROWS[row], on_host=HOSTS[column])
    view.observe(picked, "picked")
    return made
