"""The structures of PCI's capabilities, and of an entry in an MSI-X table.  Declarations only.

Sources: PCI Local Bus Specification 3.0, 6.8.1 "MSI Capability Structure" and 6.8.2
"MSI-X Capability and Table Structures"; PCI Bus Power Management Interface
Specification 1.2, 3.2; PCI Express Base Specification 2.1, 7.8; PCI Express
SR-IOV 1.1, 3.3.
"""

from vmio.machine.layout import Field, Layout, placed, u8, u16, u32, u64

MSIX_ENTRY = Layout("MSIX_TABLE_ENTRY", u64("address", "of the message"), u32("data"), u32("control", "bit 0: masked"))
MASKED = 1                                              # of `control`

POWER_ID, MSI_ID, EXPRESS_ID, MSIX_ID = 0x01, 0x05, 0x10, 0x11
SRIOV_ID = 0x0010                                       # an extended capability's


def _capability(name: str, id: int, *fields: Field) -> Layout:
    return Layout(name, u8("id", default=id), u8("next", "offset of the next capability"), *fields)


MSIX = _capability("MSIX_CAPABILITY", MSIX_ID, u16("control", "entries less 1; 8000h enable, 4000h function mask"),
                   u32("table", "offset, and the BAR in bits 2:0"), u32("pending", "the same, of the pending bits"))
MSIX_ENABLE, MSIX_FUNCTION_MASK, MSIX_LAST = 0x8000, 0x4000, 0x07FF       # of `control`


def msi(wide: bool, maskable: bool) -> Layout:
    """Return the layout of an MSI capability: `wide` with an address of 64 bits, `maskable` with a mask of 32 vectors."""
    fields = [u16("control", "1 enable"), (u64 if wide else u32)("address"), u16("data")]
    masks = [u16("reserved"), u32("mask"), u32("pending")] if maskable else []
    return _capability("MSI_CAPABILITY", MSI_ID, *fields, *masks)


MSI_ENABLE, MSI_WIDE, MSI_MASKABLE = 0x0001, 0x0080, 0x0100               # of `control`

POWER = _capability("POWER_MANAGEMENT", POWER_ID, u16("capabilities"), u16("control"), u8("bridge"), u8("data"))

EXPRESS = placed("PCI_EXPRESS", 0x3C, {
    0x00: u8("id", default=EXPRESS_ID), 0x01: u8("next"), 0x02: u16("flags", "version, device type"),
    0x04: u32("device"), 0x0C: u32("link"), 0x12: u16("link_status"), 0x24: u32("device_2"), 0x28: u16("device_control_2")})

SRIOV = placed("SRIOV", 0x40, {
    0x00: u16("id", default=SRIOV_ID), 0x02: u16("next", "version in bits 3:0"), 0x08: u16("control"),
    0x0C: u16("initial", "VFs"), 0x0E: u16("total", "VFs"), 0x10: u16("number", "VFs that are enabled"),
    0x14: u16("offset", "of the first VF's requester id"), 0x16: u16("stride"), 0x1A: u16("device", "id of a VF"),
    0x1C: u32("page_sizes"), 0x20: u32("page_size"), **{0x24 + 4 * n: u32(f"bar{n}") for n in range(6)}})
