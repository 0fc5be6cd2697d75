"""Devices that come and go, and disks that grow, on a machine that runs.

    device = machine.add(guest, attachment("disk", "split"), medium)      the guest is offered it as soon as it can be
    machine.grow(device, sectors)
    machine.remove(device)                                                as the device's protocol asks for it
    machine.remove(device, at_once=True)                                  whatever the guest does with it

In the guest, a program looks now and then what has changed:

    for what, driver in (yield from guest.follow(cpu)):                   "added" or "removed"

A request is never lost and never done twice: one that is under way when its device is taken away is answered, or ends with
an error, and what was answered is on the medium.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from enum import Enum
from typing import Protocol

from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.host.scheduler import Share
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import SectorStore
from vmio.modes.attachments import Attachment
from vmio.modes.platform import Backend, Platform
from vmio.vmbus.bus.device import BusDevice

NO_HOT_PLUG = "the board has no hot plug; a device on VMBus can"


class Removable(Attachment, Protocol):
    """An attachment that may come and go while its guest runs.

    The guest's part (`appears`, `goes`, `leave`) knows nothing but what the guest has been told.
    """

    number: int           # on its guest's bus
    own_channel: bool     # it has one there; a unit of a controller has none
    fixed: str | None     # why it can't come or go

    @property
    def offered(self) -> BusDevice:
        """What the guest finds on its bus."""

    def take_away(self, done: Callable[[], None], at_once: bool) -> None:
        """Begin to take it away, `at_once` or as its protocol asks for it; `done()` when its backend is free."""

    def appears(self) -> Steps[bool]:
        """Return whether the guest sees it; a generator."""

    def goes(self) -> Steps[bool]:
        """Return whether the guest has been told that it goes, or is to be given back; a generator."""

    def leave(self, cpu: VCpu) -> Steps[None]:
        """Let go of it, in the guest; a generator.  Each request has ended then, well or with an error."""


class RemovableDisk(Removable, Protocol):
    """A disk, whose backend is made of a medium while the machine runs."""

    def later(self, host: Host, medium: SectorStore, ready: Callable[[Backend], None]) -> None:
        """Make a backend for `medium`; `ready(backend)` when it can be used."""

    def grow(self, sectors: int) -> None:
        """Have so many sectors, and say so to the guest.  ValueError, with nothing changed, if it can't."""


class Owner(Protocol):
    """A guest, as this file sees a `GuestMachine`."""

    name: str | None
    vcpus: int
    platform: Platform
    attachments: list[Attachment]
    media: list[SectorStore | None]
    backends: list[Backend]
    mine: list[tuple]
    later_pages: GuestPages
    changed: bool

    @property
    def host(self) -> Host:
        """The host of the machine."""


class Whole(Protocol):
    """A machine, as this file sees a `Machine`."""

    on: bool

    @property
    def guests(self) -> Sequence[Owner]:
        """Its guests."""

    @property
    def host(self) -> Host:
        """Its host."""


class State(str, Enum):
    """How far a device is that comes or goes: the host's view of it."""

    MADE = "made"          # its backend comes up, and the guest has not been told
    OFFERED = "offered"    # the guest has been told, and may use it
    WANTED = "wanted"      # the guest has been told that it goes
    GONE = "gone"          # its backend is free


class Device:
    """A device of a guest (a `GuestMachine`) that was added, or is taken away, while it runs.

    `history` has (time in ns, state) for each of its states; a physical disk that was `made_for_it` alone goes with it.
    """

    def __init__(self, guest: Owner, attachment: Removable, medium: SectorStore | None, backend: Backend) -> None:
        self.guest, self.attachment, self.medium, self.backend = guest, attachment, medium, backend
        self.made_for_it = False
        self.history: list[tuple[int, State]] = []

    @property
    def state(self) -> State:
        """How far it is."""
        return self.history[-1][1]

    def become(self, state: State) -> None:
        """Note what it is from now on."""
        self.history.append((self.guest.host.env.now, state))

    def offer(self, backend: Backend) -> None:
        """Its backend is there: let the guest have it."""
        self.backend = backend
        self.attachment.plug(self.guest.platform, backend)
        if self.attachment.own_channel:
            self.guest.platform.came_later.add(self.attachment.offered.instance_id)
        self.guest.attachments.append(self.attachment)
        self.guest.media.append(self.medium)
        self.guest.backends.append(backend)
        self.become(State.OFFERED)

    def take(self, at_once: bool) -> None:
        """Begin to take it away."""
        guest, attachment = self.guest, self.attachment
        self.become(State.WANTED)
        channel = attachment.offered.channel
        if attachment.own_channel and channel is not None:
            number = attachment.number
            channel.on_released = lambda: guest.platform.free_number(number)
        attachment.take_away(self._gone, at_once)

    def _gone(self) -> None:
        """The host has its backend back."""
        if self.state is State.GONE:
            return
        guest = self.guest
        at = guest.attachments.index(self.attachment)
        for each in (guest.attachments, guest.media, guest.backends):
            del each[at]
        if self.made_for_it:
            self.backend.dispose()
        self.become(State.GONE)


