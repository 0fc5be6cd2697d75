"""Dynamic memory as plain data and back: how far the start-up is, what was asked, which pages the host has."""

from collections import Counter

from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.vmbus.balloon import wire as w
from vmio.vmbus.balloon.dynamic import DUE, DynamicMemory
from vmio.vmbus.balloon.wire import Message

MEMORY = Form("dynamic memory", 1, "options", "state", "protocol", "capabilities", "report", "reported_at", "asked", "wanted", "got", "adding", "region_end",
              "memory_asked", "can_add", "ballooned", "spare", "heard", "corrupt")


def save(memory: DynamicMemory) -> State:
    """Return it; the bus saves rings and workers, the guest where its RAM lies."""
    return MEMORY.state(
        options=[memory.maximum, memory.versions], state=memory.state, protocol=memory.version, capabilities=memory.capabilities,
        report=memory.report and list(memory.report), reported_at=memory.reported_at, asked=memory.asked, wanted=memory.wanted,
        got=memory.got, adding=memory.adding, region_end=memory.region_end, memory_asked=memory.guest.memory_asked, can_add=memory.can_add,
        ballooned=memory.ballooned.runs, spare=memory.ballooned.spare, heard=dict(memory.heard), corrupt=memory.corrupt)


def restore(memory: DynamicMemory, state: State) -> None:
    """Take it back, after the bus; `CheckpointRefused` for pages that the guest has and has given at once."""
    saved = MEMORY.take(state)
    same("dynamic memory, options", saved["options"], [memory.maximum, memory.versions])
    if saved["state"] not in DUE:
        raise CheckpointRefused(f"checkpoint, dynamic memory: state {saved['state']!r}; {', '.join(DUE)} are known")
    memory.state, memory.version, memory.capabilities = saved["state"], saved["protocol"], saved["capabilities"]
    memory.report = saved["report"] and w.STATUS_REPORT.record._make(saved["report"])
    memory.reported_at, memory.asked = saved["reported_at"], saved["asked"] and Message(saved["asked"])
    memory.wanted, memory.got, memory.adding, memory.can_add = saved["wanted"], saved["got"], saved["adding"], saved["can_add"]
    memory.guest.memory_asked, memory.region_end = saved["memory_asked"], saved["region_end"]
    memory.ballooned.restore(saved["ballooned"], saved["spare"])
    memory.heard, memory.corrupt = Counter(saved["heard"]), saved["corrupt"]
