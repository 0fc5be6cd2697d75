"""A whole machine in a few lines: a host, its physical disks, and guests whose devices are attached in any mode."""

from collections.abc import Sequence
from typing import Any

from vmio.devices.board import Board
from vmio.drivers import ipi
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Program, Steps
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.host import Host
from vmio.hypervisor.isolation.visibility import isolate
from vmio.hypervisor.recorded import RecordedCpu
from vmio.hypervisor.recording import Recording
from vmio.hypervisor.runs import Run
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import State
from vmio.machine.contracts import SectorStore
from vmio.machine.memory import PAGE
from vmio.modes import checkpoint, live
from vmio.modes.attachments import Attachment
from vmio.modes.contracts import Beside
from vmio.modes.platform import Backend, Platform

MIB = 1 << 20
DRIVER_PAGES = 1 << 20     # guest-physical: where the memory of a guest's drivers begins
HOST_MIB = 32              # the host's own memory, beside what its guests have
TABLES_MIB = 4             # the host's memory for each guest's page tables


class GuestMachine:
    """A guest of `machine`: its plan, and once it is `made` `guest`, `cpu`, `platform` and, with a PC's board, `board`."""

    guest: Guest
    platform: Platform

    later_pages: GuestPages             # memory for drivers of devices that come later

    def __init__(self, machine: "Machine", name: str | None, ram_mib: int | None, vcpus: int, processor: type[VCpu], later_mib: int = 0) -> None:
        self.machine, self.name, self.vcpus, self._ram_mib, self.processor = machine, name, vcpus, ram_mib, processor
        self.attachments: list[Attachment] = []
        self.media: list[SectorStore | None] = []
        self.backends: list[Backend] = []  # one for each attachment; None until the machine has made it
        self.made = False
        self.changed = False                # a device has come or gone since it was planned
        self.mine: list[tuple] = []     # what the guest itself has: (attachment, driver)
        self._later_mib = later_mib
        self._joined: list[VCpu] = []
        self.drivers: list | None = None    # of the devices, once the first vCPU has brought them up

    def attach(self, attachment: Attachment, medium: SectorStore | None = None, backend: Backend = None) -> "GuestMachine":
        """Plan one more device of this guest, before the machine is switched on; returns the guest.

        The machine makes a backend for the `medium`, unless the caller has one already.
        """
        if self.machine.on:
            raise ValueError(f"guest {self.name}: the machine runs; attach devices before power_on")
        self.attachments.append(attachment)
        self.media.append(medium)
        self.backends.append(backend)
        return self

    @property
    def ram_mib(self) -> int:
        """The RAM: what was asked for, or what the drivers need and 1 MiB for data."""
        return self._ram_mib or max((each.driver_memory for each in self.attachments), default=0) // MIB + 1 + self._later_mib

    @property
    def host(self) -> Host:
        """The host of the machine."""
        return self.machine.host

    @property
    def cpu(self) -> VCpu:
        """The guest's first vCPU."""
        return self.guest.cpu

    @property
    def board(self) -> Board:
        """The guest's emulated PC.  ValueError for a guest whose devices need none."""
        if self.platform.board is None:
            raise ValueError(f"guest {self.name}: no board; no device of its is on a PC's")
        return self.platform.board

    def make(self) -> "GuestMachine":
        """Make the guest, with no device plugged in yet; returns it.  `Machine.power_on` does it for who does not ask."""
        self.guest = guest = self.machine.host.guest(self.name, self.ram_mib, self.vcpus, self.processor)
        if any(getattr(each, "confidential", False) for each in self.attachments):
            isolate(guest)
        self.name, self.platform, self.made = guest.name, Platform(guest), True
        return self

    def boot(self, cpu: VCpu) -> Steps[list]:
        """Bring up all devices; a generator that returns their drivers, in the order in which they were attached."""
        first_free = max(attachment.driver_memory for attachment in self.attachments)
        pages = GuestPages(DRIVER_PAGES, max(first_free, DRIVER_PAGES + PAGE))
        drivers, known = [], list(self.attachments)       # what comes meanwhile, `follow` brings up
        for attachment in known:
            drivers.append((yield from attachment.boot(cpu, pages)))
        self.mine = list(zip(known, drivers))
        self.later_pages = pages if not self._later_mib else GuestPages(self.guest.ram - self._later_mib * MIB, self.guest.ram)
        self.platform.use_later(self.later_pages)
        yield from cpu.pay()
        self.drivers = drivers
        for other in self._joined:         # they go on when this vCPU waits next
            ipi.wake(cpu, other)
        return drivers

    def follow(self, cpu: VCpu) -> Steps[list[tuple]]:
        """In the guest: bring up what has been offered since, let go of what is taken away or wanted back; a generator.

        Returns ("added" or "removed", driver) for each.  It takes no time if nothing has changed.
        """
        return (yield from live.follow(self, cpu))

    def join(self, cpu: VCpu) -> Steps[list]:
        """Bring a further vCPU online, before the first one's `boot` looks who is there; a generator.

        It returns the drivers' queues for this vCPU, `driver.on(cpu)`, when the devices are up.
        """
        yield from self.platform.join(cpu)
        self._joined.append(cpu)
        while self.drivers is None:
            yield from cpu.hlt()
        return [driver.on(cpu) for driver in self.drivers]

    def one_each(self, programs: Program | Sequence[Program]) -> Sequence[Program]:
        """Return a list of programs, one for each vCPU from the first on.

        ValueError for more than there are vCPUs, and for several with a device that only one vCPU can drive.
        """
        if not isinstance(programs, Sequence):
            return [programs]
        if len(programs) > len(self.guest.vcpus):
            raise ValueError(f"guest {self.name}: {len(programs)} programs; it has {len(self.guest.vcpus)} vCPUs")
        for attachment in self.attachments if len(programs) > 1 else ():
            if not attachment.for_each_vcpu:
                raise ValueError(f"guest {self.name}: {len(programs)} programs; {type(attachment).__name__} is driven by one vCPU")
        return programs

    def run(self, program: Program, limit_ns: int | None = None) -> Any:
        """Bring up all devices, run `program(cpu, *drivers)` to its end and return its result."""
        return self.machine.run((self, program), limit_ns=limit_ns)[0]


