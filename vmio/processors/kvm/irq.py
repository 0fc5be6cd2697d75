"""irqfd: the host writes to an eventfd, and the guest's handler runs.  No exit, and no part of the run loop.

An eventfd is tied to an interrupt line, the line to a message (MSI), the
message to a vector of the guest's local APIC, which KVM keeps in the kernel.  A
device model in another thread or process needs nothing but the eventfd; with
a doorbell (fast.py) for the other direction the vCPU never waits for it.

The handler runs in ring 3 like all of this guest.  IRET there doesn't give IF
back (Intel SDM vol. 2A, IRET: IF changes only if CPL <= IOPL), so the gate must
be a trap gate, which leaves IF set; the local APIC holds the same vector back
until EOI.  A message is an edge.  A level-triggered line (KVM_IRQ_LINE) that
nobody lowers would enter the handler again after each EOI, until the stack is used up.

Sources: api.rst, 4.75 KVM_IRQFD, 4.52 KVM_SET_GSI_ROUTING; Intel SDM vol. 3A,
6.14.1 (64-bit gates), 10.4 (local APIC), 10.11 (message signalled interrupts).
"""

import os
import struct
from typing import Any

from vmio.processors.kvm import api, longmode
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.vm import KvmError, Vm, call

LOCAL_APIC = 0xFEE0_0000             # its registers, and the address of messages to APIC 0
_EOI, _SPURIOUS, _ENABLED = 0x0B0, 0x0F0, 0x100
_LINES = 24                          # lines that a split controller keeps for messages
_TRAP_GATE = 0x8F                    # present, type 15


def add_controller(vm: Vm) -> None:
    """Give `vm` a local APIC in the kernel, before its vCPU is made.  KvmError where the host has neither kind.

    First with the PIC and the I/O APIC beside it; if the host refuses those, the local APIC alone ("split").
    """
    try:
        call(vm.fd, api.CREATE_IRQCHIP)
    except KvmError:
        split = api.Capability(cap=api.CAP_SPLIT_IRQCHIP)
        split.args[0] = _LINES
        call(vm.fd, api.ENABLE_CAP, split)


class Interrupt:
    """An eventfd that interrupts `guest` with `vector`.  Its handler adds 1 to the 64 bits at `counter`.

    One of them for a guest (a later one takes its place); the VM closes it.
    OSError where the host has no irqfd.
    """

    def __init__(self, guest: Any, vector: int, counter: int, line: int = 0) -> None:
        if not 0x20 <= vector <= 0xFF:
            raise ValueError(f"vector {vector:#x}: the processor keeps those below 20h for itself, and 0FFh is the last")
        vm = guest.vm
        if not vm.capability(api.CAP_IRQFD):
            raise OSError("KVM_CAP_IRQFD: this host has none")
        self.ram, self.counter = guest.ram, counter
        self.fd = vm.own_fd(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        call(vm.fd, api.SET_GSI_ROUTING,
             api.MsiRoute(count=1, gsi=line, type=api.ROUTE_MSI, address_low=LOCAL_APIC, data=vector))
        call(vm.fd, api.IRQFD, api.IrqFd(fd=self.fd, gsi=line))
        self.ram.write(longmode.IDT + 16 * vector, gate(longmode.HANDLER))
        self.ram.write(longmode.HANDLER, handler(counter))

    def signal(self) -> None:
        """Interrupt the guest, now if it runs.  Signals that it hasn't taken yet become one, as with real MSIs."""
        os.eventfd_write(self.fd, 1)

    def taken(self) -> int:
        """Return how often the handler has run, as it says itself."""
        return int.from_bytes(self.ram.read(self.counter, 8), "little")


def enable(code: Code) -> Code:
    """Append what turns the local APIC on (a reset turns it off).  No exit: KVM answers in the kernel."""
    return code.store(LOCAL_APIC + _SPURIOUS, _ENABLED | 0xFF)


def gate(address: int) -> bytes:
    """Return a trap gate of 16 bytes to `address` in user code."""
    return struct.pack("<HHBBHII", address & 0xFFFF, longmode.USER_CODE, 0, _TRAP_GATE, address >> 16 & 0xFFFF,
                       address >> 32, 0)


def handler(counter: int) -> bytes:
    """PUSH RDI; INC QWORD [counter]; MOV DWORD [EOI], 0; POP RDI; IRETQ.  Flags come back with IRETQ."""
    return (b"\x57" + b"\x48\xbf" + counter.to_bytes(8, "little") + b"\x48\xff\x07"
            + b"\x48\xbf" + (LOCAL_APIC + _EOI).to_bytes(8, "little") + b"\xc7\x07\0\0\0\0" + b"\x5f\x48\xcf")
