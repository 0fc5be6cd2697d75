"""Types that guests, drivers and devices share: the host, a guest and its processor as the other parts see them."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar
from weakref import WeakSet

from simpy.events import Event, Process

from vmio.hypervisor.apic import LocalApic
from vmio.hypervisor.cores import Cores
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.exits import ExitReason, Intercept
from vmio.hypervisor.ram import GuestRam
from vmio.hypervisor.simulation import Simulation
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
from vmio.machine.contracts import Buffer
from vmio.machine.memory import HostMemory
from vmio.machine.pagetable import READ, WRITE, AddressSpace, PageTable
from vmio.machine.window import Window

Result = TypeVar("Result")
Read: TypeAlias = Callable[[int, int], int]              # (offset, size) -> value: how a register is reached
Write: TypeAlias = Callable[[int, int, int], None]       # (offset, size, value)

Steps: TypeAlias = Generator[Event, Any, Result]        # what waits on the way to its result: `yield from` it
Program: TypeAlias = Callable[..., Steps]               # what a guest runs: a generator function of its vCPU
Span: TypeAlias = Callable[[tuple[int, int]], None]     # is told of (from, until), in ns


class DriverCpu(Protocol):
    """As much of a processor as a driver needs that only touches memory and registers in it: a guest's, or the host's."""

    @property
    def now(self) -> int:
        """Its own time, in ns."""

    def load(self, gpa: int, size: int, /) -> int:
        """Return `size` bytes at an address, little-endian."""

    def store(self, gpa: int, size: int, value: int, /) -> None:
        """Store `size` bytes at an address."""

    def read(self, gpa: int, length: int, /) -> bytes:
        """Return `length` bytes of memory."""

    def write(self, gpa: int, data: Buffer, /) -> None:
        """Store bytes in memory."""

    def hlt(self, timeout_ns: int | None = None, watchdog_ns: int | None = None) -> Steps[bool]:
        """Wait for an interrupt; True, or False when the time was up first."""


class Cpu(DriverCpu, Protocol):
    """A guest's whole world: its instructions, the memory that they reach, and interrupts.  See `VCpu`."""

    index: int

    def inb(self, port: int, /) -> int:
        """IN of one byte."""

    def inw(self, port: int, /) -> int:
        """IN of 16 bits."""

    def inl(self, port: int, /) -> int:
        """IN of 32 bits."""

    def outb(self, port: int, value: int, /) -> None:
        """OUT of one byte."""

    def outw(self, port: int, value: int, /) -> None:
        """OUT of 16 bits."""

    def outl(self, port: int, value: int, /) -> None:
        """OUT of 32 bits."""

    def insb(self, port: int, gpa: int, count: int) -> None:
        """REP INSB to memory."""

    def insw(self, port: int, gpa: int, count: int) -> None:
        """REP INSW to memory."""

    def insl(self, port: int, gpa: int, count: int) -> None:
        """REP INSD to memory."""

    def outsb(self, port: int, gpa: int, count: int) -> None:
        """REP OUTSB from memory."""

    def outsw(self, port: int, gpa: int, count: int) -> None:
        """REP OUTSW from memory."""

    def outsl(self, port: int, gpa: int, count: int) -> None:
        """REP OUTSD from memory."""

    def window(self, pages: Sequence[int]) -> Window:
        """Return guest pages as one array of bytes."""

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """CPUID: (eax, ebx, ecx, edx)."""

    def rdmsr(self, msr: int) -> int:
        """RDMSR: 64 bits."""

    def wrmsr(self, msr: int, value: int) -> None:
        """WRMSR."""

    def hypercall(self, control: int, input_gpa: int = 0, output_gpa: int = 0) -> int:
        """VMCALL; returns the 64-bit result."""

    def compute(self, ns: int) -> None:
        """Let the guest work for `ns`."""

    def cli(self) -> None:
        """Hold interrupts back."""

    def sti(self) -> None:
        """Let interrupts in."""

    def on_interrupt(self, vector: int, handler: "Handler") -> None:
        """Install the handler of a vector."""

    def pay(self) -> Steps[None]:
        """Let the others catch up with its time."""

    def spin(self) -> Steps[None]:
        """Look again when memory may have changed."""


Handler: TypeAlias = Callable[[Any], None]     # of an interrupt: it gets the vCPU and may not wait


class Intercepts(Protocol):
    """The rows in which a vCPU's exits are counted.  See `InterceptTable`."""

    def register(self, reason: ExitReason, address: int, size: int, is_write: bool, string: bool = False) -> Intercept:
        """Return the row of an access to a port or to memory that is no RAM."""

    def priced(self, reason: ExitReason, device: str, cost: int, is_write: bool = False) -> Intercept:
        """Return the row of an exit at a price of its own."""

    def record(self, row: Intercept, value: int, count: int = 1, cost: int | None = None, address: int | None = None) -> None:
        """Tell who watches of one exit."""


