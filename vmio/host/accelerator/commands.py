"""A guest's commands become the device's: each is looked at, and where it names memory, the host puts in physical addresses.

What comes in is a copy that nobody else can change.  What goes out reaches the guest's own named pages and the on-chip memory,
and nothing else: a jump, with which a job need never end, is not let through.
"""

from vmio.hardware.accelerator import job as work
from vmio.hardware.accelerator.job import Refused
from vmio.hardware.accelerator.registers import DESCRIPTOR, INTERRUPT, Op
from vmio.machine.window import Window
from vmio.vmbus.accelerator.vsp import Refusal


def checked(commands: bytes, memory: dict[int, Window]) -> list[bytes]:
    """Return the device's descriptors for a guest's commands; `Refusal` for the first that is not let through."""
    found: list[bytes] = []
    for at in range(len(commands) // DESCRIPTOR.size):
        job = DESCRIPTOR.parse(commands, at * DESCRIPTOR.size)
        try:
            work.check(job)
        except Refused as refused:
            raise Refusal(at, refused.error.name) from None
        if job.op == Op.JUMP:
            raise Refusal(at, "a jump")
        job = job._replace(flags=job.flags & ~INTERRUPT)       # the host says when it wants to hear of it
        if job.op in (Op.LOAD, Op.STORE):
            field, place = ("output", job.output) if job.op == Op.LOAD else ("input", job.input)
            for spa, length in runs(at, job.address, job.rows * job.cols, memory):
                found.append(DESCRIPTOR.pack(op=job.op, rows=1, cols=length, address=spa, **{field: place}))
                place += length
        else:
            found.append(DESCRIPTOR.struct.pack(*job))
    return found


def runs(at: int, place: int, length: int, memory: dict[int, Window]) -> list[tuple[int, int]]:
    """Return the (SPA, bytes) in which the named memory lies; `Refusal` where the guest has named none."""
    handle, offset = place >> 32, place & 0xFFFF_FFFF
    window = memory.get(handle)
    if window is None or offset + length > window.size:
        raise Refusal(at, f"{length} bytes at {offset:#x} of memory {handle:#x}")
    found: list[tuple[int, int]] = []
    for spa, some in window.runs(offset, length):
        if found and found[-1][0] + found[-1][1] == spa and found[-1][1] + some < 1 << 16:
            found[-1] = found[-1][0], found[-1][1] + some
        else:
            found.append((spa, some))
    return found
