"""String I/O: REP INS and REP OUTS, one exit for many units.

The exit's qualification says "string" and RCX the count (SDM vol. 3C, "Exit
Qualification for I/O Instructions"), so the hypervisor can move the whole block
before it lets the guest go on; a longer one takes an exit for each `MAX_UNITS` units.
With RCX 0 the instruction does nothing at all (SDM vol. 2, "REP").  A device with
a data port offers its buffer as a block (`read_block`, `write_block`); others are
asked unit by unit.
"""

from collections.abc import Callable, Iterator

from vmio.hypervisor.contracts import GuestCpu, Result
from vmio.machine.contracts import Buffer
from vmio.hypervisor.direct import check_range
from vmio.hypervisor.exits import ExitReason, Intercept
from vmio.hypervisor.register_io import check_port
from vmio.machine.bus import BadAccess, all_ones

MAX_UNITS = 0x10000  # units in one exit


def ins(cpu: GuestCpu, port: int, gpa: int, count: int, size: int) -> None:
    """Move `count` units of `size` bytes from `port` to guest memory at `gpa`."""
    for at, units in _turns(cpu, "REP INS", port, gpa, count, size):
        row = _exit(cpu, port, size, False, units)
        offset = port - row.base
        block = getattr(row.region.device, "read_block", None) if offset == 0 else None
        wanted, data = units * size, b""
        while len(data) < wanted:
            part = block(size, (wanted - len(data)) // size) if block else b""
            if not part:
                part = _one(row, offset, size).to_bytes(size, "little")
            data = data + part if data else part
        _by_host(cpu, cpu.write, at, data)
        if cpu.attention:
            cpu.attend()


def outs(cpu: GuestCpu, port: int, gpa: int, count: int, size: int) -> None:
    """Move `count` units of `size` bytes from guest memory at `gpa` to `port`."""
    for at, units in _turns(cpu, "REP OUTS", port, gpa, count, size):
        data = _by_host(cpu, cpu.read, at, units * size)
        row = _exit(cpu, port, size, True, units)
        offset = port - row.base
        block = getattr(row.region.device, "write_block", None) if offset == 0 else None
        done = 0
        while done < len(data):
            taken = block(size, data[done:]) if block else 0
            if not taken:
                taken = size
                _one(row, offset, size, int.from_bytes(data[done:done + size], "little"))
            done += taken
        if cpu.attention:
            cpu.attend()


def string_read(size: int) -> Callable[[GuestCpu, int, int, int], None]:
    """Return the vCPU's REP INS for units of 1, 2 or 4 bytes, a method."""
    def read(self: GuestCpu, port: int, gpa: int, count: int) -> None:
        ins(self, port, gpa, count, size)
    read.__doc__ = f"REP INS: `count` units of {size} byte(s) from a port to guest memory at `gpa`.  One exit for all."
    return read


def string_write(size: int) -> Callable[[GuestCpu, int, int, int], None]:
    """Return the vCPU's REP OUTS for units of 1, 2 or 4 bytes, a method."""
    def write(self: GuestCpu, port: int, gpa: int, count: int) -> None:
        outs(self, port, gpa, count, size)
    write.__doc__ = f"REP OUTS: `count` units of {size} byte(s) from guest memory at `gpa` to a port.  One exit for all."
    return write


def _by_host(cpu: GuestCpu, access: Callable[..., Result], *arguments: int | Buffer) -> Result:
    """Do a vCPU's `access` to memory as the hypervisor that moves the block: to the guest its pages stay untouched."""
    memory, cpu.memory = cpu.memory, cpu.guest.memory
    try:
        return access(*arguments)
    finally:
        cpu.memory = memory


def _one(row: Intercept, offset: int, size: int, value: int | None = None) -> int:
    """One unit through the device, as a register access: read, or write `value`."""
    try:
        if value is None:
            return row.read(offset, size)
        row.write(offset, size, value)
        return 0
    except BadAccess:
        row.region.bad += 1
        return all_ones(size)


def _turns(cpu: GuestCpu, what: str, port: int, gpa: int, count: int, size: int) -> Iterator[tuple[int, int]]:
    """(address, units) of each exit.  `GuestFault`, before the first, for what leads too far out of memory."""
    check_port(port)
    if not 0 <= count < 1 << 64:
        raise ValueError(f"{what} at port {port:#x}: count {count}; RCX is 0 to 2^64 - 1")
    if count:
        check_range(cpu, what, gpa, count * size)
    for done in range(0, count, MAX_UNITS):
        yield gpa + done * size, min(MAX_UNITS, count - done)


def _exit(cpu: GuestCpu, port: int, size: int, is_write: bool, count: int) -> Intercept:
    row = cpu.table.register(ExitReason.IO_INSTRUCTION, port, size, is_write, string=True)
    extra = cpu.costs.copy_ns(count * size)
    cpu.table.record(row, 0, count, row.cost + extra, address=port)
    cpu.charge(row, extra, count)
    return row
