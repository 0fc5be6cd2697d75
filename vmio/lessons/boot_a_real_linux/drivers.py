"""The same reads by this course's own drivers: Python programs on the same attachments, counted by the same rows."""

from functools import cache

from vmio import data
from vmio.boot.result import Row, counted, difference
from vmio.drivers.nvme_disk import NvmeDisk
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.lessons.boot_a_real_linux.live import MEDIUM
from vmio.lessons.boot_a_real_linux.plans import BLOCK, READS
from vmio.machine.clock import NEVER
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR, Image
from vmio.modes import attachment, one_guest

# As `vmio.boot.machine` attaches them.
ATTACHED = {"emulated": ("disk", "emulated", {"transfer": "dma"}), "split": ("disk", "split", {}),
            "nvme": ("nvme", "emulated", {}), "passthrough": ("nvme", "passthrough", {})}
MIB = 1 << 20


@cache
def reads(mode: str, count: int = READS) -> list[Row]:
    """Return the exits of `count` reads of 4 KiB, one at a time, each with its interrupt; its set-up left out."""
    device, how, options = ATTACHED[mode]
    attached = attachment(device, how, **options)
    machine = one_guest(attached, Overlay(Image.open(data.path(MEDIUM))), ram_mib=attached.driver_memory // MIB + 2)

    def program(cpu: VCpu, disk: NvmeDisk) -> Steps[list[Row]]:
        before = counted(cpu.exits)
        for number in range(count):
            disk.submit("read", number * BLOCK // SECTOR, BLOCK // SECTOR, attached.driver_memory + MIB, number)
            yield from cpu.pay()
            disk.flush_ring()
            while not (done := disk.reap()):
                yield from disk.wait(NEVER)
            if done != [(number, None)]:
                raise RuntimeError(f"{mode}: read {number} ended with {done}")
        return difference(counted(cpu.exits), before)
    return machine.run(program)
