"""Recorded answers of QEMU 7.2's device models replay through the oracle door.

Every read must be equal, and every interrupt edge, operation by operation.
The stream of Linux's driver was recorded in real time and holds the edges of the
whole machine: there the reads are compared, one by one, and not the edges.
"""

import json

import pytest
from replay import disk_image, replay

from vmio import data
from vmio.oracle.qtest import PLUGGABLE, Door

OWN_PCI_FUNCTIONS = {0x00, 0x08, 0x09, 0x0B}  # 0.0, 1.0, 1.1, 1.3; the recording's network cards are not on this board
NAMES = sorted(path.stem for path in data.path("golden").glob("*.json"))

@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("linux_")])
def test_scripted_trace(name, tmp_path):
    trace = json.loads(data.path(f"golden/{name}.json").read_text())
    has_disk = any("disk.img" in arg for arg in trace["args"])
    drive = disk_image(tmp_path, "scripted") if has_disk else None
    devices = [arg if arg.startswith("virtio") else arg.split(",")[0] for arg in trace["args"] if arg.split(",")[0] in PLUGGABLE]
    door = Door(drive=drive, memory_mib=32 if trace["machine"] == "q35" else 16, devices=devices)
    if not name.startswith("pit_"):
        door.answer("outb 0x43 0x30")   # what the recorder did before it began
    door.answer("irq_intercept_in ioapic")
    own = OWN_PCI_FUNCTIONS if name.startswith("pci_") else None
    mismatches, compared = replay(door, trace["ops"], own=own)
    assert not mismatches, "\n".join(mismatches[:10])
    assert compared, "nothing was compared"


def test_linux_ide_pio(tmp_path):
    trace = json.loads(data.path("golden/linux_ide_pio.json").read_text())
    door = Door(drive=disk_image(tmp_path, "linux"))
    for line in ("outl 0xcf8 0x80000920", "outl 0xcfc 0xc001", "outl 0xcf8 0x80000904", "outw 0xcfc 5",
                 "irq_intercept_in ioapic"):
        door.answer(line)
    mismatches, compared = replay(door, trace["ops"], edges=False)
    # The driver once slept through a reset and looked 47 times; here the reset is over when it looks again.
    assert mismatches == ["op 33 ['in*', 503, 1, 208, 47]: got 80 BSY"]
    assert compared == 275