def add(machine: Whole, guest: Owner, attachment: Attachment, medium: SectorStore | None, backend: Backend) -> Device:
    """See `Machine.add`."""
    who = f"guest {guest.name}: {type(attachment).__name__}"
    if not machine.on:
        raise ValueError(f"{who}: the machine is off; plan the device with attach")
    known = _removable(attachment, who)
    if (medium is None) == (backend is None):
        raise ValueError(f"{who}: a medium or a backend is needed, and not both")
    if attachment in guest.attachments:
        raise ValueError(f"{who}: the guest has it already")
    if medium is not None and not hasattr(attachment, "later"):
        raise ValueError(f"{who}: it is no disk; it needs a backend, not a medium")
    guest.platform.bus.check_room()
    if hasattr(attachment, "claim"):        # now, as nobody can be told later: a disk's backend takes its time
        attachment.claim(guest.platform)
    device = Device(guest, known, medium, backend)
    device.become(State.MADE)
    if medium is None:
        device.offer(backend)
    else:
        device.made_for_it = True
        known.later(machine.host, medium, device.offer)     # type: ignore[attr-defined]  # a `RemovableDisk`
    guest.changed = True
    return device


def remove(machine: Whole, device: Device | Attachment, at_once: bool) -> Device:
    """See `Machine.remove`."""
    if not isinstance(device, Device):
        device = _planned(machine, device)
    guest, attachment = device.guest, device.attachment
    who = f"guest {guest.name}: {type(attachment).__name__}"
    if device.history and device.state is not State.OFFERED and not (at_once and device.state is State.WANTED):
        raise ValueError(f"{who} is {device.state.value}; only one that is offered can be taken away")
    others = [each for each in guest.attachments if getattr(each, "controller", None) is attachment]
    if others:
        raise ValueError(f"{who}: {len(others)} more disks are on its controller; remove them first")
    device.take(at_once)
    guest.changed = True
    return device


def _removable(attachment: Attachment, who: str) -> Removable:
    """Return it; ValueError for a device that has no way to tell its guest."""
    why = getattr(attachment, "fixed", NO_HOT_PLUG)
    if why is not None:
        raise ValueError(f"{who} can't come or go while its guest runs: {why}")
    return attachment  # type: ignore[return-value]  # it says so itself


def _planned(machine: Whole, attachment: Attachment) -> Device:
    """The device that was planned with this attachment."""
    for guest in machine.guests:
        if attachment in guest.attachments:
            at, who = guest.attachments.index(attachment), f"guest {guest.name}: {type(attachment).__name__}"
            return Device(guest, _removable(attachment, who), guest.media[at], guest.backends[at])
    raise ValueError(f"{type(attachment).__name__}: no guest of this machine has it")


def grow(machine: Whole, device: Device | Attachment, sectors: int) -> None:
    """See `Machine.grow`."""
    attachment = device.attachment if isinstance(device, Device) else device
    if not hasattr(attachment, "grow"):
        raise ValueError(f"{type(attachment).__name__} can't grow while its guest runs: it has no way to tell the guest")
    if isinstance(device, Device) and device.history and device.state is not State.OFFERED:
        raise ValueError(f"guest {device.guest.name}: {type(attachment).__name__} is {device.state.value}; only one that is offered can grow")
    if not machine.on or not any(attachment in guest.attachments for guest in machine.guests):
        raise ValueError(f"{type(attachment).__name__}: no guest that runs has it, so it can't grow")
    attachment.grow(sectors)


def share(machine: Whole, guest: Owner, vcpus: int | None, fields: dict) -> None:
    """See `Machine.share`."""
    if vcpus is not None:
        raise ValueError(f"guest {guest.name}: vcpus {vcpus}; a guest keeps the {guest.vcpus} that it was planned with, as it is told their "
                         "number once, at its start; what can change is the host's cores, and its share of a disk")
    layers = {id(layer): layer for backend in guest.backends if (layer := getattr(backend, "layer", None)) is not None}
    if not layers:
        raise ValueError(f"guest {guest.name}: it has no disk that the host's block layer shares out")
    name, known = guest.name or "", [field.name for field in dataclass_fields(Share)]
    for field in fields:
        if field not in known:
            raise ValueError(f"guest {guest.name}: share {field!r}; choose of {', '.join(known)}")
    wanted = {key: replace(layer.service_share(name), **fields) for key, layer in layers.items()}    # all of it can be, or nothing is
    for key, layer in layers.items():
        layer.change(name, **{field: getattr(wanted[key], field) for field in fields})


def follow(guest: Owner, cpu: VCpu) -> Steps[list[tuple]]:
    """See `GuestMachine.follow`."""
    news: list[tuple] = []
    for attachment, driver in list(guest.mine):
        if hasattr(attachment, "goes") and (yield from attachment.goes()):
            yield from attachment.leave(cpu)
            guest.mine.remove((attachment, driver))
            news.append(("removed", driver))
    known = [attachment for attachment, _ in guest.mine]
    driven = {each.offered.instance_id for each in known if hasattr(each, "offered")}
    yield from guest.platform.sweep(driven)        # what went before its driver was up
    for attachment in list(guest.attachments):
        if attachment not in known and hasattr(attachment, "appears") and (yield from attachment.appears()):
            driver = yield from _bring_up(guest, attachment, cpu)
            if driver is not None:
                guest.mine.append((attachment, driver))
                news.append(("added", driver))
    return news


def _bring_up(guest: Owner, attachment: Attachment, cpu: VCpu) -> Steps:
    """Boot its driver; None if the device has gone again meanwhile."""
    channel = guest.platform.seen(attachment.offered) if hasattr(attachment, "offered") else None
    try:
        return (yield from attachment.boot(cpu, guest.later_pages))
    except DriverError:
        if channel is not None and channel.rescinded:
            yield from guest.platform.abandon(channel)
        elif not hasattr(attachment, "appears") or (yield from attachment.appears()):
            raise
        return None
