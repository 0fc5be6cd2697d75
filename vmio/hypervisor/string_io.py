"""String I/O: REP INS and REP OUTS, one exit for many units.

The exit's qualification says "string" and RCX the count (SDM vol. 3C, "Exit
Qualification for I/O Instructions"), so the hypervisor can move the whole block
before it lets the guest go on; a longer one takes an exit for each `MOST` units.
With RCX 0 the instruction does nothing at all (SDM vol. 2, "REP").  A device with
a data port offers its buffer as a block (`read_block`, `write_block`); others are
asked unit by unit.
"""

from vmio.hypervisor.direct import check_range
from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.register_io import check_port
from vmio.machine.bus import BadAccess, all_ones

MOST = 0x10000  # units in one exit


def ins(cpu, port, gpa, count, size):
    """`count` units of `size` bytes from `port` to guest memory at `gpa`."""
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
        cpu.write(at, data)
        if cpu.attention:
            cpu.attend()


def outs(cpu, port, gpa, count, size):
    """`count` units of `size` bytes from guest memory at `gpa` to `port`."""
    for at, units in _turns(cpu, "REP OUTS", port, gpa, count, size):
        data = cpu.read(at, units * size)
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


def _one(row, offset, size, value=None):
    """One unit through the device, as a register access: read, or write `value`."""
    try:
        return row.read(offset, size) if value is None else row.write(offset, size, value)
    except BadAccess:
        row.region.bad += 1
        return all_ones(size)


def _turns(cpu, what, port, gpa, count, size):
    """(address, units) of each exit.  `GuestFault`, before the first, for what leads too far out of memory."""
    check_port(port)
    if not 0 <= count < 1 << 64:
        raise ValueError(f"{what} at port {port:#x}: count {count}; RCX is 0 to 2^64 - 1")
    if count:
        check_range(cpu, what, gpa, count * size)
    for done in range(0, count, MOST):
        yield gpa + done * size, min(MOST, count - done)


def _exit(cpu, port, size, is_write, count):
    row = cpu.table.register(ExitReason.IO_INSTRUCTION, port, size, is_write, string=True)
    extra = cpu.costs.copy_ns(count * size)
    cpu.table.record(row, 0, count, row.cost + extra, address=port)
    cpu.charge(row, extra, count)
    return row
