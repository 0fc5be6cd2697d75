"""What a read costs on a disk with checkpoints: a guest writes, its host keeps the disk again and again, then the guest reads it all.

Each checkpoint is a layer more to ask for what lies under it.  What is counted is who was asked; no price is put on it, as none is
published: in memory it is a look into a table, in a file of Hyper-V's the block's entry in its allocation table, and a sector bitmap.
"""

from collections.abc import Sequence
from typing import NamedTuple

from vmio.drivers.contracts import DiskDriver
from vmio.experiments.pattern import pattern
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.chain import LayeredDisk
from vmio.modes import Machine, attachment
from vmio.table import table

PARTS, BLOCK = 16, 8        # the guest's blocks, and the sectors of each


class Reads(NamedTuple):
    """`reads` of a disk with so many `checkpoints`; `asked` says how many of them asked each layer, the top first, and the image."""

    checkpoints: int
    reads: int
    asked: dict[str, int]

    @property
    def look_ups(self) -> float:
        """Look-ups of a read, on average."""
        return sum(self.asked.values()) / self.reads


def run(checkpoints: int) -> Reads:
    """Return what the reads of a guest asked that has written block n before checkpoint n; ValueError unless 0 to 15 are wanted."""
    if not 0 <= checkpoints < PARTS:
        raise ValueError(f"checkpoints {checkpoints}: 0 to {PARTS - 1}")
    disk, machine = LayeredDisk(pattern(1)), Machine()
    guest = machine.guest("guest", attachment("disk", "split"), disk)
    data = guest.attachments[0].driver_memory
    written: list[int] = []

    def program(cpu: VCpu, driver: DiskDriver) -> Steps[None]:
        for kind, blocks in (("write", checkpoints), ("read", PARTS)):
            for block in range(blocks):
                driver.submit(kind, block * BLOCK, BLOCK, data, block)
                driver.flush_ring()
                yield from driver.wait()
                driver.reap()
                if kind == "write":
                    written.append(block)
    machine.power_on()
    going = machine.start((guest, program))
    while going.step():
        if len(written) > len(disk.checkpoints):        # the guest goes on meanwhile
            disk.checkpoint(f"checkpoint {len(written)}")
    going.to_the_end()
    return Reads(checkpoints, PARTS, disk.looked_up())


def to_table(rows: Sequence[Reads]) -> str:
    """Return runs as fixed-width text."""
    return table([(row.checkpoints, row.reads, sum(row.asked.values()), row.look_ups, row.asked["image"]) for row in rows],
                 ("checkpoints", "reads", "look-ups", "per read", "of the image"), title="who is asked for a block")
