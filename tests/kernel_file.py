"""Small files in the form of a bzImage, for tests."""

from vmio.firmware.boot_wire import HEADER_AT, MAGIC, SETUP_HEADER

GOOD = dict(setup_sects=1, boot_flag=0xAA55, jump=0xEB, jump_to=0x6A, header=MAGIC, version=0x20F, kernel_version=0x100,
            loadflags=1, initrd_addr_max=0x7FFF_FFFF, kernel_alignment=1 << 20, relocatable_kernel=1, xloadflags=1, cmdline_size=255,
            payload_offset=16, payload_length=32, pref_address=2 << 20, init_size=1 << 20)
CODE = bytes(range(64)) * 16


def kernel_file(code=CODE, **changed):
    """A kernel whose protected-mode part is `code` (a multiple of 16 bytes), `changed` fields of its header; 1 MiB to unpack at 2 MiB."""
    fields = GOOD | dict(syssize=len(code) // 16) | changed
    start = ((fields["setup_sects"] or 4) + 1) * 512
    data = bytearray(start) + code
    data[HEADER_AT:HEADER_AT + SETUP_HEADER.size] = SETUP_HEADER.pack(**fields)
    if fields["kernel_version"]:
        data[0x300:0x310] = b"6.1.0-test\0\xff...."
    return bytes(data)
