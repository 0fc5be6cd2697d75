"""Discrete device assignment (DDA): a device of the host becomes one guest's, and comes back clean.

    lent = assign(function, guest, server, router, domain)
    ...
    lent.take_back()          at once, or
    lent.eject()              the guest is asked first, and has 60 s

The order is what makes it safe.  Giving: the host lets go, the device is reset, its
DMA is confined to the guest's domain, and only then does the guest hear of it.
Taking: the guest loses its mappings, the device is reset (what was under way is
void, queues and registers are gone), its interrupts and its place in the domain
are taken away, and only then has the host it again.
"""

from collections.abc import Callable
from typing import Any

from simpy.events import Event

from vmio.devices.pci.msix import MsixCapability
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Device
from vmio.machine.memory import PAGE
from vmio.passthrough import retarget
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.function import HostFunction
from vmio.passthrough.guest_config import GuestConfig
from vmio.passthrough.iommu.domain import Domain
from vmio.passthrough.vpci_vsp import VpciVsp
from vmio.vmbus.bus.server import NoChannelLeft
from vmio.vmbus.pci.vpci import EJECT_NS, device_id

INTERRUPTS = ("injected", "posted")
PINNED = "a device that moves data by itself can't be stopped and saved, nor told that memory has gone"


class AssignmentRefused(ValueError):
    """The device can't be given to this guest (or taken), and why."""


def assign(function: HostFunction, guest: Guest, server: Any, router: InterruptRouter, domain: Domain | None = None,
           interrupts: str = "injected", number: int = 1, inherit: bool = False) -> "Assignment":
    """Give `function` (a `HostFunction`) to `guest`, and offer it on its bus `server`; the `Assignment`.

    `domain` is the guest's IOMMU domain: what is mapped in it, the device can reach.
    Without one it gets a domain of its own, with all of the guest's RAM, until it is taken back.
    `interrupts` "injected" or "posted"; `number` tells a guest's passed-through
    devices apart.  `AssignmentRefused` if it is somebody's already, if the host is
    using it, if the guest's RAM is not all there, if its bus has no channel left, or if
    the device still holds what another guest may have stored: `function.erase()` first,
    or say `inherit`.
    """
    check_free(function, guest, interrupts)
    try:
        server.check_room()
    except NoChannelLeft as error:
        raise AssignmentRefused(f"{function.name}: {error}") from error
    check_clean(function, guest, inherit)
    return Assignment(function, guest, server, router, domain, interrupts == "posted", number)


def check_free(function: HostFunction, guest: Guest, interrupts: str) -> None:
    """Raise `AssignmentRefused` for a function that nobody can have now, and ValueError for another kind of interrupts."""
    if interrupts not in INTERRUPTS:
        raise ValueError(f"interrupts {interrupts!r}: choose one of {', '.join(INTERRUPTS)}")
    if not function.present:
        raise AssignmentRefused(f"{function.name} is not there: its physical function has switched it off")
    if function.assigned_to is not None:
        raise AssignmentRefused(f"{function.name} is assigned to {function.assigned_to.guest.name} already; "
                                "take it back first")
    if function.children:
        raise AssignmentRefused(f"{function.name} has virtual functions, and its owner could read their data; "
                                "disable them first")
    if function.name in guest.pins:
        raise AssignmentRefused(f"guest {guest.name} has a device {function.name} already")


def check_clean(function: HostFunction, guest: Guest, inherit: bool) -> None:
    """Have the host let go of the function; `AssignmentRefused` if it can't, if the guest can't have it, or if it holds others' data."""
    last = function.last_guest
    if last is not None and function.leaves_data(guest) and not inherit:
        raise AssignmentRefused(f"{function.name} holds what {last.name} left on it; erase() it, or inherit")
    if guest.memory_asked:
        raise AssignmentRefused(f"{function.name}: guest {guest.name} was asked for {guest.memory_asked}, and may give it at any time; wait for its answer")
    hole = guest.missing_ram()
    if hole is not None:
        raise AssignmentRefused(f"guest {guest.name}: its RAM at {hole:#x} is not there; a device may write to any page "
                                "at any time, so memory can't be overcommitted")
    if function.owner is not None:
        try:
            function.owner.let_go(f"{function.name} is assigned to {guest.name}")
        except ValueError as error:
            raise AssignmentRefused(f"{function.name}: the host still uses it: {error}") from error


