"""A guest (Hyper-V: child partition; KVM: VM): RAM behind a SLAT table, two buses, lines, vCPUs."""

from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.ram import GuestRam
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bus import Bus
from vmio.machine.clock import Clock
from vmio.machine.lines import Line
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, PageTable
from vmio.machine.space import AddressSpace

ISA_LINES = 16
STATUS_INVALID_HYPERCALL_CODE = 2  # TLFS, "Hypercall Status Codes"
TIME_REF_COUNT = 0x4000_0020       # HV_X64_MSR_TIME_REF_COUNT: 100 ns units since the guest was made
VP_INDEX = 0x4000_0002             # HV_X64_MSR_VP_INDEX


class Guest:
    """A guest of `host` with `ram_mib` MiB of RAM at guest-physical address 0.

    `io` and `mmio` are its buses, `lines` its 16 ISA interrupt lines, `memory`
    its RAM by guest-physical address; `cpu` is its first vCPU.  `direct` holds the
    register pages of devices that were given to it: accesses there don't exit.
    """

    def __init__(self, host, name, ram_mib, vcpus=1):
        if not 1 <= ram_mib <= 4096:
            raise ValueError(f"guest {name}: ram_mib {ram_mib}; 1 to 4,096 MiB")
        if not 1 <= vcpus <= 64:
            raise ValueError(f"guest {name}: vcpus {vcpus}; 1 to 64")
        self.host, self.name, self.ram = host, name, ram_mib << 20
        self.clock = Clock(host.env.now)
        self.io = Bus("I/O ports", 1 << 16)
        self.mmio = Bus("guest-physical memory", 1 << 48)
        self.direct = Bus("passed-through registers", 1 << 48)
        self.pins = {}                 # what holds the guest and its RAM in place -> why
        self.lines = [Line(f"IRQ{n}") for n in range(ISA_LINES)]
        self.backing = GuestRam(host.memory, self.ram)
        self.slat = PageTable(host.memory)
        self.backing.attach(self.slat)
        self.memory = AddressSpace(host.memory, self.slat)
        self.hypercalls = {}   # code -> function(guest, vcpu, control, input_gpa, output_gpa) -> status
        self.msrs = {TIME_REF_COUNT: (lambda cpu: cpu.now // 100, None),
                     VP_INDEX: (lambda cpu: cpu.index, None),
                     X2APIC_EOI: (None, self._end_of_interrupt)}
        self.cpuid_leaves = {}         # leaf -> (eax, ebx, ecx, edx): what is said instead of `cpuid`'s own answers
        self.enlightened = None        # vmbus.hypercalls.Enlightenments, for a guest that knows the hypervisor
        self.on_destroy = []           # function() of whoever holds host memory for this guest
        self.destroyed = False
        self.interrupt_controller = None
        self.vcpus = [VCpu(self, index) for index in range(vcpus)]

    @property
    def cpu(self):
        """The first vCPU."""
        return self.vcpus[0]

    def connect_interrupts(self, controller, line):
        """Make `controller` (its `acknowledge()` gives vectors) interrupt the first vCPU by `line`."""
        self.interrupt_controller = controller
        line.connect(self.cpu.interrupt_line)

    def cpuid(self, leaf, subleaf=0):
        """What CPUID says inside this guest.  Source: TLFS, "Feature and Interface Discovery"; SDM vol. 2, CPUID."""
        if leaf in self.cpuid_leaves:
            return self.cpuid_leaves[leaf]
        if leaf == 0x4000_0000:
            return (0x4000_0005, *_text_registers("Microsoft Hv"))
        if leaf == 0x4000_0001:
            return (int.from_bytes(b"Hv#1", "little"), 0, 0, 0)
        if leaf == 0:
            ebx, ecx, edx = _text_registers("GenuineIntel")
            return (1, ebx, edx, ecx)
        if leaf == 1:
            return (0, 0, 1 << 31 | 1 << 21, 0)  # ECX bit 31: a hypervisor is present; 21: x2APIC
        return (0, 0, 0, 0)

    def read_msr(self, msr, cpu):
        """RDMSR's answer, or `GuestFault` (#GP)."""
        read = self.msrs.get(msr, (None, None))[0]
        if read is None:
            raise GuestFault(f"{self.name}: #GP, RDMSR of {msr:#x}: no such MSR")
        return read(cpu)

    def write_msr(self, msr, value, cpu):
        """WRMSR's effect, or `GuestFault` (#GP)."""
        write = self.msrs.get(msr, (None, None))[1]
        if write is None:
            raise GuestFault(f"{self.name}: #GP, WRMSR of {msr:#x}: no such MSR, or read-only")
        write(cpu, value)

    def _end_of_interrupt(self, cpu, value):
        """EOI of the x2APIC: only 0 may be written (SDM vol. 3A, "x2APIC Register Address Space")."""
        if value:
            raise GuestFault(f"{self.name}: #GP, WRMSR of {X2APIC_EOI:#x}: {value:#x}; only 0 may be written")
        cpu.apic.eoi()

    def hypercall(self, control, input_gpa, output_gpa, cpu):
        """Run a hypercall by its code (control bits 15:0); unknown codes get a status, not a fault."""
        handler = self.hypercalls.get(control & 0xFFFF)
        if handler is None:
            return STATUS_INVALID_HYPERCALL_CODE
        return handler(self, cpu, control, input_gpa, output_gpa)

    def ram_spa(self, gpa):
        """Return where the host keeps the RAM of this guest-physical address (whatever lies over it in the SLAT table).

        ValueError where no RAM is: beyond its end, or where it was taken away.
        """
        spa = self.backing.spa(gpa) if gpa >= 0 else None
        if spa is None:
            raise ValueError(f"guest {self.name}: no RAM at {gpa:#x}, it ends at {self.ram:#x}"
                             + (" and was taken away there" if 0 <= gpa < self.ram else ""))
        return spa

    def take_ram(self, gpa, length):
        """Take RAM away while the guest runs; the host has the pages back, scrubbed.

        ValueError for a guest that can't lose memory now, for pages that the hypervisor
        has laid something over, and for what is not all there.
        """
        self.check_movable("memory taken away")
        if self.enlightened is not None:
            for page in range(gpa, gpa + length, PAGE):
                if self.enlightened.overlays.covers(page):
                    raise ValueError(f"guest {self.name}: RAM at {page:#x} lies under a page of the hypervisor's")
        self.backing.remove(gpa, length)

    def give_ram(self, gpa, length):
        """Give zeroed RAM where none is, up to the end that the guest was made with; ValueError, `OutOfMemory`."""
        self.backing.add(gpa, length)

    def check_movable(self, what):
        """ValueError if the guest can't be saved, moved, or lose memory (`what` says which) now."""
        for name, why in self.pins.items():
            raise ValueError(f"guest {self.name}: no {what} while {name} is assigned to it: {why}")

    def missing_ram(self):
        """The first guest-physical address of RAM that the SLAT table does not map, or None."""
        at = 0
        while at < self.ram:
            level, _, entry = self.slat.walk(at)[-1]
            if not entry & READ:
                return at
            at += 1 << 12 + 9 * level       # the whole leaf is there
        return None

    def destroy(self):
        """Give RAM and tables back to the host, scrubbed; no address of the guest leads to memory any more."""
        for release in self.on_destroy:
            release()
        self.slat.free()
        self.backing.free()
        self.destroyed = True


def _text_registers(text):
    """Twelve characters as three little-endian registers."""
    raw = text.encode()
    return tuple(int.from_bytes(raw[i:i + 4], "little") for i in (0, 4, 8))
