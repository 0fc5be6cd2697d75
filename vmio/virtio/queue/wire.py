"""How virtqueues lie in memory, little-endian.

Source: VIRTIO 1.2, 2.7 "Split Virtqueues", 2.8 "Packed Virtqueues".
"""

from vmio.machine.layout import Layout, u16, u32, u64

NEXT, WRITE, INDIRECT = 1, 2, 4        # a descriptor's flags (2.7.5, 2.8.1): the chain goes on, the device writes, a table
AVAIL, USED = 1 << 7, 1 << 15          # in a packed ring, whose it is (2.8.1)
NO_INTERRUPT = NO_NOTIFY = 1           # split: flags of the available ring, and of the used ring (2.7.6, 2.7.8)
ENABLE, DISABLE, AT_DESCRIPTOR = 0, 1, 2   # packed: flags of an event area (2.8.14)
WRAP = 1 << 15                         # packed: the wrap counter beside a place in the ring

DESCRIPTOR = Layout("virtq_desc", u64("addr", "guest-physical"), u32("len"), u16("flags"), u16("next", "index, if NEXT"))
USED_ELEMENT = Layout("virtq_used_elem", u32("id", "head of the chain"), u32("len", "bytes written"))
AVAILABLE = Layout("virtq_avail", u16("flags"), u16("idx", "where the next entry goes, runs freely"), tail="ring", each="H")
USED_RING = Layout("virtq_used", u16("flags"), u16("idx", "where the next element goes, runs freely"))
PACKED = Layout("pvirtq_desc", u64("addr", "guest-physical"), u32("len"), u16("id", "of the buffer"), u16("flags"))
EVENT = Layout("pvirtq_event_suppress", u16("place", "in the ring, bit 15 its wrap counter"), u16("flags"))

MAX_SPLIT, MAX_PACKED = 1 << 15, 1 << 15     # entries of a queue (2.7, 2.8)


def split_sizes(size: int) -> tuple[int, int, int]:
    """Return the bytes of a split queue's descriptor table, available ring and used ring, event fields included (2.7)."""
    return 16 * size, 6 + 2 * size, 6 + 8 * size
