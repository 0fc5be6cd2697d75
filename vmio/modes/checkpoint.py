"""A whole machine as plain data, between any two steps of a run, and back into a machine that has just been made.

    machine = Machine(checkpoints=True)         planned and switched on as ever
    run = machine.start((guest, program))
    while run.step():
        state = machine.save()

    other = Machine(checkpoints=True)           planned in the same way
    other.power_on()
    run = other.restore(state, (guest, program))
    run.to_the_end()

Guests that run machine code have no program to be told anything: they are saved while they stand still between two
instructions (`save_still`), and who has made them lets them go on.

All that a machine has is in it: host and guest memory, page tables, vCPUs, counts of exits, devices, requests on
their way, what is to come and in which order.  Three things are not, and must be the same where it is restored: the
plan, the programs, and the sectors of a shared image under an `Overlay`.  Whoever looks on (probes, traces) is no
part of the machine.  docs/checkpoint.md says how the parts do it and what is refused.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import ModuleType
from typing import TypeAlias

from vmio.hypervisor.runs import Run
from vmio.host import checkpoint as disk
from vmio.host import nvme_checkpoint as assignable
from vmio.host.accelerator import checkpoint as engine
from vmio.host.accelerator import service_checkpoint as service
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.host.accelerator.service import AcceleratorService
from vmio.host.net import nic_checkpoint as card
from vmio.host.net.nic import HostNic
from vmio.host.nvme import AssignableNvme
from vmio.host.physical import PhysicalDisk, Slice
from vmio.hypervisor.contracts import Partition
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, plain, same
from vmio.machine.clock import Timer, Timers
from vmio.machine.memory import MemoryFault
from vmio.modes.attachments import ATTACHMENTS
from vmio.modes.contracts import Member, Whole
from vmio.modes.disk_assigned import Assignable
from vmio.vmbus.bus.packets import RingCorrupt

MACHINE = Form("machine", 3, "plan", "now", "host", "guests", "hardware", "run", "beside", "rest")
MEMBER = Form("guest and its devices", 1, "guest", "platform", "attachments", "media")
Hardware: TypeAlias = PhysicalDisk | AssignableNvme | HostNic | HostAccelerator | AcceleratorService
FORMS: dict[type, ModuleType] = {PhysicalDisk: disk, AssignableNvme: assignable, HostNic: card, HostAccelerator: engine,
                                 AcceleratorService: service}
TimersOf: TypeAlias = Callable[[Partition], Timers]     # what the programs of a guest have on its clock


def save(machine: Whole) -> State:
    """Return the machine's state; `CheckpointRefused` says which part can't be saved now, and why."""
    if machine.current is None:
        raise CheckpointRefused("checkpoint: no program has been started; until then a machine is its plan")
    saving, run = Saving(machine.host.env), machine.current
    return _save(machine, saving, run.save(saving), run.timers)


def save_still(machine: Whole, timers: Sequence[tuple[str, Timer | None]] = ()) -> State:
    """Return the state of a machine whose guests' processors stand still, their registers left to who has stopped them.

    `timers` are those that who has stopped them has on each guest's clock.

    `CheckpointRefused` says which part can't be saved now, and why; little time is lost for that, as memory comes last.
    """
    return _save(machine, Saving(machine.host.env), None, lambda guest: list(timers))


def _save(machine: Whole, saving: Saving, run: State | None, timers: TimersOf) -> State:
    for each in machine.guests:
        if each.changed:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: devices of guest {each.name} have come or gone since it was planned, and "
                                    "a checkpoint is restored into a machine that was planned alike")

    def of_guest(guest: Partition) -> Timers:
        return [*timers(guest), *(each for part in machine.beside for each in part.timers(guest))]
    guests = [_save_guest(guest, of_guest, saving) for guest in machine.guests]
    hardware = [_form(each).save(each, saving) for each in _hardware(machine)]
    beside = [part.save(saving) for part in machine.beside]
    rest = saving.rest()
    return plain(MACHINE.state(plan=_plan(machine), now=saving.now, host=machine.host.save(saving), guests=guests, run=run,
                               hardware=hardware, beside=beside, rest=rest))


def restore(machine: Whole, state: State, programs: Sequence[tuple], limit_ns: int | None) -> Run:
    """Make a machine that was planned alike, and has run nothing, the saved one; returns its run.

    `programs` are the (guest, program) pairs and `limit_ns` the limit that it was started with.  `CheckpointRefused` names
    the first entry that is unknown, missing, or not as it is here; after that the machine can't be used.
    """
    if machine.host is None or machine.current is not None:
        raise CheckpointRefused("checkpoint: only a machine that was just switched on can be restored")
    if not machine.checkpoints:
        raise CheckpointRefused("checkpoint: programs are told again what they were told; Machine(checkpoints=True) does that")
    saved = MACHINE.take(state)
    same("plan", saved["plan"], _plan(machine))
    run = machine.start(*programs, limit_ns=limit_ns)
    with damage_refused():
        _restore(machine, saved, run, run.timers)
    return run


def restore_still(machine: Whole, state: State, timers: Sequence[tuple[str, Timer | None]] = ()) -> None:
    """Make a machine that was planned alike, and has run nothing, the one that `save_still` saved; as `restore` otherwise.

    `timers` are set again by who calls this, for the times that they had.
    """
    saved = MACHINE.take(state)
    same("plan", saved["plan"], _plan(machine))
    with damage_refused():
        _restore(machine, saved, None, lambda guest: list(timers))


@contextmanager
def damage_refused() -> Iterator[None]:
    """Whatever goes wrong in the block, because a state is none that was ever saved, is `CheckpointRefused`."""
    try:
        yield
    except CheckpointRefused:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, MemoryFault, RingCorrupt, struct.error) as error:
        raise CheckpointRefused(f"checkpoint: damaged, {type(error).__name__}: {error}") from error


def _plan(machine: Whole) -> State:
    """What must be the same, before anything else is looked at."""
    names = {kind: " ".join(name) for name, kind in ATTACHMENTS.items()}
    return {"cores": machine.host.cores.count, "guests": [
        {"name": guest.name, "ram_mib": guest.ram_mib, "devices": [
            [names[type(attachment)], medium and medium.sectors] for attachment, medium in zip(guest.attachments, guest.media)]}
        for guest in machine.guests]}


def _hardware(machine: Whole) -> list[Hardware]:
    """The host's physical disks and cards, in the order of the guests that have parts of them."""
    found: list[Hardware] = []
    for attachment, backend in (each for guest in machine.guests for each in zip(guest.attachments, guest.backends)):
        whole = (backend.disk if isinstance(backend, Slice) else backend.machine if isinstance(backend, Assignable)
                 else getattr(attachment, "hardware", None))
        if whole is not None and whole not in found:
            found.append(whole)
    return found


