"""A kernel's file is read, and what can't be started gets a sentence that says why."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernel_file import CODE, kernel_file
from vmio.firmware.boot_wire import HEADER_AT, SETUP_HEADER
from vmio.firmware.bzimage import BzImage


def test_the_setup_header_is_where_the_documentation_has_it():
    """Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header": offset of each field in the file."""
    named = dict(setup_sects=0x1F1, root_flags=0x1F2, syssize=0x1F4, ram_size=0x1F8, vid_mode=0x1FA, root_dev=0x1FC, boot_flag=0x1FE,
                 jump=0x200, header=0x202, version=0x206, realmode_swtch=0x208, start_sys_seg=0x20C, kernel_version=0x20E,
                 type_of_loader=0x210, loadflags=0x211, setup_move_size=0x212, code32_start=0x214, ramdisk_image=0x218,
                 ramdisk_size=0x21C, bootsect_kludge=0x220, heap_end_ptr=0x224, ext_loader_ver=0x226, ext_loader_type=0x227,
                 cmd_line_ptr=0x228, initrd_addr_max=0x22C, kernel_alignment=0x230, relocatable_kernel=0x234, min_alignment=0x235,
                 xloadflags=0x236, cmdline_size=0x238, hardware_subarch=0x23C, hardware_subarch_data=0x240, payload_offset=0x248,
                 payload_length=0x24C, setup_data=0x250, pref_address=0x258, init_size=0x260, handover_offset=0x264,
                 kernel_info_offset=0x268)
    assert {name: HEADER_AT + field.offset for name, field in SETUP_HEADER.by_name.items() if name != "jump_to"} == named
    assert HEADER_AT + SETUP_HEADER.size == 0x26C


def test_a_kernel():
    kernel = BzImage(kernel_file())
    assert (kernel.version, kernel.protected, kernel.address, kernel.room) == ("6.1.0-test", CODE, 2 << 20, 1 << 20)
    assert kernel.setup[0x202 - HEADER_AT:][:4] == b"HdrS" and len(kernel.setup) == SETUP_HEADER.size


def test_what_follows_the_kernel_is_no_part_of_it():
    assert BzImage(kernel_file() + b"a signature").protected == CODE      # of Secure Boot


def test_the_last_bytes_of_it_may_be_left_out():
    """Its size counts 16 bytes: memtest86+ 6.10 ends 8 bytes before."""
    assert BzImage(kernel_file()[:-15]).protected == CODE[:-15] + bytes(15)


def test_no_sectors_mean_four():
    assert BzImage(kernel_file(setup_sects=0)).protected == CODE


@pytest.mark.parametrize("fields, address", [
    (dict(pref_address=(2 << 20) + 1), 3 << 20), (dict(pref_address=0x1000000, kernel_alignment=0x200000), 0x1000000),
    (dict(pref_address=0x123456, relocatable_kernel=0, kernel_alignment=0), 0x123456)])
def test_where_it_wants_to_lie(fields, address):
    assert BzImage(kernel_file(**fields)).address == address


def test_what_is_larger_than_it_asks_for():
    """memtest86+ has no payload, and asks for less than the whole of its file."""
    assert BzImage(kernel_file(payload_length=0, payload_offset=0, init_size=16)).room == len(CODE)


def test_a_text_that_is_none():
    assert BzImage(kernel_file(kernel_version=0)).version == ""
    assert BzImage(kernel_file(kernel_version=0x100 + 10)).version == ""
    assert BzImage(kernel_file(kernel_version=0x100 + 11)).version == "?...."
    assert BzImage(kernel_file(kernel_version=0xFFFF)).version == ""       # outside the file


@pytest.mark.parametrize("data, why", [
    (b"", "kernel X: 0 bytes are no kernel; a bzImage has at least 620"),
    (b"\x7fELF" + bytes(100), "kernel X: 104 bytes are no kernel; a bzImage has at least 620; this is an ELF file (a vmlinux?)"),
    (bytes(5000), "kernel X: no kernel: a bzImage has 'HdrS' at 202h and AA55h at 1FEh"),
    (b"!<arch>\n" + bytes(5000), "kernel X: no kernel: a bzImage has 'HdrS' at 202h and AA55h at 1FEh; this is an archive (a .deb?)"),
    (kernel_file(boot_flag=0), "kernel X: no kernel: a bzImage has 'HdrS' at 202h and AA55h at 1FEh"),
    (kernel_file(loadflags=0), "kernel X: a zImage for low memory; a bzImage is needed"),
    (kernel_file(xloadflags=0), "kernel X: a kernel for 32-bit processors (boot protocol 2.15); one with a 64-bit entry is needed"),
    (kernel_file(version=0x20B), "kernel X: a kernel for 32-bit processors (boot protocol 2.11); one with a 64-bit entry is needed"),
    (kernel_file()[:-16], "kernel X: truncated: 2,032 bytes, its header speaks of 2,048"),
    (kernel_file(syssize=1 << 31), "kernel X: truncated: 2,048 bytes, its header speaks of 34,359,739,392"),
    (kernel_file(payload_length=1009), "kernel X: damaged: its payload of 1,009 bytes ends behind its protected-mode part"),
    (kernel_file(kernel_alignment=0), "kernel X: damaged: its alignment is 0x0, no power of two"),
    (kernel_file(kernel_alignment=0x30000), "kernel X: damaged: its alignment is 0x30000, no power of two"),
    (kernel_file(init_size=1023), "kernel X: damaged: it asks for 1,023 bytes of memory, less than it has itself")])
def test_what_is_refused(data, why):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        BzImage(data, "X")


@given(st.one_of(st.binary(max_size=4096), st.tuples(st.sampled_from(sorted(SETUP_HEADER.by_name)), st.binary(min_size=8, max_size=8))))
def test_whatever_it_is_it_is_read_or_refused(made):
    if isinstance(made, tuple):
        name, value = made
        data = bytearray(kernel_file())
        at, size = SETUP_HEADER.at(name)
        data[HEADER_AT + at:HEADER_AT + at + size] = (value * size)[:size]
        made = bytes(data)
    try:
        kernel = BzImage(made)
    except ValueError as error:
        assert str(error).startswith("kernel: ") and "\n" not in str(error)
    else:
        assert kernel.protected and kernel.room >= len(kernel.protected)
