"""How a .deb file and a module's file lie in bytes, declared once.

Sources: deb(5) and ar(5); System V ABI, "Object Files" (ELF), with the sizes of its 64-bit form.
"""

from vmio.machine.layout import Layout, placed, raw, u16, u32, u64

AR_MAGIC = b"!<arch>\n"
AR_MEMBER = Layout("ar_hdr", raw("name", 16), raw("date", 12), raw("owner", 6), raw("group", 6), raw("mode", 8), raw("size", 10),
                   raw("end", 2))           # texts, filled up with blanks
AR_END = b"`\n"

ELF_MAGIC = b"\x7fELF\x02\x01"             # of 64 bits, little-endian
ELF = placed("Elf64_Ehdr", 64, {0: raw("magic", 6), 40: u64("sections", "where their headers are"), 58: u16("section_bytes"),
                                60: u16("section_count"), 62: u16("names", "the section that holds their names")})
ELF_SECTION = placed("Elf64_Shdr", 64, {0: u32("name"), 24: u64("offset"), 32: u64("size")})
