"""What a KVM host's administrator reads: the table of `perf kvm stat`, and the lines of `kvm_stat`.

    recorder = ExitRecorder(machine)
    recorder.on()
    ...
    print(recorder.report())

`perf` writes each exit down, so this is dearer than the monitor, as `perf` is; an exit's time goes from leaving the guest to coming
back to it, so that of a HLT is the sleep.  Source: Linux 6.1, tools/perf/builtin-kvm.c (print_result, kvm_event_rel_stddev),
tools/perf/arch/x86/util/kvm-stat.c, tools/kvm/kvm_stat/kvm_stat (batch).
"""

from collections.abc import Callable
from functools import partial
from math import sqrt

from vmio.hypervisor.exits import Exit, ExitReason
from vmio.machine.probes import watch
from vmio.manage.monitor.metrics import Sample
from vmio.modes import Machine

KVM_NAMES = {ExitReason.RDMSR: "MSR_READ", ExitReason.WRMSR: "MSR_WRITE"}      # the others are KVM's names as they are
ORDERS = ("sample", "time")
NAME_WIDTH = 20


class Event:
    """One reason: how often, how long in all, least, most and - by Welford's way, as perf does it - the variance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = self.time = self.max = 0
        self.min = 1 << 63
        self._mean = self._squares = 0.0

    def add(self, ns: int) -> None:
        """Take one more."""
        self.count += 1
        self.time += ns
        self.min, self.max = min(self.min, ns), max(self.max, ns)
        delta = ns - self._mean
        self._mean += delta / self.count
        self._squares += delta * (ns - self._mean)

    @property
    def error(self) -> float:
        """The standard error of the mean in percent of the mean."""
        if self.count < 2 or not self._mean:
            return 0.0
        return 100 * sqrt(self._squares / (self.count - 1) / self.count) / self._mean


class ExitRecorder:
    """Records each exit of all guests of a machine, from `on` to `off`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.events: dict[str, Event] = {}
        self._stops: list[Callable[[], None]] = []
        self._halting: dict[int, int] = {}       # of a vCPU that sleeps: what its HLT cost

    def on(self) -> None:
        """Begin; nothing happens if it has."""
        if not self._stops:
            for guest in self.machine.guests:
                for cpu in guest.guest.vcpus:
                    self._stops += [watch(cpu.table, "exited", partial(self._exited, id(cpu))), watch(cpu, "slept", partial(self._slept, id(cpu)))]

    def off(self) -> None:
        """End; what was recorded stays."""
        for stop in self._stops:
            stop()
        self._stops.clear()

    def _exited(self, cpu: int, exit: Exit) -> None:
        if exit.reason is ExitReason.HLT:
            self._halting[cpu] = exit.cost       # its time is known when it ends
        else:
            self._add(exit.reason, exit.cost)

    def _slept(self, cpu: int, span: tuple[int, int]) -> None:
        self._add(ExitReason.HLT, self._halting.pop(cpu, 0) + span[1] - span[0])

    def _add(self, reason: ExitReason, ns: int) -> None:
        name = KVM_NAMES.get(reason, reason.value)
        if name not in self.events:
            self.events[name] = Event(name)
        self.events[name].add(ns)

    def report(self, order: str = "sample") -> str:
        """Return what `perf kvm stat report` prints; by number or by "time", largest first.  ValueError for another order."""
        if order not in ORDERS:
            raise ValueError(f"order {order!r}: choose one of {', '.join(ORDERS)}")
        events = sorted(self.events.values(), key=lambda each: (-(each.count if order == "sample" else each.time), each.name))
        return perf_table(events)


def perf_table(events: list[Event]) -> str:
    """Return the table of events, as they come."""
    count, time = sum(each.count for each in events), sum(each.time for each in events)
    lines = ["", "", "Analyze events for all VMs, all VCPUs:", "",
             f"{'VM-EXIT':>{NAME_WIDTH}} {'Samples':>10} {'Samples%':>9} {'Time%':>9} {'Min Time':>11} {'Max Time':>11} {'Avg time':>16} ", ""]
    for each in events:
        lines.append(f"{each.name:>{NAME_WIDTH}} {each.count:10d} {each.count / count * 100:8.2f}% {each.time / time * 100 if time else 0:8.2f}% "
                     f"{each.min / 1000:9.2f}us {each.max / 1000:9.2f}us {each.time / each.count / 1000:9.2f}us ( +-{each.error:7.2f}% )")
    return "\n".join([*lines, "", f"Total Samples:{count}, Total events handled time:{time / 1000:.2f}us.", "", ""])


# kvm_stat's names for what we count, by the reason of an exit.
_FIELDS = {"io_exits": ("IO_INSTRUCTION",), "mmio_exits": ("EPT_VIOLATION",), "halt_exits": ("HLT",), "irq_exits": ("EXTERNAL_INTERRUPT",),
           "irq_window_exits": ("INTERRUPT_WINDOW",), "hypercalls": ("VMCALL",)}


def kvm_stat(now: Sample, last: Sample | None = None) -> str:
    """Return what `kvm_stat -1` prints, a line for each counter: its name, its value, and what came since `last`."""
    lines = []
    for name, value in sorted(_counted(now).items()):
        before = 0 if last is None else _counted(last)[name]
        lines.append(f"{name:<42}{value:10d}{value - before:10d}")
    return "\n".join(lines) + "\n"


def _counted(sample: Sample) -> dict[str, int]:
    counted = {name: sum(sample.get("vmio_exits_total", reason=reason) for reason in reasons) for name, reasons in _FIELDS.items()}
    counted["halt_attempted_poll"] = sample.get("vmio_halt_polls_total")
    counted["halt_successful_poll"] = sample.get("vmio_halt_polls_total", outcome="success")
    for outcome in ("success", "fail"):
        counted[f"halt_poll_{outcome}_ns"] = sample.get("vmio_halt_poll_seconds_total", outcome=outcome)
    return counted | {"exits": sample.get("vmio_exits_total"), "irq_injections": sample.get("vmio_vcpu_interrupts_total"),
                      "halt_wakeup": sample.get("vmio_halts_total")}
