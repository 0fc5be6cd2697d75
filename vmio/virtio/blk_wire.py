"""A virtio disk's requests and configuration space.  Declarations only.  Source: VIRTIO 1.2, 5.2 "Block Device"."""

from vmio.machine.layout import Layout, placed, raw, u8, u16, u32, u64

TYPE = 2                                    # of device
SIZE_MAX, SEG_MAX, GEOMETRY, RO, BLK_SIZE = 1 << 1, 1 << 2, 1 << 4, 1 << 5, 1 << 6       # features (5.2.3)
FLUSH, TOPOLOGY, CONFIG_WCE, MQ, DISCARD, WRITE_ZEROES = 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14

IN, OUT, FLUSH_REQUEST, GET_ID, DISCARD_REQUEST, WRITE_ZEROES_REQUEST = 0, 1, 4, 8, 11, 13        # types of requests (5.2.6)
OK, IOERR, UNSUPP = 0, 1, 2                 # status
ID_BYTES = 20
UNMAP = 1                                   # flag of a range

HEADER = Layout("virtio_blk_req", u32("type"), u32("ioprio", "reserved"), u64("sector", "of 512 bytes"))
RANGE = Layout("virtio_blk_discard_write_zeroes", u64("sector"), u32("sectors"), u32("flags", "1: may unmap"))
CONFIG = placed("virtio_blk_config", 60, {
    0: u64("capacity", "sectors of 512 bytes"), 8: u32("size_max", "bytes of a piece"), 12: u32("seg_max", "pieces"),
    16: u16("cylinders"), 18: u8("heads"), 19: u8("sectors", "of a track"), 20: u32("blk_size"),
    24: u8("physical_block_exp"), 25: u8("alignment_offset"), 26: u16("min_io_size"), 28: u32("opt_io_size"),
    32: u8("writeback"), 33: raw("unused0", 1), 34: u16("num_queues"), 36: u32("max_discard_sectors"), 40: u32("max_discard_seg"),
    44: u32("discard_sector_alignment"), 48: u32("max_write_zeroes_sectors"), 52: u32("max_write_zeroes_seg"),
    56: u8("write_zeroes_may_unmap"), 57: raw("unused1", 3)})
