"""Linux's own pci-hyperv: the function passed through comes on a virtual PCI bus of the hypervisor's, as on a machine of generation 2."""

import hashlib
from functools import cache

from tests.linux_rig import BLOCK, IMAGE, READS, reads, start, warnings
from vmio.boot.kept import modules
from vmio.boot.params import BootParams

DISK = "nvme0n1"


@cache
def booted():
    """(boot, result) of 16 reads."""
    boot = start(reads([DISK]), modules(BootParams(modes=("vpci",))), modes=("vpci",))
    return boot, boot.run()


def test_its_bytes_are_right_and_nobody_warns():
    boot, result = booted()
    assert result.good and f"{hashlib.md5(IMAGE[:READS * BLOCK]).hexdigest()}  /tmp/{DISK}" in result.console_text
    assert not [line for line in warnings(result) if "nvme" in line or "hv_" in line or "vmbus" in line.lower() or "0001:00" in line]


def test_16_reads_exit_for_nothing_but_the_guests_sleep():
    phase = booted()[1].phase(f"read {DISK}")
    assert phase.by("device", ("uart", "hypervisor")) == {}
    assert {row.instruction: row.count for row in phase.rows if row.device == "hypervisor"} == {"HLT": 16}


def test_its_interrupts_are_messages_that_the_host_remaps():
    """What Linux counts is what the remapping table has passed on."""
    boot, result = booted()
    counts = result.interrupts()
    assert counts["17"] == (17, "Hyper-V PCIe MSI 134217729-edge      nvme0q1")
    assert counts["16"] == (10, "Hyper-V PCIe MSI 134217728-edge      nvme0q0")


def test_what_is_said_on_the_bus_is_set_up_and_nothing_else():
    """Bus, resources, two interrupts that move as Linux likes; configuration space and MSI-X table by exits; reads by none of these."""
    boot, result = booted()
    vsp = boot.guest.attachments[1].lent.vsp
    assert vsp.version == 0x10004 and not vsp.refused
    assert vsp.handled == {"QUERY_PROTOCOL_VERSION": 1, "QUERY_BUS_RELATIONS": 1, "QUERY_RESOURCE_REQUIREMENTS": 1, "BUS_D0ENTRY": 1,
                           "RESOURCES_ASSIGNED2": 1, "CREATE_INTERRUPT3": 6, "DELETE_INTERRUPT": 6}
    ready = result.phase(next(phase.name for phase in result.phases if phase.name.startswith("ready")))
    assert {name: count for name, count in ready.by("device").items() if name in ("vpci config", "nvme0 MSI-X")} == {
        "vpci config": 328, "nvme0 MSI-X": 168}


def test_two_buses_side_by_side_have_domains_of_their_own():
    """An emulated disk in a slot of the PC and one on the virtual bus, in one boot: both are read."""
    boot = start(["await /dev/nvme0n1 /dev/nvme1n1", "ls /sys/bus/pci/devices | tr '\\n' ' '; echo",
                  *(f"dd if=/dev/nvme{n}n1 bs=64k count=1 iflag=direct 2>/dev/null | md5sum" for n in range(2))],
                 modules(BootParams(modes=("nvme", "vpci"))), modes=("nvme", "vpci"))
    text = boot.run().console_text
    assert text.count(hashlib.md5(IMAGE[:65536]).hexdigest()) == 2 and "0000:00:03.0 0001:00:00.0" in text
