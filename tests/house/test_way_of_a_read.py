"""The way of one 4 KiB read through the package: no floor above the attachment is visited, and it doesn't grow."""

import os
import sys

import pytest

import vmio
from vmio.experiments.disk import pattern
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

DATA = 0x100_0000
PACKAGE = os.path.dirname(vmio.__file__) + os.sep


def files_of_a_read(mode, **options):
    """The package's files that a second read calls into, in order of the first call."""
    machine, seen = Machine(), {}
    guest = machine.guest("g", attachment("disk", mode, **options), Overlay(pattern(1)), ram_mib=20)
    machine.power_on()

    def one(disk):
        disk.submit("read", 8, 8, DATA, None)
        disk.flush_ring()
        while not disk.reap():
            yield from disk.wait()

    def note(frame, event, _):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(PACKAGE):
            seen[name.removeprefix(PACKAGE).replace(os.sep, "/")] = True

    def program(cpu, disk):
        yield from one(disk)
        yield from cpu.pay()
        sys.setprofile(note)
        try:
            yield from one(disk)
        finally:
            sys.setprofile(None)
    machine.run((guest, program))
    return list(seen)


@pytest.mark.parametrize("mode, options, files", [
    ("emulated", {"transfer": "dma"}, 24), ("split", {}, 45), ("passthrough", {}, 36), ("passthrough", {"iommu": "strict"}, 41)])
def test_a_read_never_visits_an_experiment_and_crosses_no_more_files_than_now(mode, options, files):
    seen = files_of_a_read(mode, **options)
    assert {name.split("/")[0] for name in seen} <= {
        "machine", "hypervisor", "devices", "hardware", "vmbus", "passthrough", "drivers", "host", "modes"}
    assert len(seen) <= files
