"""IN and OUT: the vCPU's register instructions, by the rows of its `InterceptTable`.

The two are written out, not shared: this is the path of every access to a register, and a
function between them would cost each a call.
"""

from collections.abc import Callable
from typing import Protocol

from vmio.hypervisor.contracts import GuestCpu
from vmio.hypervisor.exits import OTHER, Exit, ExitReason, Intercept
from vmio.hypervisor.handle import handle_exit
from vmio.machine.bus import BadAccess, all_ones


class VCpuRows(GuestCpu, Protocol):
    """A vCPU that has its rows of IN and OUT at hand."""

    _ins: dict[int, Intercept]
    _outs: dict[int, Intercept]

    def pass_time(self, now: int) -> None:
        """Move to `now`."""


def check_port(port: int) -> int:
    """Return the port, if it is one; ValueError otherwise."""
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"port {port:#x}: I/O ports are 0 to 0xffff")
    return port


def register_read(size: int) -> Callable[[VCpuRows, int], int]:
    """Return the vCPU's IN for 1, 2 or 4 bytes, a method."""
    kind = size << 16

    def read(self: VCpuRows, port: int) -> int:
        try:
            row = self._ins[port + kind]
        except KeyError:
            row = self.table.register(ExitReason.IO_INSTRUCTION, check_port(port), size, False)
            if row.address == OTHER:
                return handle_exit(self, Exit(self.now, self.guest.name, self.index, ExitReason.IO_INSTRUCTION,
                                              port, size, 0, False))
        now = self.now = self.now + row.cost
        row.count += 1
        if now < self.clock.due:
            self.clock.now = now
        else:
            self.pass_time(now)
        try:
            value = row.read(row.offset, size)
        except BadAccess:
            row.region.bad += 1
            value = all_ones(size)
        if self.attention:
            self.attend()
        return value
    read.__doc__ = f"IN: {size} byte(s) from an I/O port (0 to FFFFh).  One exit."
    return read


def register_write(size: int) -> Callable[[VCpuRows, int, int], None]:
    """Return the vCPU's OUT for 1, 2 or 4 bytes, a method."""
    bits, kind = 8 * size, size << 16

    def write(self: VCpuRows, port: int, value: int) -> None:
        if value >> bits:
            raise ValueError(f"OUT to port {port:#x}: value {value}; 0 to {all_ones(size)} fits in {size} byte(s)")
        try:
            row = self._outs[port + kind]
        except KeyError:
            row = self.table.register(ExitReason.IO_INSTRUCTION, check_port(port), size, True)
            if row.address == OTHER:
                handle_exit(self, Exit(self.now, self.guest.name, self.index, ExitReason.IO_INSTRUCTION,
                                       port, size, value, True))
                return
        now = self.now = self.now + row.cost
        row.count += 1
        if now < self.clock.due:
            self.clock.now = now
        else:
            self.pass_time(now)
        try:
            row.write(row.offset, size, value)
        except BadAccess:
            row.region.bad += 1
        if self.attention:
            self.attend()
    write.__doc__ = f"OUT: {size} byte(s) to an I/O port (0 to FFFFh).  One exit."
    return write