def _form(whole: Hardware) -> ModuleType:
    """Who saves and restores this device."""
    return next(form for kind, form in FORMS.items() if isinstance(whole, kind))


def _timers(guest: Member, of_program: TimersOf) -> list:
    """All that may be on the guest's clock, as (name, timer) pairs."""
    found = list(guest.platform.timers())
    for number, attachment in enumerate(guest.attachments):
        found += [(f"device {number} {name}", timer) for name, timer in attachment.timers()]
    return found + list(of_program(guest.guest))


def _save_guest(guest: Member, timers: TimersOf, saving: Saving) -> State:
    state = MEMBER.state(guest=guest.guest.save(saving, _timers(guest, timers)), platform=guest.platform.save(saving),
                         attachments=[each.save(saving) for each in guest.attachments],
                         media=[medium and medium.saved_sectors() for medium in guest.media])
    for name in guest.guest.pins:
        if (guest.name, name) not in saving.assigned:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: {name} was given to guest {guest.name} by hand; only a device that "
                                    "the machine has attached can be saved")
    return state


def _check_owners(machine: Whole) -> None:
    """`CheckpointRefused` if a state that somebody has made up gives two guests the same memory, or memory that the host has not."""
    runs = sorted((spa, spa + length, str(guest.name)) for guest in machine.guests for _, spa, length in guest.guest.backing.runs())
    for (_, end, one), (start, _, other) in pairwise(runs):
        if start < end:
            raise CheckpointRefused(f"checkpoint: guests {one} and {other} have the same memory at {start:#x}")
    if runs and not 0 <= runs[0][0] <= runs[-1][1] <= machine.host.memory.size:
        raise CheckpointRefused(f"checkpoint: guest {runs[-1][2]} has memory that the host has not, up to {runs[-1][1]:#x}")


def _restore(machine: Whole, saved: State, run: Run | None, timers: TimersOf) -> None:
    """What came while the machine ran, then memory, what is plugged in, then the vCPUs, which hear what devices say, then the programs."""
    host = machine.host
    members = [(guest, MEMBER.take(each)) for guest, each in zip(machine.guests, saved["guests"], strict=True)]
    for guest, each in members:
        for attachment, state in zip(guest.attachments, each["attachments"], strict=True):
            if hasattr(attachment, "come_again"):
                attachment.come_again(state)
    restoring = Restoring(host.env, saved["now"])
    host.restore(saved["host"], restoring)
    memories = [guest.guest.restore_memory(each["guest"]) for guest, each in members]
    _check_owners(machine)
    for guest, each in members:
        for medium, state in zip(guest.media, each["media"], strict=True):
            if medium is not None:
                medium.take_back(state)
        guest.platform.restore(each["platform"], restoring)
        for attachment, state in zip(guest.attachments, each["attachments"], strict=True):
            attachment.restore(state, restoring, guest.platform)
    for whole, state in zip(_hardware(machine), saved["hardware"], strict=True):
        _form(whole).restore(whole, state, restoring)
    if run is not None:
        run.restore(saved["run"], restoring)
    for part, state in zip(machine.beside, saved["beside"], strict=True):
        part.restore(state, restoring)
    for (guest, _), memory in zip(members, memories):
        own = [each for part in machine.beside for each in part.timers(guest.guest)]
        guest.guest.restore(memory, restoring, [*_timers(guest, timers), *own])
    for at in saved["rest"]:
        restoring.event(at)
    restoring.finish()
