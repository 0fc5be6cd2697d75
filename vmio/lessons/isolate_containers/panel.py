"""Tables and panel of *Isolate containers*: one kernel or many, one copy of the base layer or many, and a hostile container."""

from collections.abc import Iterator
from typing import Any

from vmio.experiments.containers import density, hostile, one_start
from vmio.experiments.containers.density import DensityParams, Fleet
from vmio.experiments.containers.density_result import DensityResult
from vmio.hypervisor.guest import Guest
from vmio.lab import axes, charts
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import EXECUTE, READ, WRITE
from vmio.processors.kvm import recorded
from vmio.table import number, table

WAYS = {"one kernel": ("process", "scsi"), "own, SCSI": ("hyperv", "scsi"), "own, VPMem": ("hyperv", "vpmem")}
COUNTS = 1, 8, 64
MOST = 16                   # containers in the panel
DOUBLED = 1, 2, 4, 8, 16


def run(containers: int, isolation: str = "hyperv", layer: str = "vpmem", **changes: Any) -> DensityResult:
    """The run with these parameters, the others as they are declared."""
    return density.run(_params(containers, isolation, layer, **changes))


def _params(containers: int, isolation: str, layer: str, **changes: Any) -> DensityParams:
    """One kernel keeps what it has read of the layer, whatever it came by: one run for both."""
    return DensityParams(containers, isolation, "scsi" if isolation == "process" else layer, **changes)


def layer_pages(containers: int = 16) -> int:
    """How many pages of the host hold pieces of the layer, with a kernel each and the layer by SCSI."""
    return run(containers, layer="scsi").pages["layer"]


def first_touches(containers: int = 16) -> int:
    """How many exits the first touches of the layer are, with a kernel each and the layer by VPMem."""
    return run(containers).exits["first touch, VPMem"]


def density_table() -> str:
    """Each way with 1, 8 and 64 containers."""
    rows = []
    for name, (isolation, layer) in WAYS.items():
        for count in COUNTS:
            one = run(count, isolation, layer)
            rows.append((name, count, one.guests, one.pages["layer"], sum(one.pages.values()), one.memory_bytes / count / 1024,
                         one.disk_bytes / 1024, one.requests, one.exits_total, one.all_ns / 1e6))
    return table(rows, ("kernel, layer by", "containers", "kernels", "layer pages", "all pages", "KiB each", "KiB read", "requests", "exits", "ms"),
                 "<" + 9 * ">")


def _leaf(guest: Guest, gpa: int) -> tuple[int, str]:
    """(frame, permissions) of a page in a guest's second-level table, read as the processor reads it."""
    *_, (_, _, entry) = guest.slat.walk(gpa)
    return guest.slat.translate(gpa, READ) // PAGE, "".join(letter if entry & bit else "-" for letter, bit in (("r", READ), ("w", WRITE), ("x", EXECUTE)))


def entries_table(layer: str = "vpmem") -> str:
    """Where three guests have the first page of a file of the layer, and a page of their containers' own memory."""
    fleet = Fleet(DensityParams(3, layer=layer))
    fleet.begin().to_the_end()
    rows = []
    for kernel in fleet.kernels:
        guest, own = kernel.machine.guest, kernel.memory_of(kernel.containers[0])
        file = kernel.layer.base + hostile.FILE * PAGE if kernel.layer is not None else kernel.cached[hostile.FILE]
        rows.append((guest.name, f"{file:#x}", *_leaf(guest, file), f"{own:#x}", *_leaf(guest, own)))
    return table(rows, ("guest", "file at", "frame", "may", "own page at", "frame", "may"), "<>><>><")


def start_table() -> str:
    """All messages of one start, and what each phase cost."""
    one = one_start.run()
    messages = table(one.messages.items(), ("message over the bridge", "how often"))
    before, rows = 0, []
    for phase, ns in one.times.items():
        rows.append((phase, one.exits_by_phase[phase], (ns - before) / 1000))
        before = ns
    said = one.stdout.decode().strip().replace("\n", " / ")
    return f"{messages}\n\n{table(rows, ('until it is', 'exits', 'us'))}\n\nIt has written: {said}. Exit code {one.exit_code}."


def hostile_table() -> str:
    """What becomes of each attempt in each case."""
    return hostile.matrix()


