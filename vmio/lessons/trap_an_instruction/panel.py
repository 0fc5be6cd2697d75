"""Machine, tables and panel of *Trap an instruction*: what exits, who answers, what it costs."""

from vmio.devices.board import Board
from vmio.experiments import instructions
from vmio.hypervisor.costs import PRESETS, CostModel, published
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.host import Host
from vmio.lab.controls import choice, log2_slider
from vmio.lab.figures import CountBars, StackedBars
from vmio.lab.machine_view import MachineView, edge
from vmio.lab.panel import Panel
from vmio.table import table


def machine():
    """A PC with 1 MiB of RAM for one guest; its first vCPU.  Exits are kept one by one as well as counted."""
    guest = Host(memory_mib=8).guest("student", ram_mib=1)
    Board(guest)
    guest.cpu.keep_trace()
    return guest.cpu


def exit_table(cpu):
    """Each kind of exit that `cpu` has made: what the guest executed, who answered, the price."""
    rows = [(row.instruction, row.reason.value, _where(row), row.device, row.handler, row.count, row.total_ns)
            for row in cpu.exits.rows]
    rows.append(("all", "", "", "", "", cpu.exits.total, cpu.exits.ns))
    return table(rows, ("instruction", "exit reason", "address", "device", "answered by", "exits", "ns"), "<<><<>>")


def _where(row):
    """Port or number; accesses to memory that nobody answers share a row."""
    return "no RAM" if row.reason is ExitReason.EPT_VIOLATION and row.device == "nobody" else f"{row.address:X}h"


def trace_table(cpu, last=8):
    """The last exits as they happened."""
    rows = [(one.time, one.reason.value, "write" if one.write else "read", f"{one.address:X}h", one.size, one.count,
             f"{one.value:X}h", one.device, one.cost) for one in list(cpu.trace)[-last:]]
    return table(rows, ("at ns", "exit reason", "", "address", "bytes", "units", "value", "device", "cost ns"),
                 "><<>>>><>")


def cost_table(preset="server-2022"):
    """The prices in use and the published rows that they come from."""
    return table(CostModel.preset(preset).table_rows(), ("price", "value", "unit", "source row(s)"),
                 title=f"cost preset {preset}")


def ladder_table():
    """The ladder fitted on 2012, against rows that were not used for the fit: ratios to a null hypercall."""
    fitted = CostModel.preset("kvm-2012")
    rows = published()

    def measured(row, null):
        return float(rows[row]["value"]) / float(rows[null]["value"])

    def ratio(handler, decode):
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


_exits = CountBars("Exits by who answers", width=4.6, height=2.0, left=0.3)
_time = StackedBars("Virtual time", unit="us", width=4.6, height=2.5)


def _view(result):
    rows = [(name, count, count / result.count) for name, count in result.exits.items()] or [("none", 0, 0)]
    handlers = {name: result.handlers.get(name, 0) for name in ("hypervisor", "worker")}
    text = "\n".join([
        f"{result.count:,} x {result.instruction}",
        f"exits {result.exits_total:,}", f"virtual time {result.virtual_ns:,} ns",
        f"per instruction {result.virtual_ns / result.count:,.1f} ns", "",
        table(rows, ("exits by", "count", "each"))])
    times = {"time": {"exit": result.exit_ns / 1000, "device": result.device_ns / 1000}}
    kernel, worker = handlers["hypervisor"], handlers["worker"]
    edges = [edge("guest", "hypervisor", "exits", kernel + worker), edge("hypervisor", "host", "to the worker", worker)]
    return text, [_exits.update(handlers), _time.update(times)], {"edges": edges, "title": result.instruction}


def panel():
    """Any instruction, any number of times, on any generation of processor."""
    return Panel(instructions.run, [
        choice("instruction", instructions.PROGRAMS, label="Instruction"),
        log2_slider("count", 1, 512, 64, label="How many"),
        choice("costs", PRESETS, "server-2022", label="Cost preset")],
        _view, name="trap_an_instruction", live=MachineView(title="Instructions"))
