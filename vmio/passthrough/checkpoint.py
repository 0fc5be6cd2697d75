"""Assigned devices as plain data and back: who has what, what the guest sees of it, and how its interrupts come.

What the device itself holds is saved by who knows the device.
"""

from collections.abc import Callable, Sequence
from typing import Any

from vmio.hypervisor.contracts import Partition
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same, same_entries
from vmio.passthrough.assignment import Assignment
from vmio.passthrough.delivery import InterruptRouter, Request
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.posted import PostedDescriptor
from vmio.passthrough.slot import SlotAssignment
from vmio.passthrough.vpci_vsp import VpciVsp

FUNCTION = Form("host's function", 1, "name", "registers", "traffic")
ROUTER = Form("interrupt router", 2, "entries", "handlers", "own", "descriptors", "spurious")
ENTRY = Form("interrupt of a device", 1, "index", "requester", "block", "message", "guest", "place")
ASSIGNMENT = Form("assignment", 1, "function", "posted", "acquired", "mapped", "config", "accesses", "vsp")
SLOT = Form("function in a slot", 1, "assignment", "slot", "tables")
TABLE = Form("MSI-X table as the guest sees it", 1, "entries", "messages")
VSP = Form("vPCI", 1, "spoken", "powered", "ejecting", "refused", "handled", "window", "slot")


# A function of the host's, with its virtual ones.

def save_function(function: HostFunction) -> State:
    """Return its configuration, and what it and its virtual functions have done on their way to memory."""
    return FUNCTION.state(name=function.name, registers=function.pci.save(),
                          traffic=[_traffic(each) for each in (function, *function.children)])


def restore_function(function: HostFunction, state: State) -> None:
    """Take it back; it has as many virtual functions."""
    saved = FUNCTION.take(state)
    same("host's function", [saved["name"], len(saved["traffic"])], [function.name, 1 + len(function.children)])
    same_entries("host's function", saved["registers"], function.pci.save())
    function.pci.restore(saved["registers"])
    for each, (messages, blocked, reads, writes) in zip((function, *function.children), saved["traffic"]):
        pci, space = each.pci, each.space
        pci.messages, pci.blocked, space.reads, space.writes = messages, blocked, reads, writes


def _traffic(function: HostFunction) -> list[int]:
    pci, space = function.pci, function.space
    return [pci.messages, pci.blocked, space.reads, space.writes]


# Interrupts.

def save_router(router: InterruptRouter, guests: Sequence[Partition], known: Sequence[Callable[..., None]] = ()) -> State:
    """Return the use of the remapping table; `CheckpointRefused` for interrupts of drivers of the host's, but for those that are `known`."""
    own = _own(router)
    for (at, vector), call in own.items():
        if call not in known:
            raise CheckpointRefused(f"checkpoint: interrupt {vector:#x} of processor {at} is for a driver of the host's, "
                                    "which can't be saved")
    requests: dict[Any, Any] = {place: call for place, call in router._handlers.items() if place not in own}
    return ROUTER.state(
        entries=[ENTRY.state(index=index, requester=requester, block=router._blocks.get(index), message=router._messages[index],
                             guest=_number(guests, router._guests.get(index)), place=router._places.get(index))
                 for index, requester in router.owners.items()],
        handlers=[[*place, *_vcpu(guests, request.cpu), request.vector] for place, request in requests.items()], own=own.keys(),
        descriptors=[[spa, *_vcpu(guests, each.cpu), each.posts, each.notifications] for spa, each in router._descriptors.items()],
        spurious=router.spurious)


def restore_router(router: InterruptRouter, state: State, guests: Sequence[Partition]) -> None:
    """Take it back, when the host's memory is restored, where table and descriptors lie."""
    saved, own = ROUTER.take(state), _own(router)
    same("interrupt router, interrupts of the host's own drivers", saved["own"], own.keys())
    for table in (router.owners, router._blocks, router._messages, router._guests, router._places, router._handlers,
                  router._descriptors):
        table.clear()
    for each in saved["entries"]:
        entry = ENTRY.take(each)
        index = entry["index"]
        router.owners[index] = entry["requester"]
        address, data = entry["message"]
        router._messages[index] = address, data
        if entry["block"] is not None:
            router._blocks[index] = entry["block"]
        if entry["guest"] is not None:
            router._guests[index] = guests[entry["guest"]]
        if entry["place"] is not None:
            at, vector = entry["place"]
            router._places[index] = at, vector
    for at, place, guest, cpu, vector in saved["handlers"]:
        router._handlers[at, place] = Request(guests[guest].vcpus[cpu], vector)
    for spa, guest, cpu, posts, notifications in saved["descriptors"]:
        found = router._descriptors[spa] = PostedDescriptor(router.memory, spa, guests[guest].vcpus[cpu], None)
        found.posts, found.notifications = posts, notifications
    router._handlers.update(own)
    router.spurious = saved["spurious"]


