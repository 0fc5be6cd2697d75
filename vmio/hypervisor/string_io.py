"""String I/O: REP INS and REP OUTS, one exit for many units.

The exit's qualification says "string" and RCX the count (SDM vol. 3C, "Exit
Qualification for I/O Instructions"), so the hypervisor can move the whole block
before it lets the guest go on.  A device with a data port offers its buffer as a
block (`read_block`, `write_block`); others are asked unit by unit.
"""

from vmio.hypervisor.exits import ExitReason
from vmio.machine.bus import BadAccess, all_ones

MOST = 0x10000  # units in one instruction here


def ins(cpu, port, gpa, count, size):
    """`count` units of `size` bytes from `port` to guest memory at `gpa`."""
    row = _exit(cpu, port, size, False, count)
    block = getattr(row.region.device, "read_block", None) if row.offset == 0 else None
    wanted, data = count * size, b""
    while len(data) < wanted:
        part = block(size, (wanted - len(data)) // size) if block else b""
        if not part:
            part = _one(row, size).to_bytes(size, "little")
        data = data + part if data else part
    cpu.write(gpa, data)
    if cpu.attention:
        cpu.attend()


def outs(cpu, port, gpa, count, size):
    """`count` units of `size` bytes from guest memory at `gpa` to `port`."""
    _check(port, count)
    data = cpu.read(gpa, count * size)
    row = _exit(cpu, port, size, True, count)
    block = getattr(row.region.device, "write_block", None) if row.offset == 0 else None
    at = 0
    while at < len(data):
        taken = block(size, data[at:]) if block else 0
        if not taken:
            taken = size
            _one(row, size, int.from_bytes(data[at:at + size], "little"))
        at += taken
    if cpu.attention:
        cpu.attend()


def _one(row, size, value=None):
    """One unit through the device, as a register access: read, or write `value`."""
    try:
        return row.read(row.offset, size) if value is None else row.write(row.offset, size, value)
    except BadAccess:
        row.region.bad += 1
        return all_ones(size)


def _check(port, count):
    if not 0 < count <= MOST:
        raise ValueError(f"string I/O at port {port:#x}: count {count}; 1 to {MOST} units an instruction")


def _exit(cpu, port, size, is_write, count):
    _check(port, count)
    row = cpu.table.register(ExitReason.IO_INSTRUCTION, port, size, is_write, string=True)
    extra = cpu.costs.copy_ns(count * size)
    cpu.table.record(row, 0, count, row.cost + extra)
    cpu.charge(row, extra, count)
    return row
