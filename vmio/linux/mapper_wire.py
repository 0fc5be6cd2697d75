"""How a device-mapper request and a small program's file lie in bytes, declared once.

Sources: Linux include/uapi/linux/dm-ioctl.h; System V ABI, "Object Files" and "Program Loading" (ELF), with the sizes of its
64-bit form.
"""

from vmio.machine.layout import Layout, placed, raw, u16, u32, u64

DM_IOCTL = Layout("dm_ioctl", u32("major", default=4), u32("minor"), u32("patch"), u32("data_size"), u32("data_start"),
                  u32("target_count"), u32("open_count"), u32("flags"), u32("event"), u32("padding"), u64("device"),
                  raw("name", 128), raw("uuid", 129), raw("data", 7))
DM_TARGET = Layout("dm_target_spec", u64("start", "sector, in 512 bytes"), u64("length", "sectors"), u32("status"),
                   u32("next"), raw("type", 16))        # its parameters follow, a text that ends with a zero
DM_CREATE, DM_SUSPEND, DM_LOAD = 3, 6, 9                # numbers of the ioctls; DM_SUSPEND without a flag resumes


def ioctl(number: int) -> int:
    """Return the number by which the kernel knows a device-mapper ioctl: _IOWR(0xFD, number, struct dm_ioctl)."""
    return 3 << 30 | DM_IOCTL.size << 16 | 0xFD << 8 | number


PROGRAM = placed("Elf64_Ehdr", 64, {0: raw("magic", 7), 16: u16("type", default=2), 18: u16("machine", default=62),
                                    20: u32("version", default=1), 24: u64("entry"), 32: u64("segments", default=64),
                                    52: u16("header_bytes", default=64), 54: u16("segment_bytes", default=56),
                                    56: u16("segment_count", default=1)})       # an executable file, for x86-64
PROGRAM_MAGIC = b"\x7fELF\x02\x01\x01"
SEGMENT = Layout("Elf64_Phdr", u32("type", default=1), u32("flags", "1 execute, 2 write, 4 read"), u64("offset"), u64("address"),
                 u64("physical"), u64("file_bytes"), u64("bytes"), u64("align", default=4096))
