"""SCSI's structures that both the disk and a driver know: CDBs, parameter lists, answers.  Declarations only.

Sources: SPC-4 (CDB forms, INQUIRY, sense data, REPORT LUNS), SBC-3 (READ and WRITE, UNMAP, READ CAPACITY, Block Limits).
All of it is big-endian.
"""

from vmio.machine.layout import Field, Layout, raw, u16, u32, u64, u8

READ10, WRITE10, READ16, WRITE16, READ12, READ6 = 0x28, 0x2A, 0x88, 0x8A, 0xA8, 0x08
SYNCHRONIZE, UNMAP, REPORT_LUNS, SERVICE_IN, READ_CAPACITY = 0x35, 0x42, 0xA0, 0x9E, 0x25


def _scsi(name: str, *fields: Field) -> Layout:
    return Layout(name, *fields, order=">")


CDB10 = _scsi("CDB10", u8("operation", names={READ10: "READ(10)", WRITE10: "WRITE(10)", SYNCHRONIZE: "SYNCHRONIZE CACHE(10)",
                                              UNMAP: "UNMAP"}),
              u8("flags"), u32("lba"), u8("group"), u16("blocks"), u8("control"))
CDB12 = _scsi("CDB12", u8("operation"), u8("flags"), u32("lba"), u32("blocks"), u8("group"), u8("control"))
CDB16 = _scsi("CDB16", u8("operation", names={READ16: "READ(16)", WRITE16: "WRITE(16)"}),
              u8("flags"), u64("lba"), u32("blocks"), u8("group"), u8("control"))
CDB_REPORT_LUNS = _scsi("CDB_REPORT_LUNS", u8("operation", default=REPORT_LUNS), u8("reserved1"), u8("select"),
                        raw("reserved2", 3), u32("allocation", "bytes"), u8("reserved3"), u8("control"))
CDB_SERVICE_IN = _scsi("CDB_SERVICE_IN", u8("operation", default=SERVICE_IN), u8("action", default=0x10), u64("lba"),
                       u32("allocation", "bytes"), u8("flags"), u8("control"))

# UNMAP's parameter list with one block descriptor, as VPD page B0h allows no more
UNMAP_LIST = _scsi("UNMAP_LIST", u16("length", "of what follows", default=22), u16("descriptors_length", default=16),
                   u32("reserved1"), u64("lba"), u32("blocks"), u32("reserved2"))

CAPACITY10 = _scsi("CAPACITY10", u32("last", "LBA"), u32("block_bytes"))
CAPACITY16 = _scsi("CAPACITY16", u64("last", "LBA"), u32("block_bytes"), u8("protection"), u8("exponent"),
                   u8("provisioning", "80h LBPME, 40h LBPRZ"), u8("alignment"), raw("reserved", 16))
INQUIRY = _scsi("INQUIRY_DATA", u8("peripheral"), u8("removable"), u8("version"), u8("format", default=2),
                u8("additional", "bytes that follow", default=31), raw("flags", 3), raw("vendor", 8), raw("product", 16),
                raw("revision", 4))
SENSE = _scsi("SENSE_DATA", u8("response", "70h: fixed, of this command; 80h: information is valid"), u8("segment"),
              u8("key"), u32("information", "an LBA"), u8("additional", "bytes that follow", default=10),
              u32("specific"), u8("asc"), u8("ascq"), u8("part"), raw("key_specific", 3))
MODE_HEADER6 = _scsi("MODE_HEADER6", u8("length", "of what follows"), u8("medium"),
                     u8("specific", "80h write-protected, 10h DPO and FUA"), u8("descriptors", "bytes"))
MODE_HEADER10 = _scsi("MODE_HEADER10", u16("length", "of what follows"), u8("medium"), u8("specific"), u8("long", "bit 0: LONGLBA"),
                      u8("reserved"), u16("descriptors", "bytes"))
BLOCK_DESCRIPTOR = _scsi("BLOCK_DESCRIPTOR", u32("blocks", "all ones: too many to say"), u32("block_bytes", "in bits 23:0"))
VPD_HEADER = _scsi("VPD_HEADER", u8("peripheral"), u8("page"), u16("length", "of what follows"))
CHARACTERISTICS = _scsi("BLOCK_CHARACTERISTICS", u16("rotation", "1: nothing rotates"), raw("reserved", 58))
PROVISIONING = _scsi("LOGICAL_BLOCK_PROVISIONING", u8("exponent"), u8("flags", "80h LBPU, 04h LBPRZ"), u8("type", "2: thin"),
                     u8("percentage"))
LUN_LIST = _scsi("LUN_LIST", u32("length", "of what follows"), u32("reserved"))
LUN = _scsi("LUN", u8("method"), u8("number"), raw("reserved", 6))
BLOCK_LIMITS = _scsi("BLOCK_LIMITS", u8("wsnz"), u8("max_compared"), u16("granularity", "blocks"), u32("max_blocks"),
                     u32("best_blocks"), u32("max_prefetched"), u32("max_unmapped", "blocks"),
                     u32("max_descriptors"), u32("unmap_granularity"), u32("unmap_alignment"), u64("max_same"),
                     raw("reserved", 20))
