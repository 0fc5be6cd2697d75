"""What a split disk's queue deals with: commands in its ring, units that they are for, vCPUs that it carries them for."""

from collections import deque
from typing import NamedTuple, Protocol

from vmio.drivers.contracts import DiskRequest, Reaped
from vmio.drivers.scsi_probe import Identity
from vmio.hypervisor.vcpu import VCpu

class Part(NamedTuple):
    """What goes into the ring at once: a command to the unit at `lun`, whose data are `length` bytes at `gpa`.

    `unmapped` (LBA, sectors) is what an UNMAP's list shall hold; `expected` bytes shall move, None for as many as there are.
    """

    request: DiskRequest
    lun: int
    cdb: bytes
    direction: int
    length: int
    gpa: int
    expected: int | None
    unmapped: tuple[int, int] = (0, 0)


class Sharer(Protocol):
    """A vCPU that has its requests carried by another's channel: `storvsc_shared.SharedQueue`."""

    cpu: VCpu
    finished: deque[Reaped]
    asleep: bool


class Addressed(Protocol):
    """One of the controller's disks, for its requests: a `StorQueue`, or one behind its channel (`storvsc_unit.Unit`)."""

    lun: int
    identity: Identity
