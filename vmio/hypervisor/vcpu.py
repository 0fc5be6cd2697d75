"""A virtual processor: the whole of what a guest can do.

Guest code is a generator function `program(cpu)`.  An I/O instruction is a
plain call (`cpu.outb(0x3F8, 65)`); only waiting yields (`yield from cpu.hlt()`).

What this model leaves out: guest page tables and paging (addresses are
guest-physical), caches, pipelines and instruction fetch.  Instructions that do
not exit are free unless the guest says `compute(ns)`.  Exits that real hosts count and this one doesn't: first touch of a
RAM page, loss of the core, arming a timer, the host's tick, the TPR (docs/differences.md, "Exits that are not counted").
"""

from vmio.hypervisor import direct, string_io
from vmio.hypervisor.apic import VIRTUALIZED, X2APIC_EOI, LocalApic
from vmio.hypervisor.cores import Alarm
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.handle import InterceptTable
from vmio.hypervisor.register_io import register_read, register_write
from vmio.machine.clock import NEVER, whole_ns
from vmio.machine.pagetable import TranslationFault
from vmio.machine.window import Window

STORM = 10_000  # interrupts in a row without an instruction between them: the guest is stuck
STANDSTILL = 1_000_000  # times in a row that it pays for no time at all: it will never let time pass