class Assignment:
    """One device in one guest's hands.  Made by `assign`; the rest of its methods are what its `VpciVsp` asks for."""

    def __init__(self, function: HostFunction, guest: Guest, server: Any, router: InterruptRouter, domain: Domain | None,
                 posted: bool, number: int) -> None:
        self.function, self.guest, self.router, self.domain, self.posted = function, guest, router, domain, posted
        self.host, self.ended = guest.host, False
        self._done: Callable[..., None] | None = None
        self._last_chance: Event | None = None      # when a guest that was asked for it is not asked any more
        iommu = function.iommu
        self._own_domain = domain is None
        if domain is None:
            self.domain = domain = iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
            domain.map_guest(guest)
        self._home = iommu.owner(function.requester)      # the host's own domain, if it has one
        function.reset()
        router.delete_all(function.requester)
        if self._home is not None:
            iommu.detach(function.requester)
        iommu.attach(function.requester, domain)
        function.assigned_to, function.last_guest = self, guest
        guest.pins[function.name] = PINNED
        guest.pin_ram()
        guest.vetoes.insert(0, self._guest_ends)
        self.config = GuestConfig(function.pci, self._bar_moves)
        self._mapped: dict[int, list] = {}                # BAR index -> [(bus, region)]
        self._acquired = False
        self._offer(server, number)

    def _offer(self, server: Any, number: int) -> None:
        """Let the guest find it, on its bus."""
        self.vsp = VpciVsp(self.host, self.guest, self, number)
        self.vsp.on_ejected = lambda status: self.take_back()
        retarget.of(self.guest).devices[device_id(self.vsp.instance_id)] = self
        self.vsp.offer(server)

    # Taking it back.

    def eject(self, done: Callable[..., None] | None = None, within_ns: int = EJECT_NS) -> None:
        """Ask the guest to let the device go; it is taken back when it has, or in 60 s.  `done()` is called then."""
        self._done = done
        if not self.vsp.eject():
            self.take_back()
            return
        self._last_chance = self.host.env.timeout(within_ns)
        self._last_chance.callbacks.append(lambda _: self._too_late())

    def _too_late(self) -> None:
        """The guest has not answered: a device that is wanted back is not the guest's to keep."""
        self.take_back()

    def take_back(self, done: Callable[..., None] | None = None) -> None:
        """The device is the host's again, whatever the guest was doing with it; `done()` is called then.

        A second time changes nothing.
        """
        if self.ended:
            return
        self._done = done or self._done
        self.ended = True
        if self._last_chance is not None and self._last_chance.callbacks is not None:
            self._last_chance.callbacks.clear()        # the guest may be saved again: nobody waits for it any more
        function, iommu = self.function, self.function.iommu
        self.released()
        self.vsp.rescind()
        retarget.of(self.guest).devices.pop(device_id(self.vsp.instance_id), None)
        function.reset()
        iommu.detach(function.requester)
        if self._own_domain:
            iommu.destroy(self.domain)  # type: ignore[arg-type]  # it made one
        if self._home is not None:
            iommu.attach(function.requester, self._home)
        function.assigned_to = None
        del self.guest.pins[function.name]
        self.guest.vetoes.remove(self._guest_ends)
        if not self.guest.pins:
            for cpu in self.guest.vcpus:
                self.router.forget_cpu(cpu)
        if function.owner is not None:
            function.owner.take_up()
        if self._done is not None:
            self._done()

    def _guest_ends(self) -> None:
        raise AssignmentRefused(f"guest {self.guest.name}: {self.function.name} is assigned to it; take it back first")

    # What the VSP asks for.

    def identity(self) -> dict[str, int]:
        """Return the fields of vPCI's FUNCTION, but for the slot."""
        pci = self.function.pci
        return {"vendor": pci.get(0, 2), "device": pci.get(2, 2), "revision": pci.get(8, 1), "interface": pci.get(9, 1),
                "subclass": pci.get(10, 1), "class_code": pci.get(11, 1), "subsystem_vendor": pci.get(0x2C, 2),
                "subsystem": pci.get(0x2E, 2), "serial": self.function.requester}

    def is_free(self, gpa: int, length: int) -> bool:
        """May something of ours answer at these guest-physical addresses?  No RAM, no other device, whole pages.

        What is smaller than a page is aligned to its own size.
        """
        return (gpa % min(length, PAGE) == 0 and gpa >= self.guest.ram and self.guest.mmio.is_free(gpa, length)
                and self.guest.direct.is_free(gpa, length))

    def acquired(self) -> None:
        """The guest has assigned resources: BARs answer from now on."""
        self._acquired = True
        for index, base in self.config.mapped.items():
            self._bar_moves(index, base)

    def released(self) -> None:
        """The guest has let go of everything: BARs and interrupts go, the device is reset."""
        self._acquired = False
        for index in list(self._mapped):
            self._unmap(index)
        self.router.delete_all(self.function.requester)
        self.config.reset()
        if self.function.assigned_to is self:
            self.function.reset()

    def reset(self) -> None:
        """The guest asked for a function level reset; its BARs stay where it put them."""
        self.function.reset()

    def create_interrupt(self, cpu: VCpu, vector: int, count: int = 1) -> tuple[int, int] | None:
        """Return (address, data) of a new message, or of the first of `count` in a row; None if there are not so many left."""
        mine = sum(owner == self.function.requester for owner in self.router.owners.values())
        if mine + count > self.function.vectors:
            return None
        try:
            return self.router.create(self.function.requester, cpu, vector, self.posted, count)
        except ValueError:
            return None

    def retarget_interrupt(self, address: int, data: int, cpu: VCpu, vector: int) -> bool:
        """Let one go to another vCPU; False if the device has none with this message, or the host no room for it."""
        try:
            return self.router.retarget(self.function.requester, address, data, cpu, vector)
        except ValueError:
            return False

    def delete_interrupt(self, address: int, data: int) -> bool:
        """Take one back; False if the device has none with this message."""
        return self.router.delete(self.function.requester, address, data)

    # The BARs in guest-physical memory.

    def _bar_moves(self, index: int, base: int | None) -> None:
        """A BAR answers at `base`, or nowhere; over RAM or another device it answers nowhere."""
        self._unmap(index)
        bar = self.config.bars[index]
        if base is None or not self._acquired or not self.is_free(base, bar.size):
            return
        mapped, name = self._mapped.setdefault(index, []), self.function.name
        watched = f"{name} MSI-X" if self.function.pci.find(MsixCapability) else f"{name} registers"
        for at, length, direct in self.function.parts(index):
            part = Direct(bar.registers, at, self.function, self.guest) if direct else self._trapped(index, at, length)
            bus, shown = (self.guest.direct, name) if direct else (self.guest.mmio, watched)
            mapped.append((bus, bus.attach(base + at, length, part, shown, width=bar.width)))

    def _trapped(self, index: int, at: int, length: int) -> "Part":
        """What answers at the pages of a BAR that the host watches."""
        return Part(self.config.bars[index].registers, at, self.function, self.guest)

    def _unmap(self, index: int) -> None:
        for bus, region in self._mapped.pop(index, ()):
            bus.detach(region)


class Part:
    """A part of a BAR, from `start` on: `registers` answer there."""

    def __init__(self, registers: Device, start: int, function: HostFunction, guest: Guest) -> None:
        self.registers, self.start, self.function, self.guest = registers, start, function, guest

    def read(self, offset: int, size: int) -> int:
        """Return what the register reads."""
        return self.registers.read(self.start + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the register."""
        self.registers.write(self.start + offset, size, value)


class Direct(Part):
    """The pages that a guest reaches without an exit; the device learns at what time a store comes in."""

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the register at the guest's time."""
        self.function.arrived(self.guest.clock.now)
        self.registers.write(self.start + offset, size, value)
