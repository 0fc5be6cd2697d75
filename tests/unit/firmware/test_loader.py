"""What lies in RAM when the kernel's first instruction runs, and what the processor's registers say."""

import re
import struct

import pytest

from tests.kernel_file import CODE, kernel_file
from vmio.firmware import loader, longmode
from vmio.firmware.boot_wire import BOOT_PARAMS, E820_ENTRY, HEADER_AT, SETUP_DATA, SETUP_HEADER
from vmio.firmware.bzimage import BzImage
from vmio.firmware.zero_page import Area, boot_params, memory_map
from vmio.machine.pagetable import walk
from vmio.modes import one_guest

MIB = 1 << 20


@pytest.fixture(scope="module")
def booted():
    guest = one_guest(ram_mib=24).guest
    entry = loader.load(guest.memory, guest.ram, BzImage(kernel_file()), "console=ttyS0 quiet", b"an initramfs", rsdp=0xE0000)
    return guest.memory, entry


def test_the_entry(booted):
    memory, entry = booted
    assert entry == (2 * MIB + 0x200, 0x10000, 0x60000, 0x70000, 0x7F000, 31, 0x10, 0x18)
    assert memory.read(2 * MIB, len(CODE)) == CODE


def test_boot_params(booted):
    memory, entry = booted
    page = memory.read(entry.rsi, 4096)
    params, header = BOOT_PARAMS.parse(page), SETUP_HEADER.parse(page, HEADER_AT)
    assert params.acpi_rsdp_addr == 0xE0000 and params.sentinel == 0 and params.e820_entries == 3
    assert struct.unpack_from("<Q", page, 0x70) == (0xE0000,) and page[0x1E8] == 3
    rows = [E820_ENTRY.parse(page, 0x2D0 + 20 * n) for n in range(3)]
    assert rows == [(0, 0x9FC00, 1), (0xE0000, 0x20000, 2), (MIB, 23 * MIB, 1)]
    assert header.type_of_loader == 0xFF and header.cmd_line_ptr == 0x20000 and header.header == b"HdrS" and header.cmdline_size == 255
    assert (header.ramdisk_image, header.ramdisk_size) == (24 * MIB - 4096, 12)
    assert memory.read(header.ramdisk_image, 12) == b"an initramfs" and memory.read(0x20000, 20) == b"console=ttyS0 quiet\0"


def test_a_seed_for_its_random_numbers(booted):
    """Without one the kernel waits for jitter that a deterministic machine has not: mke2fs never ended."""
    memory, entry = booted
    at, = struct.unpack_from("<Q", memory.read(entry.rsi, 4096), 0x250)
    assert SETUP_DATA.parse(memory.read(at, 16)) == (0, 9, 32) and len(set(memory.read(at + 16, 32))) > 16


def test_everything_is_mapped_to_itself(booted):
    memory, entry = booted
    def load64(at):
        return int.from_bytes(memory.read(at, 8), "little")
    for address in (0, 0x10000, 2 * MIB + 0x200, 24 * MIB, 0xFEE00000, (4 << 30) - 4096):
        level, _, leaf = walk(load64, entry.cr3, 4, address)[-1]
        assert level == 1 and leaf == address & -(2 * MIB) | 0x83


def test_the_descriptors(booted):
    memory, entry = booted
    assert memory.read(entry.gdt, 32) == struct.pack("<4Q", 0, 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF)
    assert longmode.DESCRIPTOR.parse(memory.read(entry.gdt + 0x10, 8)).long == 1


def test_without_an_initramfs_there_is_none():
    guest = one_guest(ram_mib=3).guest      # the least: the kernel's own 1 MiB at 2 MiB
    loader.load(guest.memory, guest.ram, BzImage(kernel_file()), "")
    header = SETUP_HEADER.parse(guest.memory.read(loader.PARAMS, 4096), HEADER_AT)
    assert (header.ramdisk_image, header.ramdisk_size) == (0, 0) and guest.memory.read(loader.COMMAND_LINE, 1) == b"\0"


def test_the_initramfs_stays_below_what_the_kernel_can_reach():
    guest = one_guest(ram_mib=24).guest
    loader.load(guest.memory, guest.ram, BzImage(kernel_file(initrd_addr_max=20 * MIB - 1)), "", bytes(4097))
    assert SETUP_HEADER.parse(guest.memory.read(loader.PARAMS, 4096), HEADER_AT).ramdisk_image == 20 * MIB - 8192


class NoMemory:
    def write(self, address, data):
        raise AssertionError("nothing is written when something is refused")


@pytest.mark.parametrize("ram, fields, line, initrd, why", [
    (2, {}, "", b"", "RAM: 2 MiB; kernel X needs at least 3 MiB to unpack itself"),
    (3, {}, "", b"x", "RAM: 3 MiB; kernel X needs at least 4 MiB to unpack itself beside an initramfs of 1 bytes"),
    (3073, {}, "", b"", "RAM: 3,073 MiB; at most 3,072 MiB lie below the addresses of PCI devices"),
    (8, dict(relocatable_kernel=0, pref_address=0x10000), "", b"",
     "kernel X: it wants to be loaded at 0x10000; memory for it begins at 100000h"),
    (8, {}, "a" * 256, b"", "command line: 256 characters; kernel X takes 255"),
    (8, {}, "a\nb", b"", "command line: it holds '\\n'; printable ASCII characters are allowed"),
    (8, {}, "ä", b"", "command line: it holds 'ä'; printable ASCII characters are allowed"),
    (8, dict(initrd_addr_max=3 * MIB), "", bytes(4096),
     "RAM: 8 MiB; kernel X needs at least 4 MiB to unpack itself beside an initramfs of 4,096 bytes")])
def test_what_is_refused(ram, fields, line, initrd, why):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        loader.load(NoMemory(), ram * MIB, BzImage(kernel_file(**fields), "X"), line, initrd)


def test_a_longer_header_than_ours_is_not_invented():
    """Only what the kernel says that its header has goes into boot_params."""
    kernel = BzImage(kernel_file(jump_to=0x60, handover_offset=7, init_size=MIB))
    page = boot_params(kernel.setup, memory_map(8 * MIB), 0x20000)
    assert page[0x202 + 0x60:0x2D0] == bytes(0x2D0 - 0x262)


def test_too_many_areas():
    with pytest.raises(ValueError, match="^map of memory: 129 entries; boot_params hold 128$"):
        boot_params(BzImage(kernel_file()).setup, [Area(0, 1, 1)] * 129, 0)
