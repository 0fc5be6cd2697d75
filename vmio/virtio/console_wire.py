"""A virtio console's configuration space and features.  Declarations only.  Source: VIRTIO 1.2, 5.3 "Console Device"."""

from vmio.machine.layout import Layout, u16, u32

TYPE = 3                                    # of device
SIZE, MULTIPORT, EMERG_WRITE = 1 << 0, 1 << 1, 1 << 2        # features (5.3.3)
RECEIVE, TRANSMIT = 0, 1                    # queues of port 0 (5.3.2)

CONFIG = Layout("virtio_console_config", u16("cols", "characters"), u16("rows", "characters"), u32("max_nr_ports", "with MULTIPORT"),
                u32("emerg_wr", "a character that is written at once"))