class Root(Protocol):
    """The host, as what works for a guest sees it.  See `Host`."""

    env: Simulation
    costs: CostModel
    memory: HostMemory
    cores: Cores
    apic: str
    backing: str
    tick_ns: int

    @property
    def guests(self) -> "Sequence[Partition]":
        """All that were made on it."""

    def at(self, when: int, call: Callable[[Event], None]) -> None:
        """Call `call(event)` at `when` ns."""

    def run(self, *programs: tuple[Any, Program | Steps], limit_ns: int | None = None) -> list:
        """Run the programs of vCPUs, (vCPU, program) pairs, to their end, and return their results."""

    def process(self, guest: "Partition", steps: Steps) -> Process:
        """Start a worker that works for `guest`."""

    def fault(self, guest: "Partition", error: Exception) -> None:
        """End a guest for its error."""


class Isolation(Protocol):
    """The map of a confidential guest's pages.  See `isolation.pages.PrivatePages`."""

    def may(self, page: int, access: int) -> bool:
        """Return whether the host may do `access` with a page."""

    def change(self, page: int, access: int) -> None:
        """Let the host do `access` with a page from now on."""


class Partition(Protocol):
    """A guest, as its own processors and the hypervisor's parts see it.  See `Guest`."""

    name: str
    ram: int
    clock: Clock
    io: Bus
    mmio: Bus
    direct: Bus
    pmem: "list[SharedMemory]"
    pins: dict[str, str]
    releases: list[Callable[[], None]]
    memory: AddressSpace
    dma: AddressSpace
    slat: PageTable
    polled_by: Callable[[int], None] | None
    gave_away: Callable[[int], bool] | None
    seen: AddressSpace
    windows: WeakSet[Window]

    @property
    def host(self) -> Root:
        """Whose guest it is."""

    @property
    def backing(self) -> GuestRam:
        """Its RAM, as runs of host pages."""

    def ram_spa(self, gpa: int) -> int:
        """Return where the RAM at `gpa` lies in the host's memory."""

    def overlaid(self, gpa: int) -> bool:
        """Return whether a page of the hypervisor's lies over the RAM at `gpa`."""

    def tsc(self, ns: int) -> int:
        """Return what its time-stamp counter says at `ns` of the simulation."""

    @property
    def isolation(self) -> "Isolation | None":
        """Who may do what with its pages, if it is a confidential guest."""

    def lent_pages(self) -> set[int]:
        """Return the numbers of the pages that the host uses now."""

    @property
    def vcpus(self) -> "Sequence[GuestCpu]":
        """Its processors."""

    @property
    def destroyed(self) -> bool:
        """Whether it has ended for good."""

    @property
    def hypercalls(self) -> "dict[int, Hypercall]":
        """What answers a hypercall, by its code."""

    @property
    def msrs(self) -> "dict[int, Msr]":
        """What answers an MSR."""

    @property
    def interrupt_controller(self) -> "InterruptController | None":
        """The emulated one that interrupts its first vCPU."""

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """Return what CPUID says."""

    def read_msr(self, msr: int, cpu: "GuestCpu") -> int:
        """Return what RDMSR answers."""

    def write_msr(self, msr: int, value: int, cpu: "GuestCpu") -> None:
        """Do what WRMSR does."""


class SharedMemory(Protocol):
    """Memory of the host's in a guest's address space.  See `pmem.Pmem`."""

    base: int
    end: int
    permissions: int

    def touch(self, cpu: "GuestCpu", gpa: int) -> None:
        """Map the page of `gpa` if it is not."""

    def refuse(self, cpu: "GuestCpu", gpa: int, size: int) -> None:
        """Count a store that is not permitted, and raise its fault."""


class GuestCpu(Cpu, Protocol):
    """A vCPU as the hypervisor's own parts see it, which answer its exits."""

    now: int
    env: Simulation
    clock: Clock
    costs: CostModel
    apic: LocalApic
    auto_eoi: set[int]
    attention: bool
    virtual_apic: bool
    interrupts_enabled: bool

    @property
    def guest(self) -> Partition:
        """Whose vCPU it is."""

    @property
    def table(self) -> Intercepts:
        """Its rows."""

    memory: Any       # its guest's RAM as it reaches it: an `AddressSpace`, or a `DemandRam`

    @property
    def recorded(self) -> Any:
        """The `RecordedCpu` for its programs, or None."""

    @property
    def waits(self) -> bool:
        """Whether a `hlt` or `pay` is under way."""

    def pass_time(self, now: int) -> None:
        """Move to `now`."""

    def charge(self, row: Intercept, extra_ns: int = 0, units: int = 1) -> None:
        """Count one exit, and let its price pass."""

    def attend(self) -> None:
        """Inject what asks for it."""

    def interrupted(self) -> None:
        """Take an interrupt that came while the guest ran."""


class InterruptController(Protocol):
    """What says which interrupt comes next."""

    def acknowledge(self) -> int:
        """Return the vector of the interrupt that is injected now."""


Msr: TypeAlias = tuple[Callable[[GuestCpu], int] | None, Callable[[GuestCpu, int], None] | None]    # (read, write)
Hypercall: TypeAlias = Callable[[Partition, GuestCpu, int, int, int], int]     # (guest, vCPU, control, input, output) -> status


class OverlayPages(Protocol):
    """The hypervisor's own pages over a guest's RAM.  See `hyperv.hypercalls.Overlays`."""

    def page(self) -> int:
        """Return the SPA of a new page."""

    def show(self, name: str, spa: int, gpa: int, permissions: int = READ | WRITE) -> None:
        """Put the page over `gpa`."""

    def hide(self, spa: int) -> None:
        """Take the page away."""
