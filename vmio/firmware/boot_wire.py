"""What a boot loader and Linux hand each other, declared once.

Sources: Linux Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header") and zero-page.rst,
arch/x86/include/uapi/asm/bootparam.h; for the types of memory the ACPI specification 6.5, 15.
"""

from vmio.machine.layout import Layout, placed, raw, u8, u16, u32, u64

HEADER_AT = 0x1F1                  # of the setup header, in the file and in boot_params
SECTOR = 512
BOOT_FLAG, MAGIC = 0xAA55, b"HdrS"
LEAST_PROTOCOL = 0x20C             # 2.12: `xloadflags` is there
LOADED_HIGH = 1 << 0               # loadflags: the protected-mode part belongs at 1 MiB or above, a bzImage
KERNEL_64 = 1 << 0                 # xloadflags: there is a 64-bit entry, 200h behind the start
ENTRY_64 = 0x200
OTHER_LOADER = 0xFF                # type_of_loader: one without a number of its own

SETUP_HEADER = Layout(
    "setup_header", u8("setup_sects", "sectors of real-mode code, 0 means 4"), u16("root_flags"),
    u32("syssize", "of the protected-mode part, in 16 bytes"), u16("ram_size"), u16("vid_mode"), u16("root_dev"), u16("boot_flag"),
    u8("jump", "a short jump over the header"), u8("jump_to", "the header ends so far behind 202h"), raw("header", 4),
    u16("version", "of the protocol"), u32("realmode_swtch"), u16("start_sys_seg"), u16("kernel_version", "200h before its text"),
    u8("type_of_loader"), u8("loadflags"), u16("setup_move_size"), u32("code32_start"), u32("ramdisk_image"), u32("ramdisk_size"),
    u32("bootsect_kludge"), u16("heap_end_ptr"), u8("ext_loader_ver"), u8("ext_loader_type"), u32("cmd_line_ptr"),
    u32("initrd_addr_max", "the highest address of the initramfs"), u32("kernel_alignment"), u8("relocatable_kernel"), u8("min_alignment"),
    u16("xloadflags"), u32("cmdline_size", "the longest command line, without its zero"), u32("hardware_subarch"),
    u64("hardware_subarch_data"), u32("payload_offset", "in the protected-mode part"), u32("payload_length"), u64("setup_data"),
    u64("pref_address"), u32("init_size", "what the kernel needs from where it is loaded"), u32("handover_offset"), u32("kernel_info_offset"))
JUMP_FROM = 0x202                  # `jump_to` counts from here

SETUP_DATA = Layout("setup_data", u64("next", "0: the last"), u32("type"), u32("len", "bytes that follow"))
SETUP_RNG_SEED = 9                 # what follows is a seed for the kernel's random numbers

E820_RAM, E820_RESERVED = 1, 2
E820_ENTRY = Layout("boot_e820_entry", u64("address"), u64("length"), u32("type"))
E820_AT, E820_MOST = 0x2D0, 128

BOOT_PARAMS = placed("boot_params", 4096, {
    0x070: u64("acpi_rsdp_addr"), 0x1E8: u8("e820_entries"), 0x1EF: u8("sentinel", "0: all fields are meant"),
    HEADER_AT: raw("header", SETUP_HEADER.size), E820_AT: raw("e820_table", E820_MOST * E820_ENTRY.size)})
