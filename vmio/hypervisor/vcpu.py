"""A virtual processor: the whole of what a guest can do.

Guest code is a generator function `program(cpu)`.  An I/O instruction is a
plain call (`cpu.outb(0x3F8, 65)`); only waiting yields (`yield from cpu.hlt()`).

What this model leaves out: guest page tables and paging (addresses are
guest-physical), caches, pipelines and instruction fetch.  Instructions that do
not exit are free unless the guest says `compute(ns)`.  What stops a guest that asked for nothing is counted as the host's
properties have it (`kinds.py`): first touch of a RAM page, loss of the core, the host's tick.  Exits that real hosts count and
this one doesn't: accesses to the TPR where it is intercepted, and the guest's own periodic tick.  Nested paging's own walks
cost nothing (docs/differences.md, "Exits of the host's own").
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, SupportsIndex

from vmio.hypervisor import direct
from vmio.hypervisor.apic import VIRTUALIZED, X2APIC_EOI, LocalApic
from vmio.hypervisor.backing import DemandRam
from vmio.hypervisor.contracts import Handler, Partition, Span
from vmio.hypervisor.exits import Exit, ExitCounts, ExitReason, Intercept
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.handle import InterceptTable
from vmio.hypervisor.kinds import DEMAND
from vmio.hypervisor.register_io import register_read, register_write
from vmio.hypervisor.string_io import string_read, string_write
from vmio.hypervisor.waiting import Waiting
from vmio.machine.clock import LONGEST, whole_ns
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import AddressSpace, TranslationFault
from vmio.machine.window import Window

STORM = 10_000  # interrupts in a row without an instruction between them: the guest is stuck


class VCpu(Waiting):
    """One virtual processor of a guest.  Made by `Guest`; `now` is its own time in ns.

    Its time runs ahead of the simulation's while it computes and exits, and is
    paid when it waits, so a register access costs no simulation event.
    """

    POINTS = {"slept": "((from, until) in ns) of each HLT, the wake-up left out"}
    slept: Span | None = None
    # What every exit and every wait looks at.  Python finds attributes in slots in less time, and all others too when they are few:
    # up to 30 of an instance lie in a row that its class knows.
    __slots__ = ("now", "clock", "env", "costs", "guest", "table", "memory", "attention", "interrupts_enabled", "interrupts", "apic",
                 "_ins", "_outs", "_plains")

    def __init__(self, guest: Partition, index: int) -> None:
        self.guest, self.index = guest, index
        self.clock, self.costs, self.env = guest.clock, guest.host.costs, guest.host.env
        self.memory: AddressSpace | DemandRam = DemandRam(self) if guest.host.backing == DEMAND else guest.memory   # RAM, as it reaches it
        self.table = InterceptTable(guest, index)
        self._ins, self._outs, self._plains = self.table.ins, self.table.outs, self.table.plains
        self.now = guest.clock.now
        self.attention = False            # the PIC's INT line is up, or the local APIC has a vector ready
        self.apic = LocalApic(self._interrupts_changed)
        self.virtual_apic = guest.host.apic == VIRTUALIZED   # the processor does the local APIC's work
        self.auto_eoi: set[int] = set()   # vectors that need no end of interrupt (SynIC's AutoEOI)
        self.interrupts_enabled = True    # the IF flag
        self.handlers: dict[int, Handler] = {}   # vector -> function(cpu): the guest's IDT
        self.interrupts = self.spurious = self._int_level = 0
        self.compute_ns = self.idle_ns = 0
        self.recorded: Any = None         # a `RecordedCpu`, for a guest that may be saved in its programs
        self.start_waiting()

    # Port I/O.

    inb, inw, inl = register_read(1), register_read(2), register_read(4)
    outb, outw, outl = register_write(1), register_write(2), register_write(4)
    insb, insw, insl = string_read(1), string_read(2), string_read(4)
    outsb, outsw, outsl = string_write(1), string_write(2), string_write(4)

    # Memory.

    def load(self, gpa: int, size: int) -> int:
        """MOV from memory, `size` 1, 2, 4 or 8 bytes.  RAM and `guest.direct` don't exit; the rest is an EPT violation."""
        if gpa < self.guest.ram and size in direct.SIZES:      # the SLAT table has nothing above
            try:
                return int.from_bytes(self.memory.read(gpa, size), "little")
            except TranslationFault:
                pass
        return direct.load(self, gpa, size)

    def store(self, gpa: int, size: int, value: int) -> None:
        """MOV to memory.  RAM and `guest.direct` don't exit; read-only RAM and the rest are an EPT violation."""
        if gpa < self.guest.ram and size in direct.SIZES and not value >> 8 * size:
            try:
                return self.memory.write(gpa, value.to_bytes(size, "little"))
            except TranslationFault:
                pass
        direct.store(self, gpa, size, value)

    def read(self, gpa: int, length: int) -> bytes:
        """Return `length` bytes of guest memory; what is not RAM exits, 8 bytes at a time."""
        if length >= 0:
            try:
                return self.memory.read(gpa, length)
            except TranslationFault:
                pass
        return direct.read(self, gpa, length)

    def write(self, gpa: int, data: Buffer) -> None:
        """Store bytes in guest memory; what is not RAM exits, 8 bytes at a time."""
        try:
            self.memory.write(gpa, data)
        except TranslationFault:
            direct.write(self, gpa, data)

    def window(self, pages: Sequence[int]) -> Window:
        """Return guest pages (their numbers) as one array of bytes, each translated once: so a driver reaches a ring.

        No exit but for first touches, which are counted here: a driver clears the pages that it shares.
        """
        if isinstance(self.memory, DemandRam):
            for page in pages:
                self.memory.touch(page * PAGE, PAGE, True)
        window = Window(self.guest.memory, pages)
        self.guest.windows.add(window)
        return window

    # Instructions that the hypervisor answers itself.

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """CPUID: (eax, ebx, ecx, edx).  Exits unconditionally (SDM vol. 3C, "Instructions That Cause VM Exits")."""
        self._plain(ExitReason.CPUID, 0, leaf)
        registers = self.guest.cpuid(leaf, subleaf)
        self.attend()
        return registers

    def rdtsc(self) -> int:
        """RDTSC: 64 bits.  No exit: the processor adds the guest's offset (SDM vol. 3C, "TSC Offsetting")."""
        return self.guest.tsc(self.now)

    def rdmsr(self, msr: int) -> int:
        """RDMSR: 64 bits.  An MSR that the hypervisor does not know is #GP: a `GuestFault`."""
        self._plain(ExitReason.RDMSR, msr if msr in self.guest.msrs else 0)
        value = self.guest.read_msr(msr, self)
        self.attend()
        return value

    def wrmsr(self, msr: int, value: int) -> None:
        """WRMSR.  An MSR that the hypervisor does not know is #GP: a `GuestFault`."""
        if msr == X2APIC_EOI and self.virtual_apic and not value:
            self.apic.eoi()               # the processor's own work (SDM vol. 3C, "EOI Virtualization")
        else:
            if msr != X2APIC_EOI or not self.virtual_apic:
                self._plain(ExitReason.WRMSR, msr if msr in self.guest.msrs else 0, value)
            self.guest.write_msr(msr, value, self)
        if self.attention:
            self.attend()

    def hypercall(self, control: int, input_gpa: int = 0, output_gpa: int = 0) -> int:
        """VMCALL by Hyper-V's convention: the 64-bit result, its status in the low 16 bits (TLFS, "Hypercalls")."""
        self._plain(ExitReason.VMCALL, control & 0xFFFF, control)
        result = self.guest.hypercalls[control & 0xFFFF](self.guest, self, control, input_gpa, output_gpa)
        if self.attention:
            self.attend()
        return result

    # Instructions that do not exit.

    def compute(self, ns: SupportsIndex) -> None:
        """Work that stays inside the guest; interrupts on the way, also of the host's tick, stop it.  ValueError for what is no time."""
        if self.guest.polled_by is not None:
            self.guest.polled_by(self.now)     # whoever polls its memory will find it as it is now
        if type(ns) is int and 0 <= ns <= LONGEST and self.now + ns < self.clock.due and not self._ticks:
            self.in_guest.add(self.now, self.now + ns)
            self.compute_ns += ns
            self.now = self.clock.now = self.now + ns
            return
        ns = whole_ns("compute", ns, self.now)
        self.compute_ns += ns
        self.in_guest.run(ns)

    def cli(self) -> None:
        """Hold interrupts back (IF = 0)."""
        self.interrupts_enabled = False

    def sti(self) -> None:
        """Let interrupts in (IF = 1); one that waited costs an interrupt-window exit."""
        self.interrupts_enabled = True
        if self.attention:
            if not (self.virtual_apic and self.apic.ready):
                self._plain(ExitReason.INTERRUPT_WINDOW, 0)
            self.attend()

    def on_interrupt(self, vector: int, handler: Handler) -> None:
        """Install `handler(cpu)` for a vector, 0 to 255, as an entry of the guest's IDT.  A handler may not wait."""
        if vector not in range(256):
            raise ValueError(f"interrupt vector {vector}: the IDT has 0 to 255")
        self.handlers[vector] = handler

    # Interrupts.

    def interrupt_line(self, level: int) -> None:
        """Follow the PIC's INT output."""
        self._int_level = level
        self._interrupts_changed()

    def _interrupts_changed(self) -> None:
        """Is there something to inject?  It wakes a halted vCPU."""
        self.attention = bool(self._int_level) or self.apic.ready
        if self.attention:
            self._alarmed()

    def _acknowledge(self) -> int:
        """The vector to inject: the local APIC's first, else the PIC's (the INTA cycle)."""
        apic = self.apic
        if apic.ready:
            return apic.acknowledge(apic.irr.bit_length() - 1 in self.auto_eoi)
        return self.guest.interrupt_controller.acknowledge()  # type: ignore[union-attr]  # it has raised the line

    def attend(self) -> None:
        """Inject what the interrupt controller asks for, on the way back into the guest."""
        for _ in range(STORM):
            if not (self.attention and self.interrupts_enabled):
                return
            handler = self.handlers.get(self._acknowledge())
            self.interrupts += 1
            if handler is None:
                self.spurious += 1
                continue
            self.interrupts_enabled = False
            try:
                handler(self)
            finally:
                self.interrupts_enabled = True
        raise GuestFault(f"{self.guest.name}: {STORM} interrupts in a row; the handler leaves the line raised")

    # Time and counters.

    @property
    def exits(self) -> ExitCounts:
        """`ExitCounts` so far."""
        return self.table.counts

    @property
    def trace(self) -> deque[Exit] | None:
        """The last exits as `Exit` records, after `keep_trace()`; None before."""
        return self.table.trace

    def keep_trace(self, last: int = 10_000) -> None:
        """Keep the last `last` exits as records.  Slower; the counters never stop."""
        self.table.keep_trace(last)

    def charge(self, row: Intercept, extra_ns: int = 0, units: int = 1) -> None:
        """Count one exit of `row` and let its price pass."""
        row.count += 1
        row.extra_ns += extra_ns
        row.moved += units
        self.pass_time(self.now + row.cost + extra_ns)

    def _plain(self, reason: ExitReason, address: int, value: int = 0) -> None:
        row = self._plains.get((reason, address)) or self.table.plain(reason, address)
        if self.table.exited is not None:
            self.table.record(row, value)
        row.count += 1
        row.moved += 1
        self.pass_time(self.now + row.cost)

    def pass_time(self, now: int) -> None:
        """Move to `now`.  A timer on the way may raise an interrupt while the guest runs: an exit of its own."""
        self.now = now
        clock = self.clock
        if now < clock.due:
            clock.now = now
            return
        before = self.attention
        clock.advance_to(now)
        if not before or self.apic.by_host:
            self.interrupted()

    def interrupted(self) -> None:
        """Take an interrupt that came while the guest ran.

        It is an exit if the host's handler of a device's interrupt needs the core, or if the
        hypervisor must inject it: all but what a virtualized APIC delivers.
        """
        wanted = self.attention and self.interrupts_enabled
        if self.apic.by_host or wanted and not (self.virtual_apic and self.apic.ready):
            self.apic.by_host = False
            row = self._plains.get((ExitReason.EXTERNAL_INTERRUPT, 0)) or self.table.plain(ExitReason.EXTERNAL_INTERRUPT, 0)
            if self.table.exited is not None:
                self.table.record(row, 0)
            row.count += 1
            self.now += row.cost
            self.clock.advance_to(self.now)
        if wanted:
            self.attend()

