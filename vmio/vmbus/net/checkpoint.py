"""A split network card as plain data and back: its protocol's state, which sections of its buffers the guest has, what waits."""

from collections import Counter, deque
from typing import Any

from vmio.machine.checkpoint import CheckpointRefused, Form, State
from vmio.vmbus.net.buffers import ReceiveBuffer, SharedBuffer
from vmio.vmbus.net.netvsp import NetVsp

VSP = Form("NetVSP", 1, "state", "protocol", "mtu", "capabilities", "control", "channels", "receive_buffer", "send_buffer", "outstanding",
           "waiting", "next_id", "sent", "received", "dropped", "corrupt")
BUFFER = Form("shared buffer", 1, "gpadl", "section_bytes", "free", "free_control")


def save(vsp: NetVsp) -> State:
    """Return it; the bus saves rings and workers, the network what is behind the port."""
    return VSP.state(
        state=vsp.state, protocol=vsp.version, mtu=vsp.mtu, capabilities=vsp.capabilities, control=vsp.control.save(),
        channels=vsp.control.channels, receive_buffer=_save_buffer(vsp.receive_buffer), send_buffer=_save_buffer(vsp.send_buffer),
        outstanding=[[number, channel, sections] for number, (channel, sections) in vsp.outstanding.items()], waiting=vsp.waiting,
        next_id=vsp._next_id, sent=vsp.sent, received=vsp.received, dropped=dict(vsp.dropped), corrupt=vsp.corrupt)


def restore(vsp: NetVsp, state: State) -> None:
    """Take it back, after the bus: its channel is open if it was, and the GPADLs are there."""
    saved = VSP.take(state)
    vsp.state, vsp.version, vsp.mtu, vsp.capabilities = saved["state"], saved["protocol"], saved["mtu"], saved["capabilities"]
    vsp.control.restore(saved["control"])
    vsp.control.channels = saved["channels"]
    vsp.receive_buffer = _restore_buffer(vsp, ReceiveBuffer, saved["receive_buffer"])
    vsp.send_buffer = _restore_buffer(vsp, SharedBuffer, saved["send_buffer"])
    vsp.outstanding = {number: (channel, list(sections)) for number, channel, sections in saved["outstanding"]}
    vsp.waiting, vsp._next_id = deque(saved["waiting"]), saved["next_id"]
    vsp.sent, vsp.received, vsp.dropped, vsp.corrupt = list(saved["sent"]), list(saved["received"]), Counter(saved["dropped"]), saved["corrupt"]


def _save_buffer(buffer: SharedBuffer | None) -> State | None:
    if buffer is None:
        return None
    return BUFFER.state(gpadl=buffer.gpadl.handle, section_bytes=buffer.section_bytes, free=getattr(buffer, "free", []),
                        free_control=getattr(buffer, "free_control", []))


def _restore_buffer(vsp: NetVsp, kind: Any, state: State | None) -> Any:
    if state is None:
        return None
    saved = BUFFER.take(state)
    gpadl = vsp.server.gpadls.by_handle.get(saved["gpadl"]) if vsp.server is not None else None
    if gpadl is None:
        raise CheckpointRefused(f"checkpoint, NetVSP: a buffer lies in GPADL {saved['gpadl']:#x}, which is not there")
    buffer = kind(vsp.guest, gpadl, saved["section_bytes"])
    if kind is ReceiveBuffer:
        buffer.free, buffer.free_control = deque(saved["free"]), deque(saved["free_control"])
    return buffer
