"""Clones: a machine that was saved, once more, under names of its own.

    state = machine.save()
    who = identity("web-2")                          a GUID, an address, a serial number, all from its name
    machine = ...                                    planned as the saved one, but with `who`'s name, address and serial number
    run = restored(machine, state, (guest, program))

Two machines that are restored from one state are the same to everybody who looks: their cards have one address, their disks one
serial number.  So the host's half of each gets another identity.  What the guest has read before lies in its memory, where no host
can find it: it uses its old address until it asks its card again.  (Hyper-V tells it so by a Generation ID, a number in memory that
changes: learn.microsoft.com, "Virtual Machine Generation Identifier".)
"""

from typing import NamedTuple, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from vmio.hypervisor.runs import Run
from vmio.machine.checkpoint import CheckpointRefused, State, plain
from vmio.modes.checkpoint import MACHINE, damage_refused, restore
from vmio.modes.contracts import Whole

HYPER_V = bytes.fromhex("00155d")            # Microsoft's OUI, of which a Hyper-V host takes its guests' addresses
Same = TypeVar("Same", str, bytes)
NO_NAMES = "read", "write", "flush", "discard"     # texts of a state that are no guest's


class Identity(NamedTuple):
    """Who a guest is: its `name`, the virtual machine's `guid`, the `address` of its card, the `serial` number of its disk."""

    name: str
    guid: UUID
    address: bytes
    serial: str


def identity(name: str) -> Identity:
    """Return the identity of a guest of this name; the same for the same name, and else another."""
    guid = uuid5(NAMESPACE_URL, f"vmio:{name}")
    return Identity(name, guid, HYPER_V + guid.bytes[:3], guid.hex[12:].upper())


def restored(machine: Whole, state: State, *programs: tuple, limit_ns: int | None = None) -> Run:
    """Let `machine`, which was planned as the saved one but for names and addresses, be it; returns its run.

    `CheckpointRefused` as from `Machine.restore`, also for a name or an address that is the saved one's.
    """
    return restore(machine, renewed(state, machine), programs, limit_ns)


def renewed(state: State, machine: Whole) -> State:
    """Return the state with the names and addresses of `machine`'s plan in the host's half; the guests' memory stays as it is."""
    saved, names = plain(MACHINE.take(state)), dict[str, str]()
    with damage_refused():
        for guest, plan, member in zip(machine.guests, saved["plan"]["guests"], saved["guests"], strict=True):
            names[_other("name", plan["name"], str(guest.name))] = str(guest.name)
            for attachment, device in zip(guest.attachments, member["attachments"], strict=True):
                address = getattr(attachment, "address", None)
                if address is not None:
                    _readdress(device, address)
        for name in NO_NAMES:
            if name in names:
                raise CheckpointRefused(f"checkpoint: guest {name}: a guest with the name of a request can't be cloned")
        for member in saved["guests"]:
            member["guest"]["name"] = names[member["guest"]["name"]]
            member["attachments"] = _renamed(member["attachments"], names)
        saved["run"]["programs"] = _renamed(saved["run"]["programs"], names)
        return {**saved, "plan": _renamed(saved["plan"], names), "hardware": _renamed(saved["hardware"], names)}


def _readdress(device: State, address: bytes) -> None:
    """Let a saved card have this address, but for what the guest has told it."""
    device = device.get("card", device)
    options = device["options"]
    at = "address" if isinstance(options, dict) else 0
    old = options[at]
    options[at] = address if old != address else _other("address", old, address)
    control = device.get("vsp", {}).get("control", {})
    if control.get("address") == old:        # a guest may have given itself another (RNDIS, "NetworkAddress")
        control["address"] = address


def _other(what: str, saved: Same, here: Same) -> Same:
    """The saved one; `CheckpointRefused` if the clone has it, too."""
    if saved == here:
        raise CheckpointRefused(f"checkpoint: a clone has another {what} than {saved if isinstance(saved, str) else saved.hex(':')}, which is the saved one's")
    return saved


def _renamed(value: object, names: dict[str, str]) -> object:
    """A copy of plain data in which each text that is a name with a new one is that."""
    if isinstance(value, dict):
        return {entry: _renamed(each, names) for entry, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value
