"""An NVMe disk in a slot of the guest's PC: emulated, each access of a register an exit, or a function of the host's, passed through.

No bus of the hypervisor's is needed: an operating system finds it as on bare metal.
"""

from collections.abc import Callable, Sequence

from vmio.devices.board import Board
from vmio.devices.pci import header as h
from vmio.devices.pci.wire import MSIX_ENABLE, MSIX_ENTRY
from vmio.drivers.nvme import NvmeDriver, memory_needed
from vmio.drivers.nvme_disk import NvmeDisk
from vmio.drivers.pages import GuestPages
from vmio.hardware.nvme import checkpoint as nvme
from vmio.hardware.nvme.controller import MSIX_TABLE, NvmeController
from vmio.hardware.nvme.pci import MSIX_CONTROL, NvmeFunction
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same, same_entries
from vmio.machine.clock import Timer, Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.media.medium import serial_of
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.modes.disk_assigned import Assignable, AssignedDisk
from vmio.modes.platform import Platform
from vmio.passthrough import checkpoint as passthrough
from vmio.passthrough import guest_iommu
from vmio.passthrough.slot import SlotAssignment, assign_to_slot
from vmio.passthrough.strategies import Static

EMULATED = Form("emulated NVMe disk", 1, "slot", "asked", "controller", "at_medium")
ENTRIES = 256
ADMIN_VECTOR, IO_VECTOR = 0x40, 0x50
WINDOW = 0xE000_0000        # where a generator's firmware has put the BARs, 64 KiB a slot
ENABLE = 1 << 31            # of the address register at CF8h


class _OnPci:
    """The guest's half, which is the same: a driver that finds the function in configuration space."""

    POINTS = {"served": "((from, until) in ns) of each request that the medium had",
              "copied": "((from, until) in ns) of data that the emulator moves"}
    served: Span | None = None
    copied: Span | None = None
    driver_memory = 16 << 20
    in_memory = True
    for_each_vcpu = False
    slot = 0

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`."""
        watch(self, "served", served)
        watch(self, "copied", copied)

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[NvmeDisk]:
        """Firmware's part, interrupts by message, queues; a generator that returns an `NvmeDisk`."""
        disk: NvmeDisk
        bar = WINDOW + (self.slot << 16)
        for register, value in ((h.BAR0, bar), (h.BAR0 + 4, 0), (h.COMMAND, h.COMMAND_MEMORY | h.COMMAND_MASTER)):
            self._configure(cpu, register, value)
        for entry, vector in enumerate((ADMIN_VECTOR + self.slot, IO_VECTOR + self.slot)):
            words = MSIX_ENTRY.pack(address=0xFEE0_0000, data=vector)
            for at in range(0, len(words), 4):
                cpu.store(bar + MSIX_TABLE + entry * MSIX_ENTRY.size + at, 4, int.from_bytes(words[at:at + 4], "little"))
        self._configure(cpu, MSIX_CONTROL & ~3, MSIX_ENABLE << 16)

        def answered(cpu: VCpu) -> None:
            cpu.wrmsr(X2APIC_EOI, 0)
            disk.interrupt(cpu)
        cpu.on_interrupt(ADMIN_VECTOR + self.slot, lambda cpu: cpu.wrmsr(X2APIC_EOI, 0))
        cpu.on_interrupt(IO_VECTOR + self.slot, answered)
        size = memory_needed(ENTRIES)
        driver = NvmeDriver(cpu, bar, pages.take(size // PAGE), size, ENTRIES, vectors=[1])
        disk = NvmeDisk(cpu, driver, Static("static"))
        yield from driver.init()
        return disk

    def _configure(self, cpu: VCpu, register: int, value: int) -> None:
        cpu.outl(0xCF8, ENABLE | self.slot << 11 | register)
        cpu.outl(0xCFC, value)


class EmulatedNvme(_OnPci):
    """The controller is software of the hypervisor's, which moves the data itself."""

    def __init__(self) -> None:
        self._at_medium: dict[int, tuple[Timer, Callable[[], None]]] = {}     # number -> when a command is over, and what is done then
        self._asked = 0

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves: an emulated disk has its image to itself."""
        return media

    def plug(self, platform: Platform, backend: SectorStore) -> None:
        """Put the function into a slot of the guest's board."""
        clock, costs = platform.guest.clock, platform.host.costs

        def service(op: str, sectors: int, done: Callable[[], None]) -> None:
            ready = clock.now + costs.disk_ns(op, sectors)
            over = ready + costs.copy_ns(sectors * SECTOR)
            if self.served is not None:
                self.served((clock.now, ready))
            if self.copied is not None:
                self.copied((ready, over))
            self._asked += 1
            self._wait(self._asked, over, done)

        def fill(board: Board, slot: int) -> None:
            self.slot = slot
            self.controller = NvmeController(clock, platform.guest.dma, backend, service=service, serial=serial_of(backend, f"VMIOEMULATED{slot:02}"))
            board.plug(slot, NvmeFunction(self.controller), "nvme")
        self._clock = clock
        platform.plan_slot(fill)

    def _wait(self, number: int, when: int, done: Callable[[], None]) -> None:
        """Let a command that the medium has be over then."""
        def over() -> None:
            del self._at_medium[number]
            done()
        self._at_medium[number] = self._clock.call_at(when, over), done

    def timers(self) -> Timers:
        """See `Attachment`."""
        return [(f"command {number}", timer) for number, (timer, _) in self._at_medium.items()]

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the function is the board's."""
        return EMULATED.state(slot=self.slot, asked=self._asked, controller=nvme.save(self.controller), at_medium=[
            [number, timer.when, nvme.under_way(done, [self.controller])] for number, (timer, done) in self._at_medium.items()])

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved, controller = EMULATED.take(state), self.controller
        same("emulated NVMe disk, slot", saved["slot"], self.slot)
        same_entries("NVMe controller", {**saved["controller"], "cqs": 0, "sqs": 0, "event_requests": 0},
                     {**controller.save(), "cqs": 0, "sqs": 0, "event_requests": 0})
        controller.forget()
        found = [nvme.restore(controller, saved["controller"], serve=False)]
        self._asked = saved["asked"]
        for number, when, command in saved["at_medium"]:
            self._wait(number, when, nvme.go_on(command, [controller], found))
        nvme.all_found(found)
        controller.update_intx()


class AssignedNvme(_OnPci):
    """The function of the host's disk, behind an IOMMU domain with all of the guest's RAM; `delivery` "injected" or "posted"."""

    def __init__(self, delivery: str = "injected") -> None:
        self.delivery = delivery
        self.lent: SlotAssignment

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Assignable]:
        """Return a function for each of the `media`, as `AssignedDisk` does."""
        return AssignedDisk.backends(host, media)

    def plug(self, platform: Platform, backend: Assignable) -> None:
        """Assign the function to the guest, in a domain of the guest's own, and put it into a slot of its board."""
        guest, machine = platform.guest, backend.machine
        domain = machine.iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
        domain.map_guest(guest)
        guest_iommu.serve(guest, machine.iommu, domain)

        def fill(board: Board, slot: int) -> None:
            self.slot = slot
            self.lent = assign_to_slot(backend.function, guest, board, slot, machine.router, domain, self.delivery)
            machine.iommu.enable()
        self._name = guest.name
        platform.plan_slot(fill)

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`; the disk, its IOMMU and the router are the host's."""
        saving.assigned.add((self._name, self.lent.function.name))
        return passthrough.save_in_slot(self.lent, self.slot)

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        passthrough.restore_in_slot(self.lent, self.slot, state)
