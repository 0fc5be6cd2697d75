"""ACPI's tables, declared once.

Source: ACPI specification 6.5, 5.2.3.2 (generic addresses), 5.2.5.3 (RSDP), 5.2.6 (headers), 5.2.9 (FADT), 5.2.10 (FACS), 5.2.12 (MADT).
"""

from collections.abc import Callable

from vmio.machine.layout import Field, Layout, placed, raw, u8, u16, u32, u64

RSDP = Layout("RSDP", raw("signature", 8, default=b"RSD PTR "), u8("checksum", "of the first 20 bytes"), raw("oem_id", 6),
              u8("revision", default=2), u32("rsdt"), u32("length", default=36), u64("xsdt"), u8("extended_checksum", "of all"),
              raw("reserved", 3))
FIRST_RSDP = 20                              # bytes of its first version

HEADER = Layout("DESCRIPTION_HEADER", raw("signature", 4), u32("length"), u8("revision"), u8("checksum"), raw("oem_id", 6),
                raw("oem_table_id", 8), u32("oem_revision"), raw("creator_id", 4), u32("creator_revision"))

ADDRESS = Layout("GENERIC_ADDRESS", u8("space", "0 memory, 1 ports"), u8("bits"), u8("offset"), u8("access", "2: of 16 bits"), u64("address"))
PORTS, WORDS = 1, 2

def _space(name: str, item: int, word: Callable[..., Field]) -> Layout:
    """An address space descriptor whose addresses are `word`s (6.4.3.5.1 to 6.4.3.5.3); its length counts what follows it."""
    body = 3 + 5 * word("").size
    return Layout(name, u8("item", default=item), u16("length", default=body), u8("type", "0: memory, 1: ports, 2: bus numbers"),
                  u8("flags", "first and last address are fixed", default=0x0C), u8("type_flags"), word("granularity"), word("first"),
                  word("last"), word("translation"), word("count"))


QWORD_SPACE, DWORD_SPACE, WORD_SPACE = (_space(*each) for each in (
    ("QWORD_ADDRESS_SPACE", 0x8A, u64), ("DWORD_ADDRESS_SPACE", 0x87, u32), ("WORD_ADDRESS_SPACE", 0x88, u16)))
SPACE_MEMORY, SPACE_PORTS, SPACE_BUSES = 0, 1, 2
READ_WRITE, ENTIRE_RANGE = 1, 3              # type_flags of memory; of ports

MADT = Layout("MADT", u32("local_apic", default=0xFEE0_0000), u32("flags", "1: there are two PICs, too", default=1))
MADT_LOCAL_APIC = Layout("MADT_LOCAL_APIC", u8("type"), u8("length", default=8), u8("processor"), u8("apic"), u32("flags", "1: enabled", default=1))

FACS = placed("FACS", 64, {0: raw("signature", 4, default=b"FACS"), 4: u32("length", default=64), 32: u8("version", default=1)})

# From the end of the header on; revision 3, of 244 bytes with it.
FADT = placed("FADT", 244 - HEADER.size, {at - HEADER.size: field for at, field in {
    36: u32("facs"), 40: u32("dsdt"), 45: u8("profile", "1: a desktop"), 46: u16("sci_irq"), 48: u32("smi_port", "0: always in ACPI mode"),
    56: u32("pm1_event"), 64: u32("pm1_control"), 76: u32("timer"), 88: u8("pm1_event_bytes"), 89: u8("pm1_control_bytes"),
    91: u8("timer_bytes"), 96: u16("c2_latency", "above 100 us: there is none"), 98: u16("c3_latency", "above 1,000 us: there is none"),
    108: u8("century", "where in the CMOS"), 109: u16("boot_architecture"), 112: u32("flags"), 116: raw("reset", ADDRESS.size),
    128: u8("reset_value"), 132: u64("x_facs"), 140: u64("x_dsdt"), 148: raw("x_pm1_event", ADDRESS.size),
    172: raw("x_pm1_control", ADDRESS.size)}.items()})
LEGACY_DEVICES, KEYBOARD_CONTROLLER = 1 << 0, 1 << 1         # boot_architecture
WBINVD, HALT, NO_POWER_BUTTON, NO_SLEEP_BUTTON, RESET_REGISTER = 1 << 0, 1 << 2, 1 << 4, 1 << 5, 1 << 10    # flags
