"""The host's matrix engine that guests have functions of, as plain data and back: the engine, its functions, their clocks, the IOMMU before it."""

from vmio.hardware.accelerator.function import EngineFunction
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.host.clock import HostClock, of_host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timers
from vmio.passthrough import checkpoint as passthrough
from vmio.passthrough.iommu import checkpoint as iommu

ACCELERATOR = Form("host's matrix engine", 1, "iommu", "router", "function", "engine", "functions", "clocks")


def save(machine: HostAccelerator, saving: Saving) -> State:
    """Return it."""
    functions = _functions(machine)
    return ACCELERATOR.state(
        iommu=iommu.save(machine.iommu), router=passthrough.save_router(machine.router, machine.host.guests),
        function=passthrough.save_function(machine.function), engine=machine.engine.save(functions), functions=[each.save() for each in functions],
        clocks=[clock.save(saving, timers) for clock, timers in _clocks(machine)])


def restore(machine: HostAccelerator, state: State, restoring: Restoring) -> None:
    """Take it back, when host memory and guests are; the IOMMU last, for nothing that comes before may show in it."""
    saved, functions = ACCELERATOR.take(state), _functions(machine)
    passthrough.restore_function(machine.function, saved["function"])
    for function, each in zip(functions, saved["functions"], strict=True):
        function.restore(each)
    machine.engine.restore(saved["engine"], functions)
    for (clock, timers), each in zip(_clocks(machine), saved["clocks"], strict=True):
        clock.restore(each, restoring, timers)
    passthrough.restore_router(machine.router, saved["router"], machine.host.guests)
    iommu.restore(machine.iommu, saved["iommu"])


def _functions(machine: HostAccelerator) -> list[EngineFunction]:
    """Return the physical function, then the virtual ones."""
    return [each.device for each in (machine.function, *machine.function.children)]


def _clocks(machine: HostAccelerator) -> list[tuple[HostClock, Timers]]:
    """Return the engine's clock, and that of each function, with what they have on it."""
    return [(of_host(machine.engine.clock), [("operation", machine.engine.timer)] if machine.engine.timer else []),
            *((of_host(each.clock), each.timers()) for each in _functions(machine))]
