"""NVMe disks in slots of a guest's PC, emulated and passed through; a generator drives them as a real operating system does."""

import pytest

from vmio.devices.pci.wire import MSIX_ENTRY
from vmio.experiments.disk import pattern
from vmio.hardware.nvme.controller import MSIX_TABLE
from vmio.machine.overlay import Overlay
from vmio.machine.pagetable import TranslationFault
from vmio.modes import Machine, attachment, one_guest
from vmio.passthrough.assignment import AssignmentRefused
from vmio.passthrough.slot import assign_to_slot

DATA = 0x100_0000
BAR = 0xE003_0000
FLAT, POSTED = 1 << 2, {"delivery": "posted"}


def read(disk, lba, sectors=8):
    disk.submit("read", lba, sectors, DATA, lba)
    disk.flush_ring()
    yield from disk.wait()
    assert disk.reap() == [(lba, None)]


@pytest.mark.parametrize("mode, options, exits", [
    ("emulated", {}, {"MOV to memory": 32, "HLT": 16}), ("passthrough", {}, {"HLT": 16}), ("passthrough", POSTED, {"HLT": 16})])
def test_what_16_reads_exit(mode, options, exits):
    medium = Overlay(pattern(1))

    def program(cpu, disk):
        before = cpu.exits.by_instruction()
        for n in range(16):
            yield from read(disk, 8 * n)
            assert cpu.read(DATA, 4096) == medium.read(8 * n, 8)
        return dict(cpu.exits.by_instruction() - before)
    assert one_guest(attachment("nvme", mode, **options), medium).run(program) == exits


@pytest.mark.parametrize("mode", ["emulated", "passthrough"])
def test_what_is_written_is_there(mode):
    medium = Overlay(pattern(1))

    def program(cpu, disk):
        cpu.write(DATA, b"\x5A" * 4096)
        disk.submit("write", 40, 8, DATA, "w")
        disk.flush_ring()
        yield from disk.wait()
        return disk.reap()
    assert one_guest(attachment("nvme", mode), medium).run(program) == [("w", None)]
    assert medium.read(40, 8) == b"\x5A" * 4096 and sorted(medium.own) == list(range(40, 48))


def test_two_of_them_have_slots_of_their_own():
    media = [Overlay(pattern(1)), Overlay(pattern(1))]
    guest = Machine().guest("two", attachment("nvme", "emulated"), media[0])
    guest.attach(attachment("nvme", "passthrough"), media[1])
    guest.machine.power_on()

    def program(cpu, first, second):
        yield from read(first, 0)
        yield from read(second, 8)
    guest.run(program)
    functions = guest.board.pci.functions
    assert [functions[slot, 0].get(0, 4) for slot in (3, 4)] == [0x0010_1B36] * 2
    serials = {at.device.identity[4:24] for at in (functions[3, 0], functions[4, 0].real)}
    assert len(serials) == 2                     # else an operating system takes them for two ways to one disk


class Lent:
    """A guest with a function passed through, its BAR at `BAR`, nothing driving it."""

    def __init__(self, **options):
        self.planned = one_guest(attachment("nvme", "passthrough", **options), Overlay(pattern(1)))
        self.guest, self.cpu, self.attachment = self.planned.guest, self.planned.cpu, self.planned.attachments[0]
        self.lent = self.attachment.lent
        self.cpu.cli()
        for register, value in ((0x10, BAR), (0x14, 0), (0x04, 6)):
            self.cpu.outl(0xCF8, 1 << 31 | 3 << 11 | register)
            self.cpu.outl(0xCFC, value)

    def entry(self, number, **fields):
        """Write an entry of the MSI-X table as a driver does."""
        words = MSIX_ENTRY.pack(**fields)
        for at in range(0, 16, 4):
            self.cpu.store(BAR + MSIX_TABLE + 16 * number + at, 4, int.from_bytes(words[at:at + 4], "little"))

    def sent(self, number):
        """What the device's message for an entry does: the vectors that the guest's APIC has then."""
        pci = self.lent.function.pci
        pci.device.msix.control(True, False)
        pci.device.msix.notify(number)
        found = []
        while self.cpu.apic.ready:
            found.append(self.cpu.apic.acknowledge())
            self.cpu.apic.eoi()
        return found


@pytest.mark.parametrize("options", [{}, POSTED], ids=["injected", "posted"])
def test_the_guests_message_becomes_one_of_the_hosts(options):
    lent = Lent(**options)
    lent.entry(0, address=0xFEE0_0000, data=0x41)
    assert lent.sent(0) == [0x41]
    device = lent.lent.function.pci.device.msix.message(0)
    assert device != (0xFEE0_0000, 0x41)                                   # no address of the guest's reaches the device
    assert [lent.cpu.load(BAR + MSIX_TABLE + at, 4) for at in (0, 4, 8, 12)] == [0xFEE0_0000, 0, 0x41, 0]     # and none of the host's the guest
    lent.entry(0, address=0xFEE0_1000 | FLAT, data=0x77)                    # another vector, by a logical destination: vCPU 0
    assert lent.sent(0) == [0x77] and list(lent.lent.router.owners.values()).count(lent.lent.function.requester) == 1


@pytest.mark.parametrize("address, data", [(0xFEE0_1000, 0x41), (0xFEE0_2000 | FLAT, 0x41), (0xFEE0_0000 | FLAT, 0x41), (0xFEE0_0000, 8),
                                           (0x1000, 0x41), (0xFEE0_0000 | 1 << 32, 0x41)])
def test_a_message_to_nobody_reaches_nobody(address, data):
    lent = Lent()
    before = lent.guest.memory.read(0x1000, 8)
    lent.entry(0, address=address, data=data)
    assert lent.sent(0) == [] and lent.guest.memory.read(0x1000, 8) == before and not lent.lent.router.owners


def test_masked_is_masked_and_what_waited_comes():
    lent = Lent()
    lent.entry(0, address=0xFEE0_0000, data=0x41)
    lent.entry(0, address=0xFEE0_0000, data=0x41, control=1)
    assert lent.sent(0) == []
    lent.cpu.store(BAR + MSIX_TABLE + 12, 4, 0)
    assert lent.cpu.apic.irr == 1 << 0x41


def test_the_device_reaches_the_guests_memory_and_nothing_else():
    lent = Lent()
    space = lent.lent.function.space
    space.write(DATA, b"here")
    assert lent.guest.memory.read(DATA, 4) == b"here"
    with pytest.raises(TranslationFault):
        space.write(lent.guest.ram, b"there")


def test_what_is_in_a_slot_stays_there():
    lent = Lent()
    with pytest.raises(ValueError, match="nvme0: is in a slot of guest0's PC, from which nothing is pulled"):
        lent.lent.take_back()
    with pytest.raises(AssignmentRefused, match="nvme0 is assigned to guest0 already"):
        assign_to_slot(lent.lent.function, lent.guest, lent.planned.board, 5, lent.lent.router)
    with pytest.raises(AssignmentRefused, match="take it back first"):
        lent.guest.destroy()
