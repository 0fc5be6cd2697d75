"""A virtio balloon's configuration space, features and statistics.  Declarations only.  Source: VIRTIO 1.2, 5.5 "Traditional Memory Balloon Device"."""

from vmio.machine.layout import Layout, u16, u32, u64

TYPE = 5                                    # of device
MUST_TELL_HOST, STATS_VQ, DEFLATE_ON_OOM = 1 << 0, 1 << 1, 1 << 2     # features (5.5.3)
INFLATE, DEFLATE, STATS = 0, 1, 2           # queues (5.5.2)
PAGE_NUMBER = 4                             # bytes of one in a buffer; pages are of 4,096 bytes, whatever the guest's are

CONFIG = Layout("virtio_balloon_config", u32("num_pages", "that the host wants"), u32("actual", "that the driver says it has given"))
STAT = Layout("virtio_balloon_stat", u16("tag"), u64("val"))
SWAP_IN, SWAP_OUT, MAJOR_FAULTS, MINOR_FAULTS, FREE, TOTAL, AVAILABLE, CACHES, HUGE_PAGES, HUGE_FAULTS = range(10)     # tags (5.5.6.4)
STAT_NAMES = ("swap in", "swap out", "major faults", "minor faults", "free", "total", "available", "caches", "huge pages", "huge faults")
