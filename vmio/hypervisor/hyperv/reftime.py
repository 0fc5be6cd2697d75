"""The reference time without an exit: the reference TSC page, the MSRs about frequencies and the invariant TSC.

    time in 100 ns = (RDTSC * scale >> 64) + offset

The page is the hypervisor's and lies over guest RAM, read-only.  Its sequence changes with scale and
offset, as when a guest is moved to a processor of another frequency; 0 would say that the page can't
be relied on, and that the guest must read TIME_REF_COUNT, which exits.

Source: TLFS, "Partition Reference Time Enlightenment"; OpenVMM vm/hv1/hv1_emulator/src/hv.rs; Linux
arch/x86/kvm/hyperv.c (HV_X64_MSR_TSC_INVARIANT_CONTROL), include/hyperv/hvgdk_mini.h.
"""

from vmio.hypervisor.apic import APIC_HZ
from vmio.hypervisor.contracts import GuestCpu, Msr, OverlayPages
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.guest import TSC_HZ, Guest
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.memory import OutOfMemory
from vmio.machine.pagetable import READ

SCALE = (10_000_000 << 64) // TSC_HZ
EXPOSE_INVARIANT = 1             # bit 0 of TSC_INVARIANT_CONTROL
INVARIANT_LEAF, INVARIANT = 0x8000_0007, 1 << 8   # CPUID, EDX


class ReferenceTime:
    """The state behind them, the same for all vCPUs.  `page` is where the host has the page, from its first use on."""

    def __init__(self, guest: Guest, overlays: OverlayPages) -> None:
        self.guest, self._overlays = guest, overlays
        self.page: int | None = None
        self.sequence = 0
        self.page_msr = self.invariant = 0

    def reset(self) -> None:
        """Be as after power-on: no page, and whether the TSC is invariant is not shown."""
        if self.page is not None:
            self._overlays.hide(self.page)
        self.page_msr = self.invariant = 0
        if INVARIANT_LEAF in self.guest.cpuid_leaves:
            self.guest.cpuid_leaves[INVARIANT_LEAF] = (0, 0, 0, 0)

    def write_page(self, cpu: GuestCpu, value: int) -> None:
        """REFERENCE_TSC: bit 0 shows the page at bits 63:12; bits 11:1 are kept."""
        if value & tlfs.ENABLE:
            if self.page is None:
                try:
                    self.page = self._overlays.page()
                except OutOfMemory as error:
                    raise GuestFault(f"{self.guest.name}: #GP, reference TSC page: {error}") from None
            if not self.page_msr & tlfs.ENABLE or (value ^ self.page_msr) & tlfs.PAGE_MASK:
                self._overlays.show("reference TSC page", self.page, value & tlfs.PAGE_MASK, READ)
                self._fill(self.page)
        elif self.page is not None:
            self._overlays.hide(self.page)
        self.page_msr = value

    def _fill(self, page: int) -> None:
        """Scale and offset with a new sequence: never 0, never the one before."""
        self.sequence = self.sequence % 0xFFFF_FFFF + 1
        data = tlfs.TSC_PAGE.pack(sequence=self.sequence, scale=SCALE)
        self.guest.host.memory.write(page, data)

    def write_invariant(self, cpu: GuestCpu, value: int) -> None:
        """TSC_INVARIANT_CONTROL: bit 0, once, makes CPUID say that the TSC is invariant; #GP for others, and to take it back."""
        if value & ~EXPOSE_INVARIANT or self.invariant and not value:
            raise GuestFault(f"{self.guest.name}: #GP, TSC_INVARIANT_CONTROL: {value:#x}; bit 0, which stays, or 0 before")
        self.invariant = value
        self.guest.cpuid_leaves[INVARIANT_LEAF] = (0, 0, 0, INVARIANT if value else 0)

    def msrs(self) -> dict[int, dict[int, Msr]]:
        """Return {privilege: {MSR: (read(cpu), write(cpu, value))}}."""
        return {tlfs.REFERENCE_TSC_BIT: {tlfs.REFERENCE_TSC: (lambda cpu: self.page_msr, self.write_page)},
                tlfs.FREQUENCIES_BIT: {tlfs.TSC_FREQUENCY: (lambda cpu: TSC_HZ, None),
                                       tlfs.APIC_FREQUENCY: (lambda cpu: APIC_HZ, None)},
                tlfs.TSC_INVARIANT_BIT: {tlfs.TSC_INVARIANT_CONTROL: (lambda cpu: self.invariant, self.write_invariant)}}
