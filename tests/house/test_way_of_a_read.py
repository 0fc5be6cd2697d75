"""The way of one 4 KiB read through the package: no floor above the attachment is visited, and it doesn't grow.

`WHY` says what each file on the way is there for.  A split read has two drivers, a bus and a disk of the
host's between them, and each of these keeps to one idea a file, so its 39 files are as many ideas: nobody
among them only hands a call on.  Fewer would mean that two ideas share a file.
"""

import gc
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

import vmio
from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

DATA = 0x100_0000
PACKAGE = os.path.dirname(vmio.__file__) + os.sep
INLINED = {"<listcomp>", "<dictcomp>", "<setcomp>"}      # no calls any more from Python 3.12 on (PEP 709)


def way_of_a_read(mode, **options):
    """{file of the package: calls of its functions} of a second read, in order of the first call; a generator that goes on counts."""
    machine, seen = Machine(), Counter()
    guest = machine.guest("g", attachment("disk", mode, **options), Overlay(pattern(1)), ram_mib=20)
    machine.power_on()

    def one(disk):
        disk.submit("read", 8, 8, DATA, None)
        disk.flush_ring()
        while not disk.reap():
            yield from disk.wait()

    def note(frame, event, _):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(PACKAGE) and frame.f_code.co_name not in INLINED:
            seen[name.removeprefix(PACKAGE).replace(os.sep, "/")] += 1

    def program(cpu, disk):
        yield from one(disk)
        yield from cpu.pay()
        gc.collect()      # generators that earlier tests left behind would end in the middle of this read
        sys.setprofile(note)
        try:
            yield from one(disk)
        finally:
            sys.setprofile(None)
    machine.run((guest, program))
    return seen


