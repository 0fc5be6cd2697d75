"""What the panels with a disk must show at a setting, counted at the machine's parts (`counting_rig`)."""

from functools import lru_cache

from vmio.experiments.disk import DiskParams
from vmio.lessons.emulate_a_device.panel import MOVES

from tests.counting_rig import DiskSeen
from tests.panel_rig import Truth, numbers

GUEST, HYPERVISOR, HOST, DEVICE = "guest", "hypervisor", "host", "device"


def digits(text):
    """The numbers in a name, such as a cost preset's."""
    return [value for value, _ in numbers(str(text))]


def rows(counts, each):
    """The numbers of a table with a row (name, count, count / each) for all that happened, most first."""
    found = sorted(((name, count) for name, count in counts.items() if count), key=lambda row: (-row[1], row[0]))
    return [number for _, count in found for number in (count, count / each)]


def stack(parts, row="time"):
    """A stack's parts as `drawn` reads them."""
    return {(row, part): us for part, us in parts.items()}


def start_here(mode, block, queue_depth, guests):
    seen = DiskSeen(DiskParams(mode=mode, bytes=16 * block, block=block, queue_depth=queue_depth, guests=guests, string=False))
    emulated, split, passthrough = (mode == one for one in ("emulated", "split", "passthrough"))
    reads, worker, reasons = seen.commands, seen.by(lambda one: one.handler)["worker"], seen.reasons
    assert reads == 16 * guests
    signals = sum(seen.signals.values())
    shown = {name: reasons[name] for name in ("IO_INSTRUCTION", "VMCALL", "HLT", "EXTERNAL_INTERRUPT")}
    return Truth(
        [reads, block, 1 if emulated else queue_depth, seen.exits, seen.exits / reads, seen.ns / 1000, seen.interrupts, signals,
         max((used for ring in seen.rings.values() for _, used in ring), default=0), guests, guests, *shown.values()],
        {(GUEST, HYPERVISOR): seen.exits, (HYPERVISOR, HOST): worker if emulated else signals, (GUEST, HOST): seen.ring_requests,
         (GUEST, DEVICE): seen.doorbells, (HOST, DEVICE): 0 if passthrough else reads,
         (HOST, GUEST): 0 if passthrough else seen.interrupts, (DEVICE, GUEST): seen.interrupts if passthrough else 0},
        [shown, stack(seen.parts), *[seen.rings] * split], {0: seen.exits, 1: seen.all_us})


def emulated_disk(sectors, transfer, move, interrupts, costs):
    seen = _read(sectors, transfer, move, interrupts, costs)
    curves = {name: [(size, _read(size, name, move, interrupts, "server-2022").exits / size) for size in (1, 2, 4, 8, 16, 32, 64)]
              for name in ("pio", "multiple", "dma")}
    assert seen.commands and seen.sectors == sectors
    devices = seen.devices
    shown = {name: devices[name] for name in ("ata", "bus master", "pic", "hypervisor")}
    return Truth(
        [sectors, seen.exits, seen.exits / sectors, seen.ns / 1000, seen.interrupts, *rows(devices, sectors)],
        {(GUEST, HYPERVISOR): seen.exits, (HYPERVISOR, HOST): seen.by(lambda one: one.handler)["worker"],
         (HOST, DEVICE): seen.sectors, (DEVICE, GUEST): seen.interrupts},
        [shown, stack(seen.halves), curves], {0: seen.exits, 1: seen.all_us})


@lru_cache(maxsize=None)
def _read(sectors, transfer, move, interrupts, costs):
    return DiskSeen(DiskParams(bytes=sectors * 512, block=sectors * 512, transfer=transfer, polled=not interrupts, costs=costs,
                               **MOVES[move]))