def _own(router: InterruptRouter) -> dict[tuple[int, int], Callable[..., None]]:
    """Return what is called for interrupts of the host's own drivers: (APIC id, vector) -> function()."""
    return {place: call for place, call in router._handlers.items() if not isinstance(call, Request)}


def _number(guests: Sequence[Partition], guest: Partition | None) -> int | None:
    return None if guest is None else next(number for number, each in enumerate(guests) if each is guest)


def _vcpu(guests: Sequence[Partition], cpu: VCpu) -> list[int | None]:
    return [_number(guests, cpu.guest), cpu.index]


# One device in a guest's hands.

def save(lent: Assignment) -> State:
    """Return what the guest has made of it; `CheckpointRefused` once it was taken back."""
    if lent.ended:
        raise CheckpointRefused(f"checkpoint: {lent.function.name} was taken back from guest {lent.guest.name}; "
                                "only a machine that has all of its devices can be saved")
    if lent._last_chance is not None:
        raise CheckpointRefused(f"checkpoint: guest {lent.guest.name} is asked to give {lent.function.name} back; it can be saved once that is over")
    config = lent.config
    return ASSIGNMENT.state(
        function=lent.function.name, posted=lent.posted, acquired=lent._acquired, accesses=[config.reads, config.writes],
        mapped=[index for index, regions in lent._mapped.items() if regions], config=config.save(),
        vsp=None if isinstance(lent, SlotAssignment) else _save_vsp(lent.vsp))


def restore(lent: Assignment, state: State) -> None:
    """Take it back, before the guest's buses: BARs and window answer where they did."""
    saved = ASSIGNMENT.take(state)
    same("assignment", [saved["function"], saved["posted"]], [lent.function.name, lent.posted])
    same_entries("assignment, configuration", saved["config"], lent.config.save())
    lent.config.restore(saved["config"])
    lent.config.reads, lent.config.writes = saved["accesses"]
    lent._acquired = saved["acquired"]
    for index in saved["mapped"]:
        lent._bar_moves(index, lent.config.mapped[index])
    if not isinstance(lent, SlotAssignment):
        _restore_vsp(lent.vsp, saved["vsp"])


def save_in_slot(lent: SlotAssignment, slot: int) -> State:
    """Return the same of a function in a slot of the guest's PC, and the messages that the guest has set up."""
    return SLOT.state(assignment=save(lent), slot=slot, tables=[
        TABLE.state(entries=trap.entries, messages=[[number, *words] for number, words in trap.messages.items()]) for trap in lent.traps()])


def restore_in_slot(lent: SlotAssignment, slot: int, state: State) -> None:
    """Take it back, when the board is restored."""
    saved = SLOT.take(state)
    same("function in a slot, which", saved["slot"], slot)
    restore(lent, saved["assignment"])
    for trap, each in zip(lent.traps(), saved["tables"], strict=True):
        table = TABLE.take(each)
        same("MSI-X table, bytes", len(table["entries"]), len(trap.entries))
        trap.entries[:] = table["entries"]
        trap.messages = {number: (address, data, own_address, own_data) for number, address, data, own_address, own_data in table["messages"]}


def _save_vsp(vsp: VpciVsp) -> State:
    shown: Any = vsp._window
    return VSP.state(spoken=vsp.version, powered=vsp.powered, ejecting=vsp.ejecting, refused=dict(vsp.refused),
                     handled=dict(vsp.handled), window=None if shown is None else shown.base,
                     slot=None if shown is None else shown.device.slot)


def _restore_vsp(vsp: VpciVsp, state: State) -> None:
    saved = VSP.take(state)
    vsp.version, vsp.powered, vsp.ejecting = saved["spoken"], saved["powered"], saved["ejecting"]
    vsp.refused.update(saved["refused"])
    vsp.handled.update(saved["handled"])
    if saved["window"] is not None:
        vsp.show(saved["window"]).slot = saved["slot"]
