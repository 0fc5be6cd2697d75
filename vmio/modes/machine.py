"""A whole machine in a few lines: a host, its physical disks, and guests whose devices are attached in any mode."""

from typing import Any

from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Program, Steps
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.medium import Medium
from vmio.machine.memory import PAGE
from vmio.modes.attachments import Attachment
from vmio.modes.platform import Platform

MIB = 1 << 20
DRIVER_PAGES = 1 << 20     # guest-physical: where the memory of a guest's drivers begins
HOST_MIB = 32              # the host's own memory, beside what its guests have
TABLES_MIB = 4             # the host's memory for each guest's page tables


class GuestMachine:
    """A guest's plan, and after `Machine.power_on` the guest: `guest`, `cpu`, `platform`, `attachments`."""

    def __init__(self, name: str, attachment: Attachment, medium: Medium, ram_mib: int) -> None:
        self.name, self.ram_mib = name, ram_mib
        self.attachments, self.media = [attachment], [medium]
        self.guest: Any = None         # from `power_on` on
        self.cpu: Any = None
        self.platform: Any = None

    def attach(self, attachment: Attachment, medium: Medium) -> "GuestMachine":
        """Plan one more device of this guest, before the machine is switched on; returns the guest."""
        if self.guest is not None:
            raise ValueError(f"guest {self.name}: the machine runs; attach devices before power_on")
        self.attachments.append(attachment)
        self.media.append(medium)
        return self

    def boot(self, cpu: VCpu) -> Steps[list]:
        """Bring up all devices; a generator that returns their drivers, in the order in which they were attached."""
        first_free = max(attachment.driver_memory for attachment in self.attachments)
        pages = GuestPages(DRIVER_PAGES, max(first_free, DRIVER_PAGES + PAGE))
        drivers = []
        for attachment in self.attachments:
            drivers.append((yield from attachment.boot(cpu, pages)))
        yield from cpu.pay()
        return drivers


class Machine:
    """A host under a cost preset (or a `CostModel`) with `cores`, and the guests that are planned before `power_on`.

    `properties` are the host's own, as in `Host`: `apic`.
    """

    def __init__(self, costs: str | CostModel = "server-2022", cores: int = 2, **properties: Any) -> None:
        self.costs, self.cores, self.properties = CostModel.preset(costs), cores, properties
        self.guests: list[GuestMachine] = []
        self.host: Any = None          # a `Host`, from `power_on` on

    def guest(self, name: str, attachment: Attachment, medium: Medium, ram_mib: int | None = None) -> GuestMachine:
        """Plan a guest with one device; `ram_mib` defaults to what the drivers need and 1 MiB for data."""
        if self.host is not None:
            raise ValueError(f"guest {name}: the machine runs; plan guests before power_on")
        guest = GuestMachine(name, attachment, medium, ram_mib or (attachment.driver_memory // MIB) + 1)
        self.guests.append(guest)
        return guest

    def power_on(self) -> "Machine":
        """Make the host, its physical disks, and all guests with their devices; returns the machine.

        Devices of one kind, mode and size are parts of one physical device.
        """
        memory = sum(guest.ram_mib + TABLES_MIB for guest in self.guests) + HOST_MIB
        self.host = host = Host(memory_mib=memory, costs=self.costs, cores=self.cores, **self.properties)
        backends = self._backends(host)
        for guest in self.guests:
            guest.guest = host.guest(guest.name, guest.ram_mib)
            guest.cpu, guest.platform = guest.guest.cpu, Platform(guest.guest)
            for attachment, medium in zip(guest.attachments, guest.media):
                attachment.plug(guest.platform, backends[id(attachment)])
        return self

    def _backends(self, host: Host) -> dict[int, Any]:
        """Return {id of an attachment: its backend}."""
        groups: dict[tuple, list] = {}
        for guest in self.guests:
            for attachment, medium in zip(guest.attachments, guest.media):
                groups.setdefault((type(attachment), medium.sectors), []).append((attachment, medium))
        found = {}
        for (kind, _), members in groups.items():
            for (attachment, _), backend in zip(members, kind.backends(host, [medium for _, medium in members])):
                found[id(attachment)] = backend
        return found

    def run(self, *programs: tuple[GuestMachine, Program], limit_ns: int | None = None) -> list:
        """Run (guest, program) pairs to their end and return their results.

        `program(cpu, *drivers)` is a generator; it starts when the guest's devices are up.
        """
        def booted(guest: GuestMachine, program: Program) -> tuple[VCpu, Program]:
            def whole(cpu: VCpu) -> Steps:
                drivers = yield from guest.boot(cpu)
                return (yield from program(cpu, *drivers))
            return guest.cpu, whole
        return self.host.run(*(booted(*pair) for pair in programs), limit_ns=limit_ns)
