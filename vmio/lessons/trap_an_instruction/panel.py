"""Machine, tables and panel of *Trap an instruction*: what exits, who answers, what it costs."""

from vmio.experiments import instructions, stops
from vmio.experiments.instructions import InstructionParams, InstructionResult
from vmio.hypervisor.costs import PRESETS, CostModel, published
from vmio.hypervisor.exits import ExitReason, Intercept
from vmio.hypervisor.kinds import KINDS
from vmio.hypervisor.vcpu import VCpu
from vmio.lab import charts
from vmio.lab.declared import declared
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel, Shown
from vmio.modes import attachment, one_guest
from vmio.table import table


def machine() -> VCpu:
    """A PC with 1 MiB of RAM for one guest; its first vCPU.  Exits are kept one by one as well as counted."""
    cpu = one_guest(attachment("serial", "emulated"), name="student", ram_mib=1).cpu
    cpu.keep_trace()
    return cpu


def exit_table(cpu: VCpu) -> str:
    """Each kind of exit that `cpu` has made: what the guest executed, who answered, the price."""
    rows = [(row.instruction, row.reason.value, _where(row), row.device, row.handler, row.count, row.total_ns)
            for row in cpu.exits.rows]
    rows.append(("all", "", "", "", "", cpu.exits.total, cpu.exits.ns))
    return table(rows, ("instruction", "exit reason", "address", "device", "answered by", "exits", "ns"), "<<><<>>")


def _where(row: Intercept) -> str:
    """Port or number; accesses to memory that nobody answers share a row."""
    return "no RAM" if row.reason is ExitReason.EPT_VIOLATION and row.device == "nobody" else f"{row.address:X}h"


def trace_table(cpu: VCpu, last: int = 12) -> str:
    """The last exits as they happened."""
    rows = [(one.time, one.reason.value, "write" if one.write else "read", f"{one.address:X}h", one.size, one.count,
             f"{one.value:X}h", one.device, one.cost) for one in list(cpu.trace or ())[-last:]]
    return table(rows, ("begins at ns", "exit reason", "", "address", "bytes", "units", "value", "device", "cost ns"),
                 "><<>>>><>")


def cost_table(preset: str = "server-2022") -> str:
    """The prices in use and the published rows that they come from."""
    return table(CostModel.preset(preset).table_rows(), ("price", "value", "unit", "source row(s)"),
                 title=f"cost preset {preset}")


def stops_table() -> str:
    """What stops a guest that executes none of these instructions, on each kind of host."""
    rows = []
    for situation in stops.SITUATIONS:
        counts = {kind: stops.run(stops.StopParams(situation, kind)) for kind in KINDS}
        for exit in sorted(set().union(*counts.values())):
            reason, whose, ns = exit
            rows.append((situation, reason, whose, *(one[exit] for one in counts.values()), ns))
            situation = ""
    return table(rows, ("the guest", "exit reason", "whose", *KINDS, "ns each"), "<<<>>>>")


def host_properties() -> str:
    """What the kinds of host do, by default, that shows in a guest's exits."""
    return table([(kind, *of) for kind, of in KINDS.items()], ("host", "RAM is backed", "its tick, Hz"))


def ladder_table() -> str:
    """The ladder fitted on 2012, against rows that were not used for the fit: ratios to a null hypercall."""
    fitted = CostModel.preset("kvm-2012")
    rows = published()

    def measured(row: str, null: str) -> float:
        return float(rows[row]["value"]) / float(rows[null]["value"])

    def ratio(handler: str, decode: bool) -> float:
        return fitted.access_ns(handler, decode) / fitted.hypercall_ns
    lines = []
    for what, handler, decode, tests in (
            ("OUT, answered in the kernel", "hypervisor", False, (("E02.8a", "E02.2a"), None)),
            ("IN, answered in the kernel", "hypervisor", True, (("E02.7a", "E02.2a"), ("E17.3", "E17.1"))),
            ("IN, answered in user space", "worker", True, (("E02.6a", "E02.2a"), ("E17.2", "E17.1")))):
        model = ratio(handler, decode)
        for test in filter(None, tests):
            there = measured(*test)
            lines.append((what, rows[test[0]]["hardware"].split(",")[-2 if test[0][:3] == "E02" else 0].strip(),
                          test[0], f"{there:.2f}", f"{model:.2f}", f"{(model / there - 1) * 100:+.0f} %"))
    return table(lines, ("exit", "measured on", "row", "published", "model", "off by"), "<<<>>>")


def _view(result: InstructionResult) -> Shown:
    rows = [(name, count, count / result.count) for name, count in result.exits.items()] or [("none", 0, 0)]
    handlers = {name: result.handlers.get(name, 0) for name in ("hypervisor", "worker")}
    text = "\n".join([
        f"{result.count:,} x {result.instruction}",
        f"exits {result.exits_total:,}", f"virtual time {result.virtual_ns:,} ns",
        f"per instruction {result.virtual_ns / result.count:,.1f} ns", "",
        table(rows, ("exits by", "count", "each"))])
    times = {"time": {"exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    kernel, worker = handlers["hypervisor"], handlers["worker"]
    edges = [edge("guest", "hypervisor", "exits", kernel + worker), edge("hypervisor", "host", "to the worker", worker),
             edge("host", "device", "accesses", result.at_uart, kind="data")]
    shown = [charts.bars("Exits by who answers", handlers, "exits"), charts.stack("Virtual time", times, "us")]
    return text, shown, {"edges": edges, "title": result.instruction}


def panel() -> Panel:
    """Any instruction, any number of times, on any generation of processor."""
    return Panel(instructions.run, [
        declared(InstructionParams, "instruction", "Instruction"),
        declared(InstructionParams, "count", "How many", 64, high=512),
        declared(InstructionParams, "costs", "Cost preset", choices=PRESETS)],
        _view, name="trap_an_instruction", live=MachineView(title="Instructions", notes={"device": "UART"}),
        idle=lambda instruction, **_: dict.fromkeys(("count", "costs"), "it does not exit") if instruction == "MOV to RAM" else {})
