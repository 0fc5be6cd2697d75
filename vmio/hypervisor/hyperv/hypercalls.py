"""What the hypervisor adds to a guest that knows it: CPUID leaves, synthetic MSRs, pages of its own, two hypercalls.

    guest.enlightened = enable_enlightenments(guest)

Source: TLFS, "Feature and Interface Discovery", "Hypercall Interface" and
"Inter-Partition Communication"; OpenVMM vm/hv1/hv1_emulator.
"""

from collections import deque
from collections.abc import Callable

from vmio.hypervisor.apic import VIRTUALIZED, EoiAssist
from vmio.hypervisor.contracts import GuestCpu, Msr, Partition
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv import features, tlfs
from vmio.hypervisor.hyperv.reftime import ReferenceTime
from vmio.hypervisor.hyperv.synic import Synic
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.pagetable import EXECUTE, READ, WRITE, TranslationFault

PORT_BUFFERS = 16  # messages a port holds (TLFS, "Ports")
HYPERCALL_CODE = bytes.fromhex("0f01c1c3")  # VMCALL; RET.  The rest of the page is INT3, so a stray jump stops.


class Overlays:
    """Pages of the hypervisor's own that lie over guest RAM: what is beneath comes back when they go."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._pages: list[int] = []
        self._shown: dict[int, tuple[int, int]] = {}   # SPA -> (GPA, permissions), oldest first

    def page(self) -> int:
        """Return the SPA of a new page, zeroed."""
        self._pages.append(self._guest.host.memory.allocate(1))
        return self._pages[-1]

    def show(self, name: str, spa: int, gpa: int, permissions: int = READ | WRITE) -> None:
        """Put the page over `gpa` (a multiple of 4,096).  #GP outside RAM."""
        if gpa + PAGE > self._guest.ram:
            raise GuestFault(f"{self._guest.name}: #GP, {name}: page at {gpa:#x}; RAM ends at {self._guest.ram:#x}")
        self.hide(spa)
        try:
            self._guest.slat.map(gpa, spa, PAGE, permissions)
        except OutOfMemory as error:      # a large page must be split for it
            raise GuestFault(f"{self._guest.name}: #GP, {name}: page at {gpa:#x}: {error}") from None
        self._shown[spa] = gpa, permissions

    def hide(self, spa: int) -> None:
        """Take the page away: RAM, or another overlay at the same address, is seen again."""
        if spa not in self._shown:
            return
        gpa, _ = self._shown.pop(spa)
        self._guest.slat.map(gpa, self._guest.ram_spa(gpa), PAGE, READ | WRITE | EXECUTE)
        for other, (at, permissions) in self._shown.items():
            if at == gpa:
                self._guest.slat.map(gpa, other, PAGE, permissions)

    def covers(self, gpa: int) -> bool:
        """Is there an overlay at this page?"""
        for at, _ in self._shown.values():       # written out: it is asked at each first touch of a page
            if at == gpa:
                return True
        return False

    def pages(self) -> set[int]:
        """Return the numbers of the guest's pages that lie under one."""
        return {gpa // PAGE for gpa, _ in self._shown.values()}

    def release(self) -> None:
        """Give the pages back to the host; the guest is gone."""
        for spa in self._pages:
            self._guest.host.memory.free(spa, 1)
        self._pages.clear()
        self._shown.clear()


class MessagePort:
    """Where HvCallPostMessage puts messages: `queue` of (time in ns, connection id, message type, payload)."""

    def __init__(self, arrived: Callable[[int], None]) -> None:
        self.queue: deque = deque()
        self.arrived = arrived   # arrived(time in ns) tells the owner


class Enlightenments:
    """The state behind them.  `synics[n]` is vCPU n's; `message_ports` and `event_ports` are by connection id.

    An event port is a function(time in ns).  Where the processor virtualizes the APIC
    (`Host.apic`) the guest is advised to end interrupts by the architecture's own MSR, which
    doesn't exit; where the hypervisor emulates it, to let SINTs end by themselves (AutoEOI)
    and to use the synthetic MSRs and the assist page for the rest.  `auto_eoi` True or False
    gives the advice about AutoEOI whatever the APIC.

    `privileges` (HV_PARTITION_PRIVILEGE_MASK) are what CPUID 40000003h announces; an MSR without
    its privilege is #GP, a hypercall "access denied".  The VP assist page needs none.
    """

    def __init__(self, guest: Guest, auto_eoi: bool | None = None, privileges: int = tlfs.PRIVILEGES) -> None:
        self.guest, self.privileges = guest, features.check_privileges(privileges)
        self._auto_eoi = guest.host.apic != VIRTUALIZED if auto_eoi is None else auto_eoi
        self.overlays = Overlays(guest)
        self.synics = [Synic(cpu, self.overlays) for cpu in guest.vcpus]
        self._code = self.overlays.page()
        guest.host.memory.write(self._code, HYPERCALL_CODE.ljust(PAGE, b"\xCC"))
        self.guest_os_id = self.hypercall_msr = 0
        self.message_ports: dict[int, MessagePort] = {}
        self.event_ports: dict[int, Callable[[int], None]] = {}
        self.on_reset: list[Callable[[], None]] = []   # function() of whoever holds state about this guest
        self.posted = self.signalled = 0
        self.reference = ReferenceTime(guest, self.overlays)
        self._assist: dict[int, int] = {}    # vCPU number -> SPA of its VP assist page, from the first time that it is shown
        self.assist_msrs, self._icr = [0] * len(guest.vcpus), [0] * len(guest.vcpus)
        guest.cpuid_leaves.update(features.leaves(guest, privileges, self._auto_eoi))
        for privilege, msrs in self._msrs().items():
            if privileges & privilege == privilege:
                guest.msrs.update(msrs)
            else:
                for msr in msrs:
                    guest.msrs.pop(msr, None)
        for privilege, code, call in ((tlfs.POST_MESSAGES_BIT, tlfs.POST_MESSAGE, self._post_message),
                                      (tlfs.SIGNAL_EVENTS_BIT, tlfs.SIGNAL_EVENT, self._signal_event)):
            guest.hypercalls[code] = call if privileges >> 32 & privilege else self._denied
        guest.releases.append(self.overlays.release)

    def reset(self) -> None:
        """Be as at the start, MSRs, pages and whatever the bus knew: the guest was reset (power button)."""
        for synic in self.synics:
            synic.reset()
            apic = synic.cpu.apic
            apic.use(None)
            apic.tpr = 0
            while apic.eoi() is not None:
                pass
            while apic.ready:
                apic.acknowledge(auto_eoi=True)
        for spa in (self._code, *self._assist.values()):
            self.overlays.hide(spa)
        self.reference.reset()
        self.guest_os_id = self.hypercall_msr = 0
        self.assist_msrs, self._icr = [0] * len(self.guest.vcpus), [0] * len(self.guest.vcpus)
        for tell in self.on_reset:
            tell()

    def _msrs(self) -> dict[int, dict[int, Msr]]:
        """{privilege: {MSR: (read(cpu), write(cpu, value))}}; a missing half is #GP.  Privilege 0: for everybody."""
        synics = self.synics

        def of(name: str, write: str) -> Msr:
            return (lambda cpu: getattr(synics[cpu.index], name),
                    lambda cpu, value: getattr(synics[cpu.index], write)(value))

        def of_sint(n: int) -> Msr:
            return (lambda cpu: synics[cpu.index].sints[n], lambda cpu, value: synics[cpu.index].write_sint(n, value))

        def of_timer(n: int) -> tuple[Msr, Msr]:
            return ((lambda cpu: synics[cpu.index].timers[n].config, lambda cpu, value: synics[cpu.index].timers[n].write_config(value)),
                    (lambda cpu: synics[cpu.index].timers[n].count, lambda cpu, value: synics[cpu.index].timers[n].write_count(value)))

        synic: dict[int, Msr] = {tlfs.SCONTROL: of("control", "write_control"), tlfs.SVERSION: (lambda cpu: 1, None),
                 tlfs.SIEFP: of("siefp", "write_siefp"), tlfs.SIMP: of("simp", "write_simp"),
                 tlfs.EOM: (lambda cpu: 0, lambda cpu, value: synics[cpu.index].end_of_message(value))}
        for n in range(tlfs.SINTS):
            synic[tlfs.SINT0 + n] = of_sint(n)
        timers: dict[int, Msr] = {}
        for n in range(tlfs.STIMERS):
            timers[tlfs.STIMER0_CONFIG + 2 * n], timers[tlfs.STIMER0_CONFIG + 2 * n + 1] = of_timer(n)
        return {0: {tlfs.VP_ASSIST_PAGE: (lambda cpu: self.assist_msrs[cpu.index], self._write_assist)},
                tlfs.TIME_COUNT_BIT: {tlfs.TIME_REF_COUNT: self.guest.msrs[tlfs.TIME_REF_COUNT]},
                tlfs.VP_INDEX_BIT: {tlfs.VP_INDEX: self.guest.msrs[tlfs.VP_INDEX]},
                tlfs.HYPERCALL_BIT: {tlfs.GUEST_OS_ID: (lambda cpu: self.guest_os_id, self._write_guest_os_id),
                                     tlfs.HYPERCALL: (lambda cpu: self.hypercall_msr, self._write_hypercall)},
                tlfs.APIC_BIT: {tlfs.EOI: (None, self._write_eoi),
                                tlfs.ICR: (lambda cpu: self._icr[cpu.index], self._write_icr),
                                tlfs.TPR: (lambda cpu: cpu.apic.tpr, self._write_tpr)},
                tlfs.SYNIC_BIT: synic, tlfs.STIMER_BIT: timers, **self.reference.msrs()}

    def _write_guest_os_id(self, cpu: GuestCpu, value: int) -> None:
        self.guest_os_id = value
        if value == 0:
            self.overlays.hide(self._code)
            self.hypercall_msr &= ~tlfs.ENABLE

    def _write_hypercall(self, cpu: GuestCpu, value: int) -> None:
        """Where the guest sees the page with the trapping instruction, readable and executable only."""
        if self.hypercall_msr & tlfs.LOCKED:
            raise GuestFault(f"{self.guest.name}: #GP, the hypercall page is locked")
        if not self.guest_os_id:
            value &= ~tlfs.ENABLE   # who doesn't say who it is gets no hypercalls
        if value & tlfs.ENABLE:
            self.overlays.show("hypercall page", self._code, value & tlfs.PAGE_MASK, READ | EXECUTE)
        else:
            self.overlays.hide(self._code)
        self.hypercall_msr = value

    def _write_eoi(self, cpu: GuestCpu, value: int) -> None:
        """Bits 63:32 are RsvdZ (TLFS, "Virtual Interrupt Control": EOI Register)."""
        if value >> 32:
            raise GuestFault(f"{self.guest.name}: #GP, EOI: {value:#x}; bits 63 to 32 are reserved")
        self.synics[cpu.index].end_of_interrupt()

    def _write_icr(self, cpu: GuestCpu, value: int) -> None:
        """Send a fixed interrupt to one vCPU, to itself, to all or to all others (SDM vol. 3A, "Issuing Interprocessor Interrupts").

        Bits 63:56 are the physical destination.  Other kinds of message have nobody here to act on them.
        """
        self._icr[cpu.index] = value
        shorthand, vector = value >> 18 & 3, value & 0xFF
        if value >> 8 & 7 or vector < 16 or shorthand == 0 and value & 1 << 11:
            return
        for other in self.guest.vcpus:
            if (other.index == value >> 56, other is cpu, True, other is not cpu)[shorthand]:
                other.apic.request(vector)

    def _write_tpr(self, cpu: GuestCpu, value: int) -> None:
        if value >> 8:
            raise GuestFault(f"{self.guest.name}: #GP, TPR: {value:#x}; bits 63 to 8 are reserved")
        cpu.apic.set_tpr(value)

    def _write_assist(self, cpu: GuestCpu, value: int) -> None:
        """Show the vCPU's assist page at bits 63:12; a hypervisor that emulates the APIC makes use of its "No EOI required"."""
        number = cpu.index
        if value & tlfs.ENABLE:
            if number not in self._assist:
                try:
                    self._assist[number] = self.overlays.page()
                except OutOfMemory as error:
                    raise GuestFault(f"{self.guest.name}: #GP, VP assist page: {error}") from None
            self.overlays.show("VP assist page", self._assist[number], value & tlfs.PAGE_MASK)
            if not cpu.virtual_apic:
                cpu.apic.use(EoiAssist(self.guest.host.memory.bytes, self._assist[number]))
        elif number in self._assist:
            self.overlays.hide(self._assist[number])
            cpu.apic.use(None)
        self.assist_msrs[number] = value

    # Hypercalls: function(guest, cpu, control, input, output) -> status.

    def _input(self, control: int, gpa: int, size: int) -> tuple[int, bytes]:
        """(status, the input parameters): from registers if `gpa` holds them (fast), else from guest memory."""
        if not self.hypercall_msr & tlfs.ENABLE:
            raise GuestFault(f"{self.guest.name}: #UD, a hypercall before the hypercall page is enabled")
        if control & (tlfs.RESERVED_CONTROL | tlfs.SIZES_CONTROL):
            return tlfs.INVALID_INPUT, b""
        if control & tlfs.FAST:
            return (tlfs.SUCCESS, gpa.to_bytes(8, "little")) if size == 8 else (tlfs.INVALID_INPUT, b"")
        if gpa % 8 or gpa % PAGE + size > PAGE:
            return tlfs.INVALID_ALIGNMENT, b""
        try:
            return tlfs.SUCCESS, self.guest.memory.read(gpa, size)
        except TranslationFault:
            return tlfs.INVALID_ALIGNMENT, b""

    def _denied(self, guest: Partition, cpu: GuestCpu, control: int, gpa: int, _output: int) -> int:
        return tlfs.ACCESS_DENIED

    def _post_message(self, guest: Partition, cpu: GuestCpu, control: int, gpa: int, _output: int) -> int:
        """HvCallPostMessage, slow form: 256 bytes of input.  Success means "queued", not "processed"."""
        status, data = self._input(control, gpa, tlfs.POST_INPUT_BYTES)
        if status:
            return status
        connection, reserved, message_type, size, payload = tlfs.POST_INPUT.parse(data)
        if reserved or size > tlfs.MAX_PAYLOAD or not 0 < message_type < 1 << 31:
            return tlfs.INVALID_PARAMETER
        port = self.message_ports.get(connection)
        if port is None:
            return tlfs.INVALID_CONNECTION_ID
        if len(port.queue) >= PORT_BUFFERS:
            return tlfs.INSUFFICIENT_BUFFERS
        port.queue.append((cpu.now, connection, message_type, payload[:size]))
        self.posted += 1
        port.arrived(cpu.now)
        return tlfs.SUCCESS

    def _signal_event(self, guest: Partition, cpu: GuestCpu, control: int, gpa: int, _output: int) -> int:
        """HvCallSignalEvent: 8 bytes of input, in RDX (fast) or in memory."""
        if control == tlfs.FAST_SIGNAL_EVENT and gpa in self.event_ports and self.hypercall_msr & tlfs.ENABLE:
            self.signalled += 1   # what Linux does all the time, without the detours
            self.event_ports[gpa](cpu.now)
            return tlfs.SUCCESS
        status, data = self._input(control, gpa, tlfs.SIGNAL_INPUT.size)
        if status:
            return status
        connection, flag, reserved = tlfs.SIGNAL_INPUT.parse(data)
        port = self.event_ports.get(connection)
        if port is None:
            return tlfs.INVALID_CONNECTION_ID
        if flag or reserved:   # each of our ports has one flag
            return tlfs.INVALID_PARAMETER
        self.signalled += 1
        port(cpu.now)
        return tlfs.SUCCESS


def enable_enlightenments(guest: Guest, auto_eoi: bool | None = None, privileges: int = tlfs.PRIVILEGES) -> Enlightenments:
    """Give `guest` the interface; returns its `Enlightenments`, which is also `guest.enlightened`.

    ValueError if it has it already, or for privileges that nothing stands behind.
    """
    if guest.enlightened is not None:
        raise ValueError(f"guest {guest.name}: is enlightened already")
    guest.enlightened = Enlightenments(guest, auto_eoi, privileges)
    return guest.enlightened
