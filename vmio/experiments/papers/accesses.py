"""Register accesses and interrupts of one 4 KiB read: Linux's drivers against ours, on the same devices."""

from typing import Any

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.disk_run import DiskRun, needed
from vmio.experiments.papers.result import Result, Row, figure
from vmio.experiments.trace import sequential
from vmio.machine.overlay import Overlay
from vmio.modes import one_guest
from vmio.modes.disk_assigned import AssignedDisk

READS, BLOCK = 8, 4096


def emulated(**options: Any) -> tuple[float, float]:
    """(register accesses, interrupts) a read of an ATA disk; one exit each, for no data moves by string I/O."""
    result = disk.run(DiskParams(bytes=READS * BLOCK, block=BLOCK, string=False, **options))
    exits = result.exits_by_device
    return (exits["ata"] + exits.get("bus master", 0)) / READS, result.interrupts / READS


def passthrough() -> tuple[float, float]:
    """(register accesses, interrupts) a read of an NVMe disk: none exits, so its registers are asked."""
    totals = []
    for reads in (READS, 2 * READS):
        requests, assigned = sequential(reads * BLOCK, BLOCK), AssignedDisk()
        room = needed(assigned, requests, 1)
        machine = one_guest(assigned, Overlay(disk.pattern(1)), ram_mib=room[2])
        run = DiskRun(machine, requests, room)
        machine.host.run((run.cpu, run.program))
        regions = run.guest.direct.regions
        totals.append((sum(region.reads + region.writes for region in regions), run.cpu.interrupts))
    few, many = totals
    accesses, interrupts = ((b - a) / READS for a, b in zip(few, many))      # what the bring-up needs goes out
    return accesses, interrupts


def run() -> Result:
    """Four disks."""
    split = disk.run(DiskParams(mode="split", bytes=READS * BLOCK, block=BLOCK))
    ours = {"IDE, PIO": emulated(transfer="multiple", width=4), "IDE, DMA": emulated(transfer="dma"),
            "NVMe": passthrough(), "virtio-blk (here StorVSC)": (split.signals / READS, split.interrupts / READS)}
    careful = ("Linux reads the status more often, selects the drive twice, and reads the bus master's registers before "
               "it writes them. Ours makes the accesses that the protocol needs.")
    rows = []
    for n, (name, (accesses, interrupts)) in enumerate(ours.items(), 1):
        rows.append(Row(f"{name}: accesses", figure(f"L01.{n}"), accesses, why=careful if n == 2 else ""))
        rows.append(Row(f"{name}: interrupts", figure(f"L02.{n}"), interrupts))
    return Result("Device accesses of a 4 KiB read, real drivers",
                  "our drivers on our devices; nothing is fitted. PIO by READ MULTIPLE and 32-bit accesses, as Linux "
                  "does. A kick is one access.", ("L01.1",), tuple(rows))
