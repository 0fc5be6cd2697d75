"""The accelerator's VSP as plain data and back: the version that was agreed on, and the memory that the guest has named."""

from vmio.machine.checkpoint import CheckpointRefused, Form, State
from vmio.machine.window import Window
from vmio.vmbus.accelerator.vsp import AcceleratorVsp

VSP = Form("accelerator's VSP", 1, "spoken", "mapped", "refused")


def save(vsp: AcceleratorVsp) -> State:
    """Return it; command buffers that were let through are the service's to save."""
    return VSP.state(spoken=vsp.version, mapped=list(vsp.mapped), refused=vsp.refused)


def restore(vsp: AcceleratorVsp, state: State) -> None:
    """Take it back, after the bus: its channel is open if it was, and the GPADLs are there."""
    saved = VSP.take(state)
    vsp.version, vsp.refused = saved["spoken"], saved["refused"]
    for handle in saved["mapped"]:
        gpadl = None if vsp.server is None else vsp.server.gpadls.by_handle.get(handle)
        if gpadl is None or gpadl.whole_pages is None or vsp.guest is None:
            raise CheckpointRefused(f"checkpoint, accelerator's VSP: the guest has named GPADL {handle:#x}, which is not there")
        vsp.mapped[handle] = Window(vsp.guest.seen, gpadl.whole_pages)