class Machine:
    """A host under a cost preset (or a `CostModel`) with `cores`, and the guests that are planned before `power_on`.

    The host has `memory_mib` MiB, or what its guests and their tables need and 32 MiB, and `spare_mib` for guests that grow.
    With `checkpoints` a run can be saved between any two of its steps: what programs are told is kept, which
    takes time and memory.  `properties` are the host's own, as in `Host`: `apic`, `kind`, `backing`, `tick_hz`.
    """

    def __init__(self, costs: str | CostModel = "server-2022", cores: int = 2, memory_mib: int | None = None,
                 checkpoints: bool = False, spare_mib: int = 0, **properties: Any) -> None:
        self.costs, self.cores, self.properties = CostModel.preset(costs), cores, properties
        self.checkpoints = checkpoints
        self.current: Run | None = None     # the last one, from `start` on
        self.guests: list[GuestMachine] = []
        self.beside: list[Beside] = []   # what is saved with it and is no part of it
        self.on = False
        self._memory_mib, self.spare_mib = memory_mib, spare_mib
        self._host: Host | None = None

    @property
    def host(self) -> Host:
        """The `Host`; whoever asks first makes it, with memory for the guests that are planned by then."""
        if self._host is None:
            memory = self._memory_mib or sum(guest.ram_mib + TABLES_MIB for guest in self.guests) + HOST_MIB + self.spare_mib
            self._host = Host(memory_mib=memory, costs=self.costs, cores=self.cores, **self.properties)
        return self._host

    def guest(self, name: str | None = None, attachment: Attachment | None = None, medium: SectorStore | None = None,
              ram_mib: int | None = None, vcpus: int = 1, processor: type[VCpu] = VCpu, later_mib: int = 0) -> GuestMachine:
        """Plan a guest, with one device if an `attachment` is given.

        The name defaults to guest0, guest1, ...; `ram_mib` to what the drivers need and 1 MiB for data.
        `processor` is who executes its program: `VCpu`, for generators, or a subclass.  The last `later_mib` MiB of
        its RAM are for drivers of devices that come later, if there may be more than the first ones leave room for.
        """
        if self.on:
            raise ValueError(f"guest {name}: the machine runs; plan guests before power_on")
        guest = GuestMachine(self, name, ram_mib, vcpus, processor, later_mib)
        if attachment is not None:
            guest.attach(attachment, medium)
        self.guests.append(guest)
        return guest

    def power_on(self) -> "Machine":
        """Make the host, its physical disks, and all guests with their devices; returns the machine.

        Devices of one kind, mode and size are parts of one physical device.
        """
        self._make_backends()
        self.on = True
        for guest in self.guests:
            if not guest.made:
                guest.make()
            for attachment, backend in zip(guest.attachments, guest.backends):
                attachment.plug(guest.platform, backend)
            guest.platform.power_on()
            if self.checkpoints:
                record = Recording(guest.guest.name)
                for cpu in guest.guest.vcpus:
                    cpu.recorded = RecordedCpu(cpu, record)
        return self

    def _make_backends(self) -> None:
        """Make a backend for each attachment that has none yet."""
        groups: dict[tuple, list] = {}
        for guest in self.guests:
            for at, (attachment, medium) in enumerate(zip(guest.attachments, guest.media)):
                if medium is not None and guest.backends[at] is None:
                    groups.setdefault((type(attachment), medium.sectors), []).append((guest, at))
        for (kind, _), members in groups.items():
            for (guest, at), backend in zip(members, kind.backends(self.host, [guest.media[at] for guest, at in members])):
                guest.backends[at] = backend

    def run(self, *programs: tuple[GuestMachine, Program | Sequence[Program]], limit_ns: int | None = None) -> list:
        """Run (guest, program) pairs to their end and return their results.

        `program(cpu, *drivers)` is a generator; it starts when the guest's devices are up.  A list of
        programs is one for each vCPU, of devices whose drivers have queues for each (`driver.on(cpu)`).
        """
        return self.start(*programs, limit_ns=limit_ns).to_the_end()

    def start(self, *programs: tuple[GuestMachine, Program | Sequence[Program]], limit_ns: int | None = None) -> Run:
        """Begin what `run` does, and return the `Run`: `step()` lets the next event happen, `to_the_end()` all others."""
        def booted(guest: GuestMachine, cpu: VCpu, program: Program) -> tuple[VCpu, Program]:
            start = guest.boot if cpu is guest.cpu else guest.join

            def whole(cpu: VCpu) -> Steps:          # that one, or its `RecordedCpu`
                drivers = (yield from start(cpu)) if guest.attachments else []
                return program(cpu, *drivers)       # the boot is over, and the program goes on in its place
            return cpu, whole
        pairs = [booted(guest, cpu, each) for guest, program in programs
                 for cpu, each in zip(guest.guest.vcpus, guest.one_each(program))]
        self.current = self.host.start(*pairs, limit_ns=limit_ns)
        return self.current

    # While it runs.

    def add(self, guest: GuestMachine, attachment: Attachment, medium: SectorStore | None = None, backend: Backend = None) -> live.Device:
        """Give a guest one more device, over a `medium`, or a `backend` that the caller has, while it runs; see `live`.

        ValueError, with nothing changed, for what can't come now.
        """
        return live.add(self, guest, attachment, medium, backend)

    def remove(self, device: live.Device | Attachment, at_once: bool = False) -> live.Device:
        """Take away a device (what `add` gave, or a planned attachment), while its guest runs; see `live`.

        A function that was assigned is asked back, and taken after 60 s; or it is taken `at_once`.
        ValueError, with nothing changed, for what can't go now.
        """
        return live.remove(self, device, at_once)

    def grow(self, device: live.Device | Attachment, sectors: int) -> None:
        """Let a disk (what `add` gave, or an attachment) have so many sectors, and say so to its guest.

        ValueError, with nothing changed, for fewer than it has, and where it can't grow.
        """
        live.grow(self, device, sectors)

    def set_cores(self, cores: int) -> None:
        """Let the host have so many cores from now on, whatever runs on them; ValueError unless 1 to 256."""
        self.host.set_cores(cores)
        self.cores = cores

    def share(self, guest: GuestMachine, vcpus: int | None = None, **fields: int | None) -> None:
        """Change a guest's share of the disks that the host's block layer shares out (`Share`: `weight`, `cap`, `reservation`, ...).

        ValueError, with nothing changed, for a share that can't be, and for another number of vCPUs: that is fixed.
        """
        live.share(self, guest, vcpus, fields)

    def save(self) -> State:
        """Return the whole machine between two steps of a run, as plain data; see `checkpoint.save`."""
        return checkpoint.save(self)

    def restore(self, state: State, *programs: tuple[GuestMachine, Program], limit_ns: int | None = None) -> Run:
        """Be the machine that was saved, and return its run, which goes on from there; see `checkpoint.restore`."""
        return checkpoint.restore(self, state, programs, limit_ns)


def one_guest(attachment: Attachment | None = None, medium: SectorStore | None = None, name: str | None = None,
              ram_mib: int | None = None, vcpus: int = 1, **machine: Any) -> GuestMachine:
    """Return the only guest of a machine of its own, switched on; `machine` are the options of `Machine`."""
    guest = Machine(**machine).guest(name, attachment, medium, ram_mib, vcpus)
    guest.machine.power_on()
    return guest
