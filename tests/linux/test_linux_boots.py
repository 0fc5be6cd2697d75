"""One unmodified kernel, four ways to its disk: the same bytes, and exits counted to the last.

The numbers are those of one kernel (its checksum is pinned) on one version of Unicorn.
"""

import hashlib
import re
from functools import cache

import pytest

from tests.linux_rig import BLOCK, IMAGE, MODES, NAMES, READS, all_modes, disk, mark, reads, start, warnings
from vmio.lessons.boot_a_real_linux import drivers
from vmio.machine.overlay import Overlay

WANTED = hashlib.md5(IMAGE[:READS * BLOCK]).hexdigest()
# Exits of 16 direct reads of 4 KiB, the UART left out: (of devices, of what the hypervisor answers itself).  An IDE read is 26 accesses
# of the disk's registers, as a recording of Linux on QEMU has them; an interrupt by pin costs five accesses of the PIC.
IDE = {"ata": 256, "bus master": 160, "pic": 80}
EXITS = {
    ("emulated", False): (IDE, {"HLT": 17, "WRMSR": 1}),
    ("emulated", True): (IDE, {"HLT": 17, "WRMSR": 1}),
    ("split", False): ({}, {"VMCALL": 16, "HLT": 16}),
    ("split", True): ({}, {"VMCALL": 16, "HLT": 16}),
    ("nvme", False): ({"nvme": 32}, {"HLT": 16}),
    ("nvme", True): ({"nvme": 32, "pic": 80}, {"HLT": 16}),
    ("passthrough", False): ({}, {"HLT": 17, "WRMSR": 1}),
    ("passthrough", True): ({"pic": 80}, {"HLT": 17, "WRMSR": 1})}
# A HLT more than reads goes with the WRMSR that sets a synthetic timer: a tick of the kernel's fell into these reads.


def own(result, device):
    """(exits of devices, of instructions that the hypervisor answers itself) of the 16 reads."""
    phase = result.phase(f"read {device}")
    plain = {}
    for row in phase.rows:
        if row.device == "hypervisor":
            plain[row.instruction] = plain.get(row.instruction, 0) + row.count
    return phase.by("device", ("uart", "hypervisor")), plain


@pytest.mark.parametrize("pins", [False, True], ids=["messages", "pins"])
def test_all_disks_are_there_and_right(pins):
    result = all_modes(pins)
    assert result.end.reason == "power off" and result.good
    for device in NAMES.values():
        assert f"{WANTED}  /tmp/{device}" in result.console_text, device


@pytest.mark.parametrize("pins", [False, True], ids=["messages", "pins"])
@pytest.mark.parametrize("mode", MODES)
def test_exits_of_16_reads(mode, pins):
    assert own(all_modes(pins), NAMES[mode]) == EXITS[mode, pins]


def test_who_interrupted():
    interrupts = all_modes().interrupts()
    assert interrupts["14"] == (17, "XT-PIC      ata_piix") and interrupts["HYP"] == (88, "Hypervisor callback interrupts")
    assert [interrupts[name] for name in ("17", "19")] == [(17, "PCI-MSI 49153-edge      nvme0q1"), (17, "PCI-MSI 65537-edge      nvme1q1")]
    assert interrupts["ERR"][0] == interrupts["SPU"][0] == 0


@pytest.mark.parametrize("pins", [False, True], ids=["messages", "pins"])
def test_the_kernel_warns_of_nothing_of_ours_but_what_is_known(pins):
    """No I/O APIC and no memory-mapped configuration space: neither is there (docs/differences.md).  No driver warns of its device."""
    assert warnings(all_modes(pins)) == ["ACPI: No IOAPIC entries present", "ACPI: setting ELCR to 0200 (from 0c00)",
                                         "acpi PNP0A03:00: fail to add MMCONFIG information, can't access extended PCI configuration space "
                                         "under this bridge."]


def test_by_pio_a_sector_is_one_string_instruction():
    """16 reads of 8 sectors from a disk without DMA, 128 units of 4 bytes each: REP INSD.  Two accesses a read clear the bus master's status.

    PIO is the disk's choice, not the driver's: the kernel, told nothing, says what the disk offers.
    """
    result = start(reads(["sda"]), modes=("emulated",), transfer="pio").run()
    strings = [row for row in result.phase("read sda").rows if row.instruction == "REP INS"]
    assert [(row.device, row.size, row.count, row.moved) for row in strings] == [("ata", 4, 128, 128 * 128)]
    assert own(result, "sda") == ({"ata": 128 + 272, "bus master": 32, "pic": 80}, {"HLT": 16})
    assert f"{WANTED}  /tmp/sda" in result.console_text
    said = [re.search(r"VMIO ORACLE DISK, 1.0, max (\S+)", each.console_text)[1] for each in (result, all_modes())]
    assert said == ["PIO4", "UDMA/100"]


@cache
def forty():
    """The result of 40 reads over VMBus, and all messages twice."""
    lines = ["await /dev/sda", "sleep 0.5", mark("forty"), f"dd if=/dev/sda of=/dev/null bs={BLOCK} count=40 iflag=direct 2>/dev/null",
             mark("over"), mark("here"), "dmesg", "dmesg -r", mark("there")]
    return start(lines, modes=("split",)).run()


def test_a_mark_counts_once_though_dmesg_repeats_it():
    result = forty()
    assert [phase.name.split()[0] for phase in result.phases] == ["power-on", "ready", "forty", "over", "here", "there", "done"]
    assert result.console_text.count("VMIO-MARK here") == 3


def test_any_number_of_reads_over_vmbus_is_two_exits_each():
    """So a student's own number may be counted by this course's own driver.  A tick of the kernel's falls into these, a WRMSR and a HLT."""
    assert forty().phase("forty").by("instruction", ("uart",)) == {"HLT": 40 + 1, "VMCALL": 40, "WRMSR": 1}
    assert sum(row.count for row in drivers.reads("split", 40)) == 80


def test_without_the_clock_page_each_look_at_the_clock_is_an_exit():
    result = start(reads(["sda"]), modes=("split",), clock_page=False).run()
    devices, plain = own(result, "sda")
    assert plain["VMCALL"] == 16 and plain["RDMSR"] > 100 and result.good


class Failing(Overlay):
    """Its sectors from 1 MiB on have gone: somebody has cut the file."""

    def read(self, lba, count=1):
        if lba + count > 2048:
            raise OSError(5, "Input/output error")
        return super().read(lba, count)


def test_a_disk_that_vanishes_is_an_error_that_the_kernel_reports():
    """Each read of what has gone fails, in each mode, and the guest goes on to its end."""
    devices = NAMES.values()
    result = start([f"await {' '.join(f'/dev/{each}' for each in devices)}",
                    *(f"dd if=/dev/{each} of=/dev/null bs=4096 count=1 skip=300 iflag=direct || echo FAILED {each}" for each in devices),
                    *(f"dd if=/dev/{each} of=/dev/null bs=4096 count=1 && echo GOOD {each}" for each in devices)], modes=("all",),
                   medium=Failing(disk())).run()
    text = result.console_text
    assert result.good and all(f"FAILED {each}\n" in text and f"GOOD {each}\n" in text for each in devices), text[-3000:]
    assert "ata1.00: error: { UNC }" in text and "critical medium error, dev sdb" in text
