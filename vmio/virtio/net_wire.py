"""A virtio network card's frames, configuration space and commands.  Declarations only.  Source: VIRTIO 1.2, 5.1 "Network Device"."""

from vmio.machine.layout import Layout, placed, raw, u8, u16

TYPE = 1                                   # of device
CTRL_GUEST_OFFLOADS, MAC, MRG_RXBUF, STATUS = 1 << 2, 1 << 5, 1 << 15, 1 << 16         # features (5.1.3)
CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_RX_EXTRA, GUEST_ANNOUNCE, CTRL_MAC_ADDR = 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 23
LINK_UP, ANNOUNCE = 1, 2                   # bits of the configuration's status

HEADER = Layout("virtio_net_hdr", u8("flags"), u8("gso_type"), u16("hdr_len"), u16("gso_size"), u16("csum_start"), u16("csum_offset"),
                u16("num_buffers", "chains that a received frame is in"))
CONFIG = placed("virtio_net_config", 8, {0: raw("mac", 6), 6: u16("status")})
COMMAND = Layout("virtio_net_ctrl_hdr", u8("kind"), u8("command"))

RX, ADDRESSES, VLAN, ANNOUNCED, OFFLOADS = 0, 1, 2, 3, 5         # classes of commands (5.1.6.5)
PROMISCUOUS, ALL_MULTI, ALL_UNI, NO_MULTI, NO_UNI, NO_BROADCAST = range(6)      # of class RX, each with a byte: on or off
TABLE_SET, ADDRESS_SET = 0, 1              # of class ADDRESSES
VLAN_ADD, VLAN_REMOVE = 0, 1
ACK, NACK = 0, 1