class VCpu:
    """One virtual processor of a guest.  Made by `Guest`; `now` is its own time in ns.

    Its time runs ahead of the simulation's while it computes and exits, and is
    paid when it waits, so a register access costs no simulation event.
    """

    POINTS, slept = {"slept": "((from, until) in ns) of each HLT, the wake-up left out"}, None

    def __init__(self, guest, index):
        self.guest, self.index = guest, index
        self.clock, self.costs, self.env = guest.clock, guest.host.costs, guest.host.env
        self.table = InterceptTable(guest, index)
        self._ins, self._outs = self.table.ins, self.table.outs
        self.now = guest.clock.now
        self.attention = False            # the PIC's INT line is up, or the local APIC has a vector ready
        self.apic = LocalApic(self._interrupts_changed)
        self.virtual_apic = guest.host.apic == VIRTUALIZED   # the processor does the local APIC's work
        self.auto_eoi = set()             # vectors that need no end of interrupt (SynIC's AutoEOI)
        self.interrupts_enabled = True    # the IF flag
        self.handlers = {}                # vector -> function(cpu): the guest's IDT
        self.interrupts = self.spurious = self._int_level = 0
        self.compute_ns = self.idle_ns = 0
        self._wake = None
        self._alarm = Alarm(self.env, self._alarmed)
        self._paid = self.now             # how much of its time has been spent on a core
        self._unmoved = 0                 # times in a row that there was nothing to pay for

    # Port I/O.

    inb, inw, inl = register_read(1), register_read(2), register_read(4)
    outb, outw, outl = register_write(1), register_write(2), register_write(4)

    def insb(self, port, gpa, count):
        """REP INSB: `count` bytes from a port to guest memory at `gpa`.  One exit for all."""
        string_io.ins(self, port, gpa, count, 1)

    def insw(self, port, gpa, count):
        """REP INSW: `count` 16-bit words from a port to guest memory at `gpa`.  One exit for all."""
        string_io.ins(self, port, gpa, count, 2)

    def insl(self, port, gpa, count):
        """REP INSD: `count` 32-bit words from a port to guest memory at `gpa`.  One exit for all."""
        string_io.ins(self, port, gpa, count, 4)

    def outsb(self, port, gpa, count):
        """REP OUTSB: `count` bytes from guest memory at `gpa` to a port.  One exit for all."""
        string_io.outs(self, port, gpa, count, 1)

    def outsw(self, port, gpa, count):
        """REP OUTSW: `count` 16-bit words from guest memory at `gpa` to a port.  One exit for all."""
        string_io.outs(self, port, gpa, count, 2)

    def outsl(self, port, gpa, count):
        """REP OUTSD: `count` 32-bit words from guest memory at `gpa` to a port.  One exit for all."""
        string_io.outs(self, port, gpa, count, 4)

    # Memory.

    def load(self, gpa, size):
        """MOV from memory, `size` 1, 2, 4 or 8 bytes.  RAM and `guest.direct` don't exit; the rest is an EPT violation."""
        if gpa < self.guest.ram and size in direct.SIZES:      # the SLAT table has nothing above
            try:
                return int.from_bytes(self.guest.memory.read(gpa, size), "little")
            except TranslationFault:
                pass
        return direct.load(self, gpa, size)

    def store(self, gpa, size, value):
        """MOV to memory.  RAM and `guest.direct` don't exit; read-only RAM and the rest are an EPT violation."""
        if gpa < self.guest.ram and size in direct.SIZES and not value >> 8 * size:
            try:
                return self.guest.memory.write(gpa, value.to_bytes(size, "little"))
            except TranslationFault:
                pass
        direct.store(self, gpa, size, value)

    def read(self, gpa, length):
        """`length` bytes of guest memory; what is not RAM exits, 8 bytes at a time."""
        if length >= 0:
            try:
                return self.guest.memory.read(gpa, length)
            except TranslationFault:
                pass
        return direct.read(self, gpa, length)

    def write(self, gpa, data):
        """Store bytes in guest memory; what is not RAM exits, 8 bytes at a time."""
        try:
            self.guest.memory.write(gpa, data)
        except TranslationFault:
            direct.write(self, gpa, data)

    def window(self, pages):
        """Guest pages (their numbers) as one array of bytes, each translated once: how a driver reaches a ring.  No exit."""
        return Window(self.guest.memory, pages)

    # Instructions that the hypervisor answers itself.

    def cpuid(self, leaf, subleaf=0):
        """CPUID: (eax, ebx, ecx, edx).  Exits unconditionally (SDM vol. 3C, "Instructions That Cause VM Exits")."""
        self._plain(ExitReason.CPUID, 0, leaf)
        registers = self.guest.cpuid(leaf, subleaf)
        self.attend()
        return registers

    def rdmsr(self, msr):
        """RDMSR: 64 bits.  An MSR that the hypervisor does not know is #GP: a `GuestFault`."""
        self._plain(ExitReason.RDMSR, msr if msr in self.guest.msrs else 0)
        value = self.guest.read_msr(msr, self)
        self.attend()
        return value

    def wrmsr(self, msr, value):
        """WRMSR.  An MSR that the hypervisor does not know is #GP: a `GuestFault`."""
        if msr != X2APIC_EOI or not self.virtual_apic:
            self._plain(ExitReason.WRMSR, msr if msr in self.guest.msrs else 0, value)
        self.guest.write_msr(msr, value, self)
        self.attend()

    def hypercall(self, control, input_gpa=0, output_gpa=0):
        """VMCALL by Hyper-V's convention: the 64-bit result, its status in the low 16 bits (TLFS, "Hypercalls")."""
        self._plain(ExitReason.VMCALL, control & 0xFFFF, control)
        result = self.guest.hypercall(control, input_gpa, output_gpa, self)
        self.attend()
        return result

    def hlt(self, timeout_ns=None):
        """HLT: wait for an interrupt (`yield from cpu.hlt()`); its handler has run on return.

        `timeout_ns` stands for the guest's own timer tick.  Returns True for an interrupt,
        False when the time was up first.  ValueError for a time that `compute` refuses.
        """
        if timeout_ns is not None:
            timeout_ns = whole_ns("hlt", timeout_ns, self.now)
        self._plain(ExitReason.HLT, 0)
        seen, started = self.interrupts, self.now
        until = NEVER if timeout_ns is None else self.now + timeout_ns
        yield from self._catch_up()
        while not (self.attention and self.interrupts_enabled):
            if self.now >= until:
                self._slept(started)
                return False
            wake_at = min(self.clock.deadline(), until)
            if wake_at == NEVER or wake_at >= self.env.peek():
                yield from self._sleep(wake_at)
            else:                         # nothing else happens until then: no need to tell the simulation
                self.now = self._paid = max(self.now, wake_at)
                self.clock.advance_to(self.now)
        self._slept(started)
        self.now += self.costs.wakeup_ns
        self.idle_ns += self.costs.wakeup_ns
        self.clock.advance_to(self.now)
        self.apic.by_host = False         # nobody ran whom the host's handler could have stopped
        self.attend()
        return self.interrupts > seen

    def _slept(self, started):
        self.idle_ns += self.now - started
        if self.slept is not None:
            self.slept((started, self.now))

    def _sleep(self, wake_at):
        """Until `wake_at` (ns), or until the interrupt line rises."""
        self._wake = self.env.event()
        self._alarm.at(wake_at)
        yield self._wake
        self._wake = None
        self._alarm.off()
        self.now = self._paid = max(self.now, self.env.now)
        self.clock.advance_to(self.now)

    def _alarmed(self):
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()

    # Instructions that do not exit.

    def compute(self, ns):
        """Work that stays inside the guest; a device interrupt on the way stops it.  ValueError for what is no time."""
        left = ns = whole_ns("compute", ns, self.now)
        self.compute_ns += ns
        while self.clock.due <= self.now + left:
            step = max(self.clock.due - self.now, 0)
            left -= step
            self._pass_time(self.now + step)
        self._pass_time(self.now + left)

    def cli(self):
        """Hold interrupts back (IF = 0)."""
        self.interrupts_enabled = False

    def sti(self):
        """Let interrupts in (IF = 1); one that waited costs an interrupt-window exit."""
        self.interrupts_enabled = True
        if self.attention:
            if not (self.virtual_apic and self.apic.ready):
                self._plain(ExitReason.INTERRUPT_WINDOW, 0)
            self.attend()

    def on_interrupt(self, vector, handler):
        """Install `handler(cpu)` for a vector, 0 to 255, as an entry of the guest's IDT.  A handler may not wait."""
        if vector not in range(256):
            raise ValueError(f"interrupt vector {vector}: the IDT has 0 to 255")
        self.handlers[vector] = handler

    def pay(self):
        """Let the others catch up with this vCPU's own time, on a host core: `yield from cpu.pay()`.

        Free if nothing else happens before that time.  With all cores busy it takes longer.
        What interrupted meanwhile is delivered at its end.  `GuestFault` for who does nothing else.
        """
        self._unmoved = 0 if self.now > self._paid else self._unmoved + 1
        if self._unmoved > STANDSTILL:
            raise GuestFault(f"{self.guest.name}: {STANDSTILL:,} times pay() in a row at {self.now:,} ns; no time passes")
        yield from self._catch_up()
        self.interrupted()

    def spin(self):
        """Poll: no exit, until memory may have changed; a look takes `poll_ns` or more.  `GuestFault` if nothing changes it."""
        until = min(self.env.peek(), self.clock.deadline())
        if until >= NEVER:
            raise GuestFault(f"{self.guest.name}: polls for what nothing will change")
        self.compute(max(int(until) - self.now, self.costs.poll_ns, 1))
        yield from self.pay()

    def _catch_up(self):
        env = self.env
        if env.peek() <= self.now > env.now:
            if self._paid > env.now:      # slept or paid for already: that needs no core
                yield env.timeout(self._paid - env.now)
            debt = self.now - max(env.now, self._paid)
            yield from self.guest.host.cores.spend(debt)
            self.now = max(self.now, env.now)
        self._paid = self.now

    # Interrupts.

    def interrupt_line(self, level):
        """The PIC's INT output."""
        self._int_level = level
        self._interrupts_changed()

    def _interrupts_changed(self):
        """Is there something to inject?  It wakes a halted vCPU."""
        self.attention = bool(self._int_level) or self.apic.ready
        if self.attention:
            self._alarmed()

    def _acknowledge(self):
        """The vector to inject: the local APIC's first, else the PIC's (the INTA cycle)."""
        apic = self.apic
        if apic.ready:
            return apic.acknowledge(apic.irr.bit_length() - 1 in self.auto_eoi)
        return self.guest.interrupt_controller.acknowledge()

    def attend(self):
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
    def exits(self):
        """`ExitCounts` so far."""
        return self.table.counts

    @property
    def trace(self):
        """The last exits as `Exit` records, after `keep_trace()`; None before."""
        return self.table.trace

    def keep_trace(self, last=10_000):
        """Keep the last `last` exits as records.  Slower; the counters never stop."""
        self.table.keep_trace(last)

    def charge(self, row, extra_ns=0, units=1):
        """Count one exit of `row` and let its price pass."""
        row.count += 1
        row.extra_ns += extra_ns
        row.moved += units
        self._pass_time(self.now + row.cost + extra_ns)

    def _plain(self, reason, address, value=0):
        row = self.table.plain(reason, address)
        self.table.record(row, value)
        self.charge(row)

    def _pass_time(self, now):
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

    def interrupted(self):
        """Take an interrupt that came while the guest ran.

        It is an exit if the host's handler of a device's interrupt needs the core, or if the
        hypervisor must inject it: all but what a virtualized APIC delivers.
        """
        wanted = self.attention and self.interrupts_enabled
        if self.apic.by_host or wanted and not (self.virtual_apic and self.apic.ready):
            self.apic.by_host = False
            row = self.table.plain(ExitReason.EXTERNAL_INTERRUPT, 0)
            self.table.record(row, 0)
            row.count += 1
            self.now += row.cost
            self.clock.advance_to(self.now)
        if wanted:
            self.attend()

