"""Accesses that the host's kernel answers itself: doorbells and coalesced writes.

The processor still leaves the guest, but user space isn't woken: a seventh of
the cost in data/kvm-recorded.json, and no `Exit` to count.  Both only suit writes whose moment
or whose value doesn't matter at once - which is what a doorbell is made for.
"""

import os
import struct
from typing import NamedTuple

from vmio.processors.kvm import api
from vmio.processors.kvm.vcpu import Vcpu
from vmio.processors.kvm.vm import Vm, call


class Doorbell:
    """ioeventfd (KVM_IOEVENTFD): guest writes of `size` bytes at `address` are counted, and that is all.

    With `value` only writes of that value ring; others exit as usual.  `port`
    says that the address is a port.  The VM closes it.
    """

    def __init__(self, vm: Vm, address: int, size: int = 4, port: bool = False, value: int | None = None) -> None:
        self.fd = vm.own_fd(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        flags = (api.IOEVENTFD_PIO if port else 0) | (0 if value is None else api.IOEVENTFD_DATAMATCH)
        call(vm.fd, api.IOEVENTFD, api.IoEventFd(datamatch=value or 0, addr=address, len=size, fd=self.fd, flags=flags))

    def rings(self) -> int:
        """Return how often it rang since the last call.  A worker would sleep in poll() until then."""
        try:
            return os.eventfd_read(self.fd)
        except BlockingIOError:
            return 0


class Write(NamedTuple):
    """A write that waited in the ring."""

    address: int
    size: int
    value: int
    port: bool


class Coalesced:
    """Writes put off (KVM_REGISTER_COALESCED_MMIO): they wait in a ring, in order, until the next real exit.

    Ports need KVM_CAP_COALESCED_PIO, which is younger: OSError where the host lacks it.  A full ring makes the write after it a real exit, so `drain()` before an
    exit is answered: what it returns happened earlier.
    """

    def __init__(self, vcpu: Vcpu, vm: Vm) -> None:
        self.vm, self.area = vm, vcpu.area
        page = os.sysconf("SC_PAGE_SIZE")
        self.start = vm.capability(api.CAP_COALESCED_MMIO) * page
        if not self.start:
            raise OSError("KVM_CAP_COALESCED_MMIO: this host has none")
        self.entries = self.start + struct.calcsize(api.COALESCED_HEAD)
        self.length = (page - struct.calcsize(api.COALESCED_HEAD)) // struct.calcsize(api.COALESCED_ENTRY)

    def add(self, address: int, size: int, port: bool = False) -> None:
        """Put off writes to these `size` bytes of memory, or ports."""
        if port and not self.vm.capability(api.CAP_COALESCED_PIO):
            raise OSError("KVM_CAP_COALESCED_PIO: this host has none")
        call(self.vm.fd, api.REGISTER_COALESCED_MMIO, api.CoalescedZone(address, size, int(port)))

    def drain(self) -> list[Write]:
        """Return the writes that wait, oldest first; the ring is empty afterwards."""
        first, last = struct.unpack_from(api.COALESCED_HEAD, self.area, self.start)
        writes = []
        while first != last:
            place = self.entries + first * struct.calcsize(api.COALESCED_ENTRY)
            address, size, port, data = struct.unpack_from(api.COALESCED_ENTRY, self.area, place)
            writes.append(Write(address, size, int.from_bytes(data[:size], "little"), bool(port)))
            first = (first + 1) % self.length
        struct.pack_into("<I", self.area, self.start, first)
        return writes
