"""An operating system that is not Linux: memtest86+ finds its way on our board, and tests the guest's memory."""

import re

import pytest

from tests.linux_files import memtest
from vmio.firmware import acpi, loader, pci_setup
from vmio.firmware.bzimage import BzImage
from vmio.hypervisor import cpuid
from vmio.modes import Machine, attachment

SCREEN, COLUMNS, LINES = 0xB8000, 80, 25        # text of a VGA, which is RAM here
LOOK_NS = 20_000
# No waiting for keys, one processor, no measuring of caches and of the memory's modules, no USB.
WORDS = "console=ttyS0,115200 nopause nosmp nobench nosm keyboard=legacy"


class Guest:
    """memtest86+ in 5 MiB.  `look(test, errors)` is told every 20 us of virtual time what the screen says; it ends the run by True."""

    def __init__(self, image, look):
        from vmio.processors.unicorn.start import enter
        from vmio.processors.unicorn.vcpu import End, MachineCodeCpu, Stopped
        self.said, self.look, self.seen = bytearray(), look, Stopped(End("seen", "the screen shows what was awaited"))
        machine = Machine()
        planned = machine.guest("memtest", attachment("serial", "emulated", sink=self.said.append), ram_mib=5, processor=MachineCodeCpu)
        planned.make()
        planned.platform.plan_board("local APIC", local_apic=True)
        cpuid.be_processor(planned.guest)
        machine.power_on()
        pci_setup.set_up(planned.board)
        self.guest, self.cpu, self.host = planned.guest, planned.cpu, machine.host
        rsdp = acpi.write(self.guest.memory, vmbus=False)
        entry = loader.load(self.guest.memory, self.guest.ram, BzImage(image, "memtest86+"), WORDS, rsdp=rsdp)
        self.cpu.power_on()
        enter(self.cpu, **entry._asdict())
        self._later()

    def _later(self):
        self.guest.clock.call_later(LOOK_NS, self._look)

    def _look(self):
        test, errors = (re.search(pattern, self.screen()) for pattern in (r"Test #(\d+)", r"Errors: *(\d+)"))
        if test and errors and self.look(self, int(test[1]), int(errors[1])):
            raise self.seen
        self._later()

    def screen(self):
        """The text on the screen."""
        text = self.guest.memory.read(SCREEN, 2 * COLUMNS * LINES)[::2].decode("cp437")
        return "\n".join(text[at:at + COLUMNS].rstrip("\0 ") for at in range(0, len(text), COLUMNS))

    def run(self):
        """Run it until it has been seen, or 60 s of virtual time are over; returns why it ended."""
        return self.host.run((self.cpu, self.cpu.run), limit_ns=60_000_000_000)[0].reason


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return memtest(tmp_path_factory.mktemp("memtest"))


@pytest.mark.slow
def test_its_first_tests_find_no_error(image):
    """Its tests 0 to 4; all ten, with no error, take half a minute."""
    tested = Guest(image, lambda tested, test, errors: errors or test == 5)
    assert tested.run() == "seen", tested.screen()
    screen = tested.screen()
    for part in ("Memtest86+ v6.10", "vmio virtual processor", "CLK/Temp: 2560MHz", "Memory  :    5MB", "Test #5 ", "Errors: 0"):
        assert part in screen, screen
    assert b"Memtest86+ v6.10" in tested.said       # and the serial console shows the same
    by_device = tested.cpu.exits.by_device()
    assert by_device["port61"] > 90_000             # it measures its processor against the PIT
    assert by_device["pit"] == 3


@pytest.mark.slow
def test_it_would_find_one(image):
    """Memory that is changed behind its back is an error to it."""
    def change(tested, test, errors):
        tested.guest.memory.write(0x30_0000, b"changed")
        return errors or test == 10
    tested = Guest(image, change)
    assert tested.run() == "seen" and "Errors: 0" not in tested.screen() and re.search(r"Errors: *[1-9]", tested.screen()), tested.screen()