def walls_table() -> str:
    """What stopped each attempt: in a shared kernel that checks, and with a kernel of its own and a mapped layer."""
    cases = "one kernel, checks", "own kernel, VPMem"
    rows = [(tries[0].what, *(" and ".join(one.walls) for one in tries)) for tries in zip(*map(hostile.attack, cases), strict=True)]
    return table(rows, ("the hostile container tries to", *cases), "<<<")


def kvm_table() -> str:
    """One page of the host's in several machines, on a real processor; recorded where there is none to ask."""
    rows = []
    for machines in recorded.SHARERS:
        told = recorded.shared_page(machines)
        before, stored, written = ({f"{value:#x}" for value in values} for values in told["values"])
        rows.append((machines, max(told["loads"]), told["stores"][0], max(told["stores"][1:]), *map(" ".join, (before, stored, written)), told["resident_kib"]))
    return table(rows, ("machines", "exits of 100 loads", "of 3 stores", "others'", "all read", "after the stores", "host wrote", "KiB"), "><>>>>>>")


# The panel.

_ended: dict[DensityParams, DensityResult] = {}


def _steps(params: DensityParams) -> Iterator[DensityResult]:
    """A run as it goes on; one that was made before, at its end."""
    if params not in _ended:
        for shown in density.steps(params):
            yield shown
        _ended[params] = shown
    yield _ended[params]


def _model(containers: int, isolation: str, layer: str, private_kib: int) -> Iterator[tuple[DensityResult, dict[int, DensityResult]]]:
    """The run itself as it goes on; then the same with other numbers of containers, for the lines."""
    known: dict[int, DensityResult] = {}
    for shown in _steps(_params(containers, isolation, layer, private_kib=private_kib)):
        yield shown, known
    known[containers] = shown
    for count in DOUBLED:
        if count not in known:
            for one in _steps(_params(count, isolation, layer, private_kib=private_kib)):
                yield shown, known
            known[count] = one
    yield shown, known


def _view(ran: tuple[DensityResult, dict[int, DensityResult]]) -> Shown:
    one, known = ran
    exits, pages = one.exits, one.pages
    touches = {name: exits.get(f"first touch, {what}", 0) for name, what in (("first touches of RAM", "RAM"), ("first touches of the layer", "VPMem"))}
    signals = exits.get("VMCALL", 0)
    rows = [("kernels", one.guests), ("", None), ("pages of the host", sum(pages.values())), ("  drivers", pages["drivers"]),
            ("  tables", pages["tables"]), ("  base layer", pages["layer"]), ("  containers' own", pages["containers"]), ("", None),
            ("exits", one.exits_total), ("  first touches of RAM", touches["first touches of RAM"]), ("  of the layer", touches["first touches of the layer"]),
            ("  hypercalls", signals), ("  sleeps", exits.get("HLT", 0)), ("", None), ("requests through rings", one.requests),
            ("KiB from the host's disk", one.disk_bytes / 1024), ("ms until all are started", one.all_ns / 1e6)]
    lines = [f"{one.started} of {one.params.containers} containers started", *(f"{name:<27}{number(value):>10}" if value is not None else "" for name, value in rows)]
    memory = charts.bars("Pages of the host", {"drivers": pages["drivers"], "tables": pages["tables"], "base layer": pages["layer"],
                                               "containers' own": pages["containers"]}, "pages")
    counts = sorted(known)
    grown = None if not counts else charts.lines(
        "More containers", {"all pages": (counts, [sum(known[n].pages.values()) for n in counts]), "base layer": (counts, [known[n].pages["layer"] for n in counts])},
        axes.linear("containers", (), top=MOST), axes.linear("pages", [sum(known[n].pages.values()) for n in counts]), at=one.params.containers)
    return "\n".join(lines), [memory, grown]


def _idle(containers: int, isolation: str, layer: str, private_kib: int) -> dict[str, str]:
    return {"layer": "one kernel keeps what it has read of the layer, for all its containers"} if isolation == "process" else {}


def panel() -> Panel:
    """So many containers, on one kernel or on a kernel each, with the layer by either way."""
    return Panel(_model, [
        declared(DensityParams, "containers", "Containers", value=4, high=MOST),
        declared(DensityParams, "isolation", "Isolation"),
        declared(DensityParams, "layer", "Base layer by"),
        declared(DensityParams, "private_kib", "Own memory, KiB")], _view, name="isolate_containers", idle=_idle)
