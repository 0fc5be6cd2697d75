"""A virtual machine under KVM: a file, memory slots, and the calls on both.

A slot is a range of guest-physical addresses with host memory behind it.
Accesses within a slot are the processor's own business and never seen again;
everything outside the slots is device space and ends in an exit.  That is
the whole of direct access and of isolation: what is mapped, and what isn't.
"""

import ctypes
import fcntl
import mmap
import os
from contextlib import ExitStack
from typing import Any, Self

from vmio.machine.contracts import Buffer
from vmio.processors.kvm import api
from vmio.processors.kvm.device import device as kvm_device

# Three pages that KVM on Intel wants for itself, out of the guest's way.  Below
# 2 GiB because fcntl.ioctl takes a signed 32-bit number.
_TSS_ADDRESS = 0x7FF0_0000


class KvmError(OSError):
    """A KVM call failed; `call` is its name in api.rst."""

    def __init__(self, call: str, error: OSError) -> None:
        super().__init__(error.errno, f"{call}: {error.strerror}")
        self.call = call


def call(fd: int, number: int, argument: Any = 0) -> int:
    """Do an `ioctl` on a KVM file, and return the answer as a number.  KvmError names the call that failed.

    `argument` is a small number or a ctypes structure, which the kernel may
    change in place.  (bytes would do only up to 1,024: fcntl copies them.)
    """
    try:
        return fcntl.ioctl(fd, number, argument)
    except OSError as error:
        raise KvmError(api.NAMES[number], error) from error


class Slot:
    """Guest-physical addresses [address, address + size) with memory behind them."""

    def __init__(self, number: int, address: int, size: int, readonly: bool, memory: mmap.mmap | None = None,
                 start: int = 0) -> None:
        self.number, self.address, self.size, self.readonly = number, address, size, readonly
        self.memory, self.start = memory or mmap.mmap(-1, size), start

    def write(self, address: int, data: Buffer) -> None:
        """Store what the host itself writes at a guest-physical address: no slot is read-only for the host."""
        start = self._offset(address, len(data))
        self.memory[start:start + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at a guest-physical address."""
        start = self._offset(address, size)
        return self.memory[start:start + size]

    def _offset(self, address: int, size: int) -> int:
        if not self.address <= address <= address + size <= self.address + self.size:
            raise ValueError(f"{size} bytes at {address:#x} are not within the slot at {self.address:#x}")
        return self.start + address - self.address


class Vm:
    """A virtual machine; `with Vm() as vm` closes every file and mapping, the vCPUs' too."""

    def __init__(self, device: str | None = None) -> None:
        self.slots: list[Slot] = []
        self.resources = ExitStack()      # closed in reverse order: vCPUs, memory, VM, /dev/kvm
        try:
            self.kvm = self.own_fd(os.open(device or kvm_device(), os.O_RDWR | os.O_CLOEXEC))
            version = call(self.kvm, api.GET_API_VERSION)
            if version != api.API_VERSION:
                raise OSError(f"KVM_GET_API_VERSION: {version}, this package speaks {api.API_VERSION}")
            self.fd = self.own_fd(call(self.kvm, api.CREATE_VM))
            call(self.fd, api.SET_TSS_ADDR, _TSS_ADDRESS)
        except BaseException:
            self.close()
            raise

    def own_fd(self, fd: int) -> int:
        """Close `fd` with the VM."""
        self.resources.callback(os.close, fd)
        return fd

    def capability(self, number: int) -> int:
        """Return what CHECK_EXTENSION says: 0 is no."""
        return call(self.fd, api.CHECK_EXTENSION, number)

    def add_slot(self, address: int, size: int, readonly: bool = False, memory: mmap.mmap | None = None, start: int = 0,
                 logged: bool = False) -> Slot:
        """Back guest-physical addresses by new zeroed memory, or by `memory` (an mmap) from `start` on: a `Slot`.

        `address`, `size` and `start` are multiples of 4,096.  Guest writes to a
        read-only slot change nothing and exit as if no memory were there
        (KVM_MEM_READONLY).  Of a `logged` slot `dirty_pages` tells which pages the guest has written.  KvmError for overlapping slots.
        """
        if address % mmap.PAGESIZE or size % mmap.PAGESIZE or start % mmap.PAGESIZE or size <= 0:
            raise ValueError(f"a slot is whole pages of {mmap.PAGESIZE} bytes, not {size:#x} at {address:#x}")
        slot = Slot(len(self.slots), address, size, readonly, memory, start)
        if memory is None:
            self.resources.callback(slot.memory.close)
        # The address is taken and the view dropped at once: a view left over would forbid close().
        host = ctypes.addressof(ctypes.c_char.from_buffer(slot.memory, start))
        flags = api.MEM_READONLY * readonly | api.MEM_LOG_DIRTY_PAGES * logged
        call(self.fd, api.SET_USER_MEMORY_REGION, api.MemoryRegion(slot.number, flags, address, size, host))
        self.slots.append(slot)
        return slot

    def dirty_pages(self, slot: Slot) -> list[int]:
        """Return the numbers of a logged slot's pages that the guest has written since this was asked last (KVM_GET_DIRTY_LOG).

        KvmError for a slot without a log.
        """
        bits = (ctypes.c_uint64 * -(-slot.size // (64 * mmap.PAGESIZE)))()
        call(self.fd, api.GET_DIRTY_LOG, api.DirtyLog(slot.number, 0, ctypes.addressof(bits)))
        return [64 * at + bit for at, word in enumerate(bits) if word for bit in range(64) if word >> bit & 1]

    def remove_slot(self, slot: Slot) -> None:
        """Take the memory away: from now on the guest's accesses there exit."""
        call(self.fd, api.SET_USER_MEMORY_REGION, api.MemoryRegion(slot.number, 0, slot.address, 0, 0))

    def close(self) -> None:
        """Give everything back.  May be called twice."""
        self.resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
