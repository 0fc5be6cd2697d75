"""The host's accelerator service as plain data and back, between two jobs: whose on-chip memory is loaded, the host's driver, the device.

What a job under way has done is in the frame of the service's own process, so a service is saved while it has none.
"""

from vmio.host.accelerator.service import AcceleratorService
from vmio.host.clock import of_host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same

SERVICE = Form("accelerator service", 1, "fixed", "switches", "next", "loaded", "down", "driver", "engine", "function", "clocks")


def save(service: AcceleratorService, saving: Saving) -> State:
    """Return it; `CheckpointRefused` before it has begun, and while it has a job."""
    if not service.waits or any(context.jobs for context in service.contexts):
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: the host's matrix engine works for a guest, and its service is saved between two jobs")
    function, driver = service.function, service.driver
    return SERVICE.state(
        fixed=_fixed(service), switches=service.switches, next=service._next, down=service._down,
        loaded=None if service.loaded is None else service.contexts.index(service.loaded), driver=[driver.tail, driver.interrupts],
        engine=service.engine.save([function]), function=function.save(),
        clocks=[of_host(service.engine.clock).save(saving, []), of_host(function.clock).save(saving, function.timers())])


def restore(service: AcceleratorService, state: State, restoring: Restoring) -> None:
    """Take it back; it waits for a job."""
    saved, function, driver = SERVICE.take(state), service.function, service.driver
    same("accelerator service", saved["fixed"], _fixed(service))
    service.switches, service._next, service._down = saved["switches"], saved["next"], saved["down"]
    service.loaded = None if saved["loaded"] is None else service.contexts[saved["loaded"]]
    driver.tail, driver.interrupts = saved["driver"]
    function.restore(saved["function"])
    service.engine.restore(saved["engine"], [function])
    for clock, owners, each in zip((service.engine.clock, function.clock), ([], function.timers()), saved["clocks"], strict=True):
        of_host(clock).restore(each, restoring, owners)
    service.start()


def _fixed(service: AcceleratorService) -> list:
    """What is fixed when it is made: the slice, where the driver's memory lies, and where each guest's on-chip memory is kept."""
    return [service.slice_ns, service.driver.base, [context.kept for context in service.contexts]]
