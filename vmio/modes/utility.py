"""A utility guest: the small virtual machine around one container that is isolated by the hypervisor, and what it is given.

    machine = Machine(kind="hyper-v-containers")
    guest = UtilityGuest(machine, "c0", scratch=Overlay(blank), more=[(attachment(...), medium)])
    machine.power_on()
    vm = guest.service()                                    the host's side: `UtilityVm`
    machine.run((guest.planned, guest.program({"cat": cat}, mount)))

It has one SCSI controller, for the scratch disk; sockets; and `more`: what its read-only layers come on.  No board, no firmware
and no emulated device: its kernel is told by its host that there is nothing to look for (`PCI off`, no serial ports).
Public source: microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/uvm/create.go and create_lcow.go.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vmio.drivers.container.agent import Agent, Program
from vmio.drivers.errors import DriverError
from vmio.host.gcs.compute import UtilityVm
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Json, SectorStore
from vmio.modes.attachments import Attachment
from vmio.modes.disk_split import SplitDisk
from vmio.modes.machine import GuestMachine, Machine
from vmio.modes.sockets_split import SplitSockets

RAM_MIB = 1024          # unless its owner says otherwise (hcsshim internal/uvm/create.go, newDefaultOptions)
RING_KIB = 16           # of the scratch disk's rings
Mount = Callable[..., Steps[None]]      # (resource type, its settings, cpu, the driver of each of `more`)


class UtilityGuest:
    """`planned` is the guest of `machine`, `agent` its agent from `program` on, `failed` what ended that before the host left, or "".

    `more` are (attachment, medium or None) pairs, which the guest brings up after its disk and its sockets.
    """

    agent: Agent
    failed = ""

    def __init__(self, machine: Machine, name: str, scratch: SectorStore, more: Sequence[tuple[Attachment, SectorStore | None]] = (),
                 ram_mib: int = RAM_MIB) -> None:
        self.disk, self.sockets = SplitDisk(ring_kib=RING_KIB, roomy=False), SplitSockets()
        self.planned: GuestMachine = machine.guest(name, ram_mib=ram_mib)
        self.planned.attach(self.disk, scratch).attach(self.sockets)
        for attachment, medium in more:
            self.planned.attach(attachment, medium)

    def service(self) -> UtilityVm:
        """Return the host's side of it, when the machine is on."""
        return UtilityVm(self.planned.host, self.sockets.service)

    def program(self, programs: Mapping[str, Program], mount: Mount | None = None) -> Callable[..., Steps[int]]:
        """Return what the guest runs: its agent, with these `programs` in its container, until the host leaves; then how many it answered.

        `mount(resource, settings, cpu, disk, *more)`, a generator, is called for each resource that the host adds, with the guest's drivers.
        """
        def run(cpu: VCpu, disk: Any, sockets: Any, *more: Any) -> Steps[int]:
            def mounted(resource: str, settings: Json) -> Steps[None]:
                if mount is not None:
                    yield from mount(resource, settings, cpu, disk, *more)
            self.agent = Agent(sockets, programs, mounted)
            try:
                yield from self.agent.serve()
            except DriverError as error:        # its host has ended it: that is no fault of the guest's kernel
                self.failed = str(error)
            return self.agent.answered
        return run