def split_disk(queue_depth, block, batch, host_cores, costs):
    common = dict(bytes=32 * block, block=block, batch=batch, costs=costs)
    seen = DiskSeen(DiskParams(mode="split", queue_depth=queue_depth, host_cores=host_cores, **common))
    beside = DiskSeen(DiskParams(mode="emulated", transfer="dma", **common))
    reads, signals, instructions = seen.commands, sum(seen.signals.values()), seen.instructions
    assert reads == beside.commands == 32
    shown = {name: instructions[name] for name in ("VMCALL", "HLT")}
    return Truth(
        [reads, queue_depth, batch, host_cores, seen.exits, seen.exits / reads, seen.ns / 1000, signals, seen.interrupts,
         *rows(seen.reasons, reads)],
        {(GUEST, HYPERVISOR): seen.exits, (HYPERVISOR, HOST): signals, (GUEST, HOST): seen.ring_requests,
         (HOST, DEVICE): reads, (HOST, GUEST): seen.interrupts},
        [shown, stack(seen.parts), {"emulated, DMA": beside.exits / reads, "split": seen.exits / reads}],
        {0: seen.exits, 1: seen.all_us})


def modes(mode, queue_depth, iommu, delivery, interrupts, costs):
    seen = DiskSeen(DiskParams(mode=mode, bytes=32 * 4096, queue_depth=queue_depth, transfer="dma", iommu=iommu, delivery=delivery,
                               polled=not interrupts and mode != "split", costs=costs))
    reads, instructions, passthrough = seen.commands, seen.instructions, mode == "passthrough"
    assert reads == 32
    shown = {name: instructions[name] for name in ("OUT", "IN", "VMCALL", "HLT", "EXTERNAL INTERRUPT")}
    arrows = {(GUEST, HYPERVISOR): seen.exits}
    if passthrough:
        arrows |= {(GUEST, DEVICE): seen.doorbells, (DEVICE, GUEST): seen.interrupts}
    else:
        worker = seen.by(lambda one: one.handler)["worker"] if mode == "emulated" else sum(seen.signals.values())
        arrows |= {(HYPERVISOR, HOST): worker, (HOST, DEVICE): reads, (HOST, GUEST): seen.interrupts}
    if mode == "split":
        arrows[GUEST, HOST] = seen.ring_requests
    return Truth([reads, queue_depth, seen.exits, seen.exits / reads, seen.ns / 1000, seen.interrupts,
                  *(rows(instructions, reads) or [0, 0])], arrows, [shown, stack(seen.halves)], {0: seen.exits, 1: seen.all_us})


def ring_of_a_disk(queue_depth, batch, host_cores, signals, doorbell):
    seen = DiskSeen(DiskParams(mode="split", bytes=64 * 4096, queue_depth=queue_depth, batch=batch, host_cores=host_cores,
                               signals=signals, doorbell=doorbell))
    heard, reads = sum(seen.signals.values()), seen.commands
    assert reads == seen.ring_requests == 64
    return Truth([reads, 4, batch, host_cores, seen.ns / 1000, seen.exits, seen.exits / reads, heard, heard / reads, seen.interrupts,
                  seen.interrupts / reads, *(max(used for _, used in ring) for ring in seen.rings.values())],
                 charts=[seen.rings, stack(seen.parts)], totals={1: seen.all_us})


def channels(vcpus, channels, queue_depth):
    seen = DiskSeen(DiskParams(mode="split", bytes=64 * 4096, vcpus=vcpus, channels=1 if channels == "one" else None,
                               queue_depth=queue_depth, host_cores=2 * vcpus))
    lanes = [lane.seen for lane in seen.runs[0].lanes]
    signals = [seen.signals[number] for number in range(1 if channels == "one" else vcpus)]
    most = max(used for name, ring in seen.rings.items() if name.endswith("to the host") for _, used in ring)
    assert seen.commands == seen.ring_requests == 64
    return Truth([64, 4, vcpus, len(signals), queue_depth, seen.ns / 1000, seen.exits, seen.instructions["WRMSR"], most, *(
        number for n, lane in enumerate(lanes) for number in (n, len(lane.exits), lane.interrupts, *signals[n:n + 1]))],
        charts=[{f"vCPU {n}": len(lane.exits) for n, lane in enumerate(lanes)}, {f"channel {n}": one for n, one in enumerate(signals)}],
        totals={0: seen.exits, 1: sum(seen.signals.values())})