WHY = {
    # Every read.
    "hypervisor/vcpu.py": "instructions, exits, interrupts taken",
    "hypervisor/waiting.py": "HLT, and time that passes for the others, too",
    "hypervisor/program.py": "the guest's program goes on when what it waited for has happened",
    "hypervisor/simulation.py": "each event of virtual time",
    "hypervisor/cores.py": "the host's cores; the alarm of who sleeps",
    "hypervisor/apic.py": "an interrupt is requested, taken, ended",
    "machine/pagetable.py": "SLAT: guest-physical memory, translated and reached",
    "machine/overlay.py": "the guest's own writes over an image",
    "machine/storage.py": "the image",
    # Split: the guest's half, the ring, the host's half.
    "drivers/storvsc_queue.py": "a SCSI READ in an SRB; its answer meets it again",
    "drivers/vmbus.py": "the guest's bus: a hypercall to signal; the event that names a channel",
    "drivers/synic.py": "the guest's interrupt handler: event flags, end of interrupt",
    "vmbus/bus/channel.py": "one end of a channel: show, signal, sleep safely",
    "vmbus/bus/ring.py": "records in shared memory, two indices that nobody trusts",
    "vmbus/bus/packets.py": "what a record says of pages",
    "machine/window.py": "the ring's pages, each translated once",
    "hypervisor/hyperv/hypercalls.py": "HvCallSignalEvent",
    "hypervisor/hyperv/synic.py": "an event flag, an edge on a SINT",
    "vmbus/bus/host_channel.py": "the host's channel: a signal at its time, an interrupt back",
    "vmbus/bus/worker.py": "the packet loop: wakes, takes a batch, completes",
    "hypervisor/inflight.py": "what is under way, so that nothing is answered twice or lost",
    "vmbus/storage/storvsp.py": "the protocol: is it a request, is it time for one?",
    "vmbus/storage/srb.py": "one request: a private copy is checked, carried out, answered",
    "vmbus/storage/scsi.py": "what the CDB asks",
    "hypervisor/ram.py": "is a page the guest's own?",
    # The host's disk.
    "host/physical.py": "the guest's slice; how long the medium takes",
    "host/block.py": "the queue of all guests before one device",
    "host/scheduler.py": "what waits, guest by guest, whatever the policy",
    "host/drr.py": "who is next",
    "host/service.py": "what each guest got",
    "hypervisor/hostcpu.py": "the host's processor, as a driver sees one",
    "machine/bus.py": "who answers at an address",
    "machine/memory.py": "physical memory",
    "drivers/nvme.py": "the one NVMe driver, a host's or a guest's",
    "hardware/nvme/controller.py": "doorbell, fetch, completion, interrupt",
    "hardware/nvme/queues.py": "rings of commands and answers; a command under way",
    "hardware/nvme/nvm.py": "READ",
    "hardware/nvme/prp.py": "where its data goes",
    "devices/pci/msix.py": "a vector's message",
    # Passed through.
    "drivers/nvme_disk.py": "the guest's requests, in commands",
    "drivers/vpci.py": "the handler of a message's vector",
    "modes/disk_assigned.py": "which disk that handler is for",
    "hypervisor/direct.py": "a store to registers of the guest's own: no exit",
    "passthrough/assignment.py": "pages of a BAR in the guest's hands",
    "host/clock.py": "a device's time, which a guest's store may push on",
    "passthrough/strategies.py": "how a buffer comes into the domain",
    "passthrough/iommu/space.py": "DMA with its requester's id",
    "passthrough/iommu/remapper.py": "DMA remapping",
    "passthrough/iommu/iotlb.py": "... and its cache",
    "passthrough/iommu/interrupts.py": "interrupt remapping",
    "passthrough/delivery.py": "the host's vector becomes the guest's",
    "devices/pci/function.py": "a message is a write of the function's",
    "passthrough/guest_iommu.py": "the guest's word to the IOMMU: a hypercall",
    "passthrough/iommu/iommu.py": "invalidation",
    "passthrough/iommu/domain.py": "the domain's tables",
    "passthrough/iommu/iova.py": "addresses for the device",
    # Emulated.
    "drivers/ata_queue.py": "one request at a time",
    "drivers/ata.py": "READ DMA, PRDs, the interrupt",
    "drivers/pic.py": "the guest's handler of an ISA line",
    "hypervisor/register_io.py": "IN and OUT",
    "modes/disk_emulated.py": "how long the medium takes, and the emulator's copy",
    "hypervisor/costs.py": "the prices of both",
    "machine/clock.py": "the guest's clock and its timers",
    "machine/lines.py": "an interrupt line",
    "devices/pc/pic.py": "two 8259As",
    "devices/ata/ports.py": "command and control block",
    "devices/ata/channel.py": "one channel: busy, ready, interrupt",
    "devices/ata/taskfile.py": "the registers' 28 or 48 bits",
    "devices/ata/commands.py": "what an opcode starts",
    "devices/ata/transfer.py": "DMA, PIO: how the data moves",
    "devices/ata/disk.py": "the drive: its size, its LBA",
    "devices/ata/bmide.py": "the bus master: PRDs, DMA, its interrupt bit",
}


@pytest.mark.parametrize("mode, options, files, calls", [
    ("emulated", {"transfer": "dma"}, 23, 160), ("split", {}, 39, 244), ("passthrough", {}, 32, 115),
    ("passthrough", {"iommu": "strict"}, 37, 177)])
def test_a_read_never_visits_an_experiment_and_takes_no_more_files_and_calls_than_now(mode, options, files, calls):
    seen = way_of_a_read(mode, **options)
    assert [name for name in seen if name not in WHY] == []      # who comes to stand on the way says why
    assert {name.split("/")[0] for name in seen} <= {
        "machine", "hypervisor", "devices", "hardware", "vmbus", "passthrough", "drivers", "host", "modes"}
    assert len(seen) <= files
    assert seen.total() <= calls      # what a read costs in Python, without a look at any clock


def test_reasons_are_given_for_files_that_are_there():
    assert [name for name in WHY if not os.path.exists(os.path.join(PACKAGE, name))] == []


def test_the_document_shows_the_way_of_a_split_read():
    document = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
    way = document.read_text(encoding="utf-8").split("## The way of one read, split")[1].split("\n## ")[0]
    seen = way_of_a_read("split")
    assert f"These are {len(seen)} files," in way
    calls = [way_of_a_read(mode, **options).total() for mode, options in (("emulated", {"transfer": "dma"}), ("passthrough", {}))]
    assert (f"A split read costs {seen.total()} calls of Python functions here, one by ATA DMA {calls[0]} and one passed through {calls[1]},"
            in " ".join(document.read_text(encoding="utf-8").split()))
    assert [name for name in seen if f"{name.rsplit('/')[-1]}`" not in way] == []
