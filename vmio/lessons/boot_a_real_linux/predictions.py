"""The predictions of *Boot a real Linux* with numbers of a student's own: a moment of the recorded boot, and how many reads.

For reads over VMBus this course's own driver is run, which needs no kernel; `tests/linux` lets Linux do as many, and counts the same.
"""

from vmio.lab.asked import Own
from vmio.lessons.boot_a_real_linux import drivers, recorded
from vmio.lessons.boot_a_real_linux.follow import FRAMES
from vmio.lessons.boot_a_real_linux.plans import DISKS, SPLIT


def _until(step: int) -> int:
    devices = recorded.of(DISKS).frames[step].devices
    return sum(count for device, count in devices.items() if device not in recorded.CONSOLE)


def _over_vmbus(reads: int) -> int:
    return sum(row.count for row in drivers.reads(SPLIT, reads))


OWN = {
    "linux-boot-exits": Own(f"Cut this boot into {FRAMES} equal steps of its virtual time, as the panel further down does. How many exits until step "
                            "{step}, the console's left out?",
                            {"step": [step for step in range(1, FRAMES) if _until(step) > _until(step - 1)]}, _until),
    "linux-reads-vmbus": Own("{reads} reads of 4 KiB over VMBus by Linux's own hv_storvsc, one at a time: how many exits?",
                             {"reads": range(3, 60)}, _over_vmbus)}
