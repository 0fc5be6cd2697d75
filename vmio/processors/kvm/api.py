"""Numbers and structures of the KVM interface, as far as this package uses them.

Sources: Linux, Documentation/virt/kvm/api.rst (what each call does) and
include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h (the numbers).  An
ioctl number packs direction, size of the argument, a letter and a counter
(include/uapi/asm-generic/ioctl.h); spelled out here so that it can be checked.
"""

from ctypes import Structure, c_uint8, c_uint16, c_uint32, c_uint64, sizeof
from typing import Any

API_VERSION = 12              # "the API is stable": any other answer is refused
_KVMIO = 0xAE
_WRITE, _READ = 1, 2          # as user space sees it: the kernel reads what we write


def _io(number: int) -> int:
    return _KVMIO << 8 | number


def _iow(number: int, structure: Any) -> int:
    return _WRITE << 30 | sizeof(structure) << 16 | _io(number)


def _ior(number: int, structure: Any) -> int:
    return _READ << 30 | sizeof(structure) << 16 | _io(number)


class MemoryRegion(Structure):
    """struct kvm_userspace_memory_region: one memory slot.  A size of 0 removes it."""

    _fields_ = [("slot", c_uint32), ("flags", c_uint32), ("guest_address", c_uint64), ("size", c_uint64),
                ("host_address", c_uint64)]


class DirtyLog(Structure):
    """struct kvm_dirty_log: which pages of a slot were written; a bit each, the first page's the lowest, at address `bitmap`."""

    _fields_ = [("slot", c_uint32), ("pad", c_uint32), ("bitmap", c_uint64)]


class IoEventFd(Structure):
    """struct kvm_ioeventfd: a write to `addr` adds 1 to an eventfd, and no one else hears of it."""

    _fields_ = [("datamatch", c_uint64), ("addr", c_uint64), ("len", c_uint32), ("fd", c_uint32),
                ("flags", c_uint32), ("pad", c_uint8 * 36)]


class CoalescedZone(Structure):
    """struct kvm_coalesced_mmio_zone: writes here are put into a ring and not reported one by one."""

    _fields_ = [("addr", c_uint64), ("size", c_uint32), ("pio", c_uint32)]


class IrqFd(Structure):
    """struct kvm_irqfd: a write to the eventfd becomes an interrupt on line `gsi`."""

    _fields_ = [("fd", c_uint32), ("gsi", c_uint32), ("flags", c_uint32), ("resamplefd", c_uint32), ("pad", c_uint8 * 16)]


class MsiRoute(Structure):
    """struct kvm_irq_routing with one entry: line `gsi` sends this message (address and data as a device would write)."""

    _fields_ = [(name, c_uint32) for name in ("count", "flags", "gsi", "type", "entry_flags", "pad", "address_low",
                                              "address_high", "data")] + [("rest", c_uint32 * 5)]


class SignalMask(Structure):
    """struct kvm_signal_mask: the signals that are blocked while the guest runs, a bit each; `len` is the set's size in bytes."""

    _fields_ = [("len", c_uint32), ("sigset", c_uint8 * 8)]


class Capability(Structure):
    """struct kvm_enable_cap: turn a capability on."""

    _fields_ = [("cap", c_uint32), ("flags", c_uint32), ("args", c_uint64 * 4), ("pad", c_uint8 * 64)]


REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
             "r15", "rip", "rflags")


class Regs(Structure):
    """struct kvm_regs: the general registers."""

    _fields_ = [(name, c_uint64) for name in REGISTERS]


class Segment(Structure):
    """struct kvm_segment: a segment register with its hidden part."""

    _fields_ = [("base", c_uint64), ("limit", c_uint32), ("selector", c_uint16)] + [
        (name, c_uint8) for name in ("type", "present", "dpl", "db", "s", "l", "g", "avl", "unusable", "padding")]


class Table(Structure):
    """struct kvm_dtable: where a descriptor table lies."""

    _fields_ = [("base", c_uint64), ("limit", c_uint16), ("padding", c_uint16 * 3)]


class Sregs(Structure):
    """struct kvm_sregs: segments, control registers, EFER."""

    _fields_ = ([(name, Segment) for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")]
                + [("gdt", Table), ("idt", Table)]
                + [(name, c_uint64) for name in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")]
                + [("interrupt_bitmap", c_uint64 * 4)])


# System calls on /dev/kvm, on a VM, on a vCPU.
GET_API_VERSION = _io(0x00)
CREATE_VM = _io(0x01)
CHECK_EXTENSION = _io(0x03)
GET_VCPU_MMAP_SIZE = _io(0x04)
CREATE_VCPU = _io(0x41)
GET_DIRTY_LOG = _iow(0x42, DirtyLog)
SET_USER_MEMORY_REGION = _iow(0x46, MemoryRegion)
SET_TSS_ADDR = _io(0x47)
CREATE_IRQCHIP = _io(0x60)
SET_GSI_ROUTING = _WRITE << 30 | 8 << 16 | _io(0x6A)     # the size is that of the list's head, without entries
REGISTER_COALESCED_MMIO = _iow(0x67, CoalescedZone)
IRQFD = _iow(0x76, IrqFd)
IOEVENTFD = _iow(0x79, IoEventFd)
RUN = _io(0x80)
GET_REGS = _ior(0x81, Regs)
SET_REGS = _iow(0x82, Regs)
GET_SREGS = _ior(0x83, Sregs)
SET_SREGS = _iow(0x84, Sregs)
SET_SIGNAL_MASK = _WRITE << 30 | 4 << 16 | _io(0x8B)      # the size is that of `len`, without the set
ENABLE_CAP = _iow(0xA3, Capability)

NAMES = {number: "KVM_" + name for name, number in list(globals().items())
         if name.isupper() and isinstance(number, int) and number >> 8 & 0xFF == _KVMIO}

# Capabilities (KVM_CAP_...), asked for by CHECK_EXTENSION: 0 is no.
CAP_COALESCED_MMIO = 15       # the answer is the page of the ring within the vCPU's mapping
CAP_IRQFD = 32
CAP_IOEVENTFD = 36
CAP_READONLY_MEM = 81
CAP_SPLIT_IRQCHIP = 121
CAP_IMMEDIATE_EXIT = 136
CAP_COALESCED_PIO = 162

MEM_LOG_DIRTY_PAGES = 1 << 0  # flags of MemoryRegion
MEM_READONLY = 1 << 1
IOEVENTFD_DATAMATCH = 1 << 0  # flags of IoEventFd
IOEVENTFD_PIO = 1 << 1
ROUTE_MSI = 2                 # type of MsiRoute

COALESCED_HEAD = "<II"        # struct kvm_coalesced_mmio_ring: first to read, next to fill; then entries of
COALESCED_ENTRY = "<QII8s"    # address, length, port or memory, data

# struct kvm_run, mapped from the vCPU's file: why the guest stopped (exit_reason) ...
EXIT_IO, EXIT_HLT, EXIT_MMIO, EXIT_SHUTDOWN, EXIT_FAIL_ENTRY, EXIT_INTR, EXIT_INTERNAL_ERROR = 2, 5, 6, 8, 9, 10, 17
RUN_IMMEDIATE_EXIT = 1        # ... and byte offsets in it
RUN_EXIT_REASON = 8
RUN_DETAIL = 32
IO_DETAIL = "<BBHIQ"          # direction (1 is OUT), size, port, count, offset of the data
MMIO_DETAIL = "<Q8sIB"        # guest-physical address, data, length, is_write
