"""A guest (Hyper-V: child partition; KVM: VM): RAM behind a SLAT table, two buses, lines, vCPUs."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

from vmio.hypervisor import vcpu_state
from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import GuestCpu, Hypercall, InterruptController, Msr, Root, SharedMemory
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.isolation.pages import PrivatePages
from vmio.hypervisor.kinds import PINNED
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.ram import GuestRam
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bus import Bus
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.machine.clock import Clock, Timers
from vmio.machine.lines import Line
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.pagetable import READ, AddressSpace, PageTable
from vmio.machine.window import Window

GUEST = Form("guest", 2, "name", "first_ram", "ram", "backing", "slat", "clock", "io", "mmio", "direct", "lines", "vcpus")
ISA_LINES = 16
MOST_RAM = 3 << 30                 # where RAM that is added must end: behind it a PC has its devices
STATUS_INVALID_HYPERCALL_CODE = 2  # TLFS, "Hypercall Status Codes"
TIME_REF_COUNT = 0x4000_0020       # HV_X64_MSR_TIME_REF_COUNT: 100 ns units since the guest was made
VP_INDEX = 0x4000_0002             # HV_X64_MSR_VP_INDEX
TSC_HZ = 2_560_000_000             # 256 counts are 100 ns, so the arithmetic of the reference TSC page is exact


class Hypercalls(dict[int, Hypercall]):
    """Code (control bits 15:0) -> function(guest, vcpu, control, input_gpa, output_gpa) -> status; an unknown code has one, too."""

    def __missing__(self, code: int) -> Hypercall:
        return lambda *_: STATUS_INVALID_HYPERCALL_CODE


class Guest:
    """A guest of `host` with `ram_mib` MiB of RAM at guest-physical address 0.

    `io` and `mmio` are its buses, `lines` its 16 ISA interrupt lines, `memory`
    its RAM by guest-physical address, `dma` the same as emulated devices reach it; `cpu` is its first vCPU.  `direct` holds the
    register pages of devices that were given to it: accesses there don't exit.
    A `processor` other than `VCpu`, a subclass, executes other programs than generators.
    """

    def __init__(self, host: Root, name: str, ram_mib: int, vcpus: int = 1, processor: "type[VCpu]" = VCpu) -> None:
        if not 1 <= ram_mib <= 4096:
            raise ValueError(f"guest {name}: ram_mib {ram_mib}; 1 to 4,096 MiB")
        if not 1 <= vcpus <= 64:
            raise ValueError(f"guest {name}: vcpus {vcpus}; 1 to 64")
        self.host, self.name, self.ram = host, name, ram_mib << 20      # `ram`: where it ends, in bytes; `grow` adds to it
        self.first_ram = self.ram
        self.started = host.env.now    # in ns: where its reference time and its TSC are 0
        self.clock = Clock(host.env.now)
        self.io = Bus("I/O ports", 1 << 16)
        self.mmio = Bus("guest-physical memory", 1 << 48)
        self.direct = Bus("passed-through registers", 1 << 48)
        self.pmem: list[SharedMemory] = []     # devices of virtual persistent memory, which it shares with other guests (`pmem.Pmem`)
        self.polled_by: Callable[[int], None] | None = None   # of who polls its memory: (ns) when a vCPU lets time pass
        self.pins: dict[str, str] = {}   # what holds the guest and its RAM in place -> why
        self.lent: list[Callable[[], Iterable[int]]] = []   # each gives page numbers that the host uses now, by their places in its own memory
        self.windows: WeakSet[Window] = WeakSet()           # the same of the guest's own drivers
        self.memory_asked = ""           # what it was asked to give, and has not: it may come at any time
        self.gave_away: Callable[[int], bool] | None = None # of its dynamic memory: (gpa) is that page the host's now?
        self.lines = [Line(f"IRQ{n}") for n in range(ISA_LINES)]
        self.backing = GuestRam(host.memory, self.ram)
        self.slat = PageTable(host.memory)
        self.backing.attach(self.slat)
        self.memory = AddressSpace(host.memory, self.slat)
        self.dma = AddressSpace(host.memory, self.slat)
        self.seen = self.memory        # the same as the host's own software sees it; another than the guest's only if it is confidential
        self.isolation: PrivatePages | None = None     # the map of a confidential guest's pages, see `isolation.visibility.isolate`
        self.hypercalls: dict[int, Hypercall] = Hypercalls()
        self.msrs: dict[int, Msr] = {TIME_REF_COUNT: (lambda cpu: self.reference_time(cpu.now), None),
                     VP_INDEX: (lambda cpu: cpu.index, None),
                     X2APIC_EOI: (None, self._end_of_interrupt)}
        self.cpuid_leaves: dict[int, tuple[int, int, int, int]] = {}   # leaf -> (eax, ebx, ecx, edx): what is said instead of `cpuid`'s own answers
        self.enlightened: Any = None   # vmbus.hypercalls.Enlightenments, for a guest that knows the hypervisor
        self.vetoes: list[Callable[[], None]] = []     # each raises while somebody still uses the guest's memory; the last comer first
        self.releases: list[Callable[[], None]] = []   # each gives back what the host holds for this guest
        self.destroyed = False
        self.interrupt_controller: InterruptController | None = None
        self.vcpus = [processor(self, index) for index in range(vcpus)]

    @property
    def cpu(self) -> VCpu:
        """The first vCPU."""
        return self.vcpus[0]

    def connect_interrupts(self, controller: InterruptController, line: Line) -> None:
        """Make `controller` (its `acknowledge()` gives vectors) interrupt the first vCPU by `line`."""
        self.interrupt_controller = controller
        line.connect(self.cpu.interrupt_line)

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """Return what CPUID says inside this guest.  Source: TLFS, "Feature and Interface Discovery"; SDM vol. 2, CPUID."""
        if leaf in self.cpuid_leaves:
            return self.cpuid_leaves[leaf]
        if leaf == 0x4000_0000:
            return (0x4000_0005, *text_registers("Microsoft Hv"))
        if leaf == 0x4000_0001:
            return (int.from_bytes(b"Hv#1", "little"), 0, 0, 0)
        if leaf == 0x4000_0003:
            return (1 << 1 | 1 << 6, 0, 0, 0)        # AccessPartitionReferenceCounter, AccessVpIndex
        if leaf == 0:
            ebx, ecx, edx = text_registers("GenuineIntel")
            return (1, ebx, edx, ecx)
        if leaf == 1:
            return (0, 0, 1 << 31 | 1 << 21, 1 << 5 | 1 << 4)  # ECX bit 31: a hypervisor is present; 21: x2APIC; EDX 5: MSRs; 4: TSC
        if leaf == 0x8000_0000:
            return (0x8000_0007, 0, 0, 0)
        if leaf == 0x8000_0007:
            return (0, 0, 0, 1 << 8)             # the TSC is invariant
        return (0, 0, 0, 0)

    def reference_time(self, ns: int) -> int:
        """Return the guest's reference time in units of 100 ns, at `ns` of the simulation (TLFS, "Partition Reference Counter MSR")."""
        return (ns - self.started) // 100

    def reference_ns(self, time: int) -> int:
        """Return when the reference time is `time`, in ns of the simulation."""
        return self.started + time * 100

    def tsc(self, ns: int) -> int:
        """Return what the guest's time-stamp counter says at `ns` of the simulation."""
        return (ns - self.started) * TSC_HZ // 1_000_000_000

    def read_msr(self, msr: int, cpu: GuestCpu) -> int:
        """Return what RDMSR answers; `GuestFault` (#GP) for an MSR that there is not."""
        read = self.msrs.get(msr, (None, None))[0]
        if read is None:
            raise GuestFault(f"{self.name}: #GP, RDMSR of {msr:#x}: no such MSR")
        return read(cpu)

    def write_msr(self, msr: int, value: int, cpu: GuestCpu) -> None:
        """Do what WRMSR does; `GuestFault` (#GP) for an MSR that there is not, or that is read-only."""
        write = self.msrs.get(msr, (None, None))[1]
        if write is None:
            raise GuestFault(f"{self.name}: #GP, WRMSR of {msr:#x}: no such MSR, or read-only")
        write(cpu, value)

    def _end_of_interrupt(self, cpu: GuestCpu, value: int) -> None:
        """EOI of the x2APIC: only 0 may be written (SDM vol. 3A, "x2APIC Register Address Space")."""
        if value:
            raise GuestFault(f"{self.name}: #GP, WRMSR of {X2APIC_EOI:#x}: {value:#x}; only 0 may be written")
        if self.enlightened is None:
            cpu.apic.eoi()
        else:                          # the hypervisor sees it, and looks for messages that wait (TLFS, "Messages")
            self.enlightened.synics[cpu.index].end_of_interrupt()

    def ram_spa(self, gpa: int) -> int:
        """Return where the host keeps the RAM of this guest-physical address (whatever lies over it in the SLAT table).

        ValueError where no RAM is: beyond its end, or where it was taken away.
        """
        spa = self.backing.spa(gpa) if gpa >= 0 else None
        if spa is None:
            raise ValueError(f"guest {self.name}: no RAM at {gpa:#x}, it ends at {self.ram:#x}"
                             + (" and was taken away there" if 0 <= gpa < self.ram else ""))
        return spa

    def take_ram(self, gpa: int, length: int) -> None:
        """Take RAM away while the guest runs; the host has the pages back, scrubbed.

        ValueError for a guest that can't lose memory now, for pages in use (`used_pages`), and for what is not all there.
        """
        self.check_takeable()
        for page in sorted(self.used_pages()):
            if gpa <= page * PAGE < gpa + length:
                raise ValueError(f"guest {self.name}: RAM at {page * PAGE:#x} is in use: lent to the host, under a page of the "
                                 "hypervisor's, or behind a driver's window")
        self.backing.remove(gpa, length)

    def check_takeable(self) -> None:
        """Raise ValueError if no memory can be taken from this guest now."""
        self.check_movable("memory taken away")
        if self.host.backing == PINNED:
            raise ValueError(f"guest {self.name}: no memory taken away: the host pins its guests' RAM (backing {PINNED})")

    def used_pages(self) -> set[int]:
        """Return the numbers of the pages that can't go now.

        Somebody uses them without a look at the SLAT table (the host, to whom they are lent, or a driver by a window), or a page of
        the hypervisor's lies over them.
        """
        used = self.lent_pages()
        used.update(*(window.pages for window in self.windows))
        return used if self.enlightened is None else used | self.enlightened.overlays.pages()

    def lent_pages(self) -> set[int]:
        """Return the numbers of the pages that the host uses now, by their places in its own memory."""
        return {page for pages in self.lent for page in pages()}

    def give_ram(self, gpa: int, length: int) -> None:
        """Give zeroed RAM where none is, up to the end that the guest has; ValueError, `OutOfMemory`."""
        self.backing.add(gpa, length)

    def grow(self, gpa: int, length: int) -> None:
        """Give zeroed RAM at `gpa`, at or behind the end of what the guest has, which ends behind it from now on; ValueError, `OutOfMemory`."""
        if gpa < self.ram or gpa + length > MOST_RAM:
            raise ValueError(f"guest {self.name}: RAM at {gpa:#x}, {length:#x} bytes: between its end, {self.ram:#x}, and {MOST_RAM:#x}")
        before, self.ram = self.ram, gpa + length
        self.backing.end = self.ram
        try:
            self.backing.add(gpa, length)
        except (ValueError, OutOfMemory):
            self.ram = self.backing.end = before
            raise

    def pin_ram(self) -> None:
        """Let the host back all RAM now, as it must before a device may reach any of it: there are no first touches left.

        VFIO pins all that a device is to reach when it is mapped (Linux, vfio_iommu_type1.c, vfio_pin_pages_remote).
        """
        for cpu in self.vcpus:
            cpu.memory = self.memory

    def overlaid(self, gpa: int) -> bool:
        """Return whether a page of the hypervisor's lies over the RAM at `gpa` (a multiple of 4,096)."""
        return self.enlightened is not None and self.enlightened.overlays.covers(gpa)

    def check_movable(self, what: str) -> None:
        """Raise ValueError if the guest can't be saved, moved, or lose memory (`what` says which) now."""
        if self.isolation is not None:
            raise ValueError(f"guest {self.name}: no {what}: it is confidential, and the host can't read its memory")
        for name, why in self.pins.items():
            raise ValueError(f"guest {self.name}: no {what} while {name} is assigned to it: {why}")

    def missing_ram(self) -> int | None:
        """Return the first guest-physical address of RAM that the SLAT table does not map, or None."""
        at = 0
        while at < self.ram:
            level, _, entry = self.slat.walk(at)[-1]
            if not entry & READ:
                return at
            at += 1 << 12 + 9 * level       # the whole leaf is there
        return None

    def save(self, saving: Saving, timers: Timers) -> State:
        """Return RAM's place, tables, buses, lines and vCPUs; `timers` own the guest's clock, see `Clock.save`."""
        if self.isolation is not None:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {self.name} is confidential, and the host can't read its memory")
        if self.destroyed:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {self.name} has been destroyed")
        return GUEST.state(
            name=self.name, first_ram=self.first_ram, ram=self.ram, backing=self.backing.save(), slat=self.slat.save(), clock=self.clock.save(timers),
            io=self.io.save(), mmio=self.mmio.save(), direct=self.direct.save(), lines=[line.level for line in self.lines],
            vcpus=[vcpu_state.save(cpu, saving) for cpu in self.vcpus])

    def restore_memory(self, state: State) -> State:
        """Take back where RAM is, before anybody looks into it; returns the checked state."""
        saved = GUEST.take(state)
        same("guest", [saved["name"], saved["first_ram"], len(saved["vcpus"])], [self.name, self.first_ram, len(self.vcpus)])
        self.ram = self.backing.end = saved["ram"]
        self.backing.restore(saved["backing"])
        self.slat.restore(saved["slat"])
        self.clock.now = saved["clock"]["now"]     # the devices' registers depend on it
        return saved

    def restore(self, saved: State, restoring: Restoring, timers: Timers) -> None:
        """Take back the rest, when the devices are restored."""
        for bus, name in ((self.io, "io"), (self.mmio, "mmio"), (self.direct, "direct")):
            bus.restore(saved[name])
        same(f"guest {self.name}, lines", saved["lines"], [line.level for line in self.lines])
        self.clock.restore(saved["clock"], timers)
        for cpu, each in zip(self.vcpus, saved["vcpus"]):
            vcpu_state.restore(cpu, each, restoring)

    def destroy(self) -> None:
        """Give RAM and tables back to the host, scrubbed; no address of the guest leads to memory any more.

        Nothing has happened if one of `vetoes` raises.
        """
        for veto in self.vetoes:
            veto()
        for release in self.releases:
            release()
        self.slat.free()
        self.backing.free()
        self.destroyed = True


def text_registers(text: str) -> tuple[int, int, int]:
    """Return twelve characters as three little-endian registers."""
    raw = text.encode()
    return int.from_bytes(raw[0:4], "little"), int.from_bytes(raw[4:8], "little"), int.from_bytes(raw[8:12], "little")
