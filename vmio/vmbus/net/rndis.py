"""RNDIS, the inner layer: Ethernet frames with what goes beside them, and requests about the card.

A message is a type, its length, and a body.  Offsets in a body count from the body's first field (from @8).
What goes beside a frame is per-packet information (PPI): blocks of {size, type, offset of the data, data}.

Public sources: Microsoft, "Remote NDIS (RNDIS) specification"; Linux include/linux/rndis.h, drivers/net/hyperv/hyperv_net.h and
rndis_filter.c; OpenVMM vm/devices/net/netvsp/src/rndisprot.rs.
"""

from enum import IntEnum

from vmio.machine.bits import BitLayout, bit, bits
from vmio.machine.layout import Field, Layout, raw, u8, u16, u32


class Rndis(IntEnum):
    """Types of messages; the answer's is the request's with bit 31."""

    PACKET = 1
    INITIALIZE = 2
    HALT = 3
    QUERY = 4
    SET = 5
    RESET = 6
    INDICATE_STATUS = 7
    KEEPALIVE = 8


COMPLETE = 0x8000_0000
NAMES: dict[int, str] = {each: each.name for each in Rndis} | {each | COMPLETE: f"{each.name}_COMPLETE" for each in Rndis}

SUCCESS = 0
INVALID_DATA, BUFFER_TOO_SHORT, INVALID_OID, NOT_SUPPORTED, INVALID_LENGTH, BAD_VERSION = (
    0xC001_0015, 0xC001_0016, 0xC001_0017, 0xC000_00BB, 0xC001_0014, 0xC001_0004)
LINK_UP, LINK_DOWN, LINK_SPEED_CHANGE, NETWORK_CHANGE = 0x4001_000B, 0x4001_000C, 0x4001_0013, 0x4001_0018      # of INDICATE_STATUS


class Oid(IntEnum):
    """What may be asked and set."""

    MAX_FRAME_SIZE = 0x0001_0106
    LINK_SPEED = 0x0001_0107
    VENDOR_ID = 0x0001_010C
    PACKET_FILTER = 0x0001_010E
    MEDIA_CONNECT = 0x0001_0114
    RSS_CAPABILITIES = 0x0001_0203
    RSS_PARAMETERS = 0x0001_0204
    FRIENDLY_NAME = 0x0001_0216
    CONFIG_PARAMETER = 0x0001_021B
    PERMANENT_ADDRESS = 0x0101_0101
    CURRENT_ADDRESS = 0x0101_0102
    OFFLOAD_PARAMETERS = 0xFC01_020C
    OFFLOAD_CAPABILITIES = 0xFC01_020D


DIRECTED, MULTICAST, ALL_MULTICAST, BROADCAST, PROMISCUOUS = 0x1, 0x2, 0x4, 0x8, 0x20     # bits of a packet filter


def _message(kind: int, *fields: Field) -> Layout:
    return Layout("RNDIS_" + NAMES[kind], u32("type", default=kind, names=NAMES), u32("length", "of the whole message"), *fields)


HEAD = Layout("RNDIS", u32("type", names=NAMES), u32("length"))
BODY = HEAD.size            # offsets in bodies count from here
INITIALIZE = _message(Rndis.INITIALIZE, u32("id"), u32("major", default=1), u32("minor"), u32("max_transfer", default=0x4000))
INITIALIZE_COMPLETE = _message(
    Rndis.INITIALIZE | COMPLETE, u32("id"), u32("status"), u32("major", default=1), u32("minor"), u32("device_flags", "1 = connectionless", default=1),
    u32("medium", "0 = 802.3"), u32("max_packets", "in one message", default=8), u32("max_transfer"),
    u32("alignment", "power of two", default=3), u32("af_offset"), u32("af_length"))
HALT = _message(Rndis.HALT, u32("id"))
QUERY = _message(Rndis.QUERY, u32("id"), u32("oid"), u32("data_length"), u32("data_offset", default=20), u32("handle"))
QUERY_COMPLETE = _message(Rndis.QUERY | COMPLETE, u32("id"), u32("status"), u32("data_length"), u32("data_offset", default=16))
SET = _message(Rndis.SET, u32("id"), u32("oid"), u32("data_length"), u32("data_offset", default=20), u32("handle"))
SET_COMPLETE = _message(Rndis.SET | COMPLETE, u32("id"), u32("status"))
RESET = _message(Rndis.RESET, u32("reserved"))
RESET_COMPLETE = _message(Rndis.RESET | COMPLETE, u32("status"), u32("addressing_reset"))
INDICATE_STATUS = _message(Rndis.INDICATE_STATUS, u32("status"), u32("data_length"), u32("data_offset"))
KEEPALIVE = _message(Rndis.KEEPALIVE, u32("id"))
KEEPALIVE_COMPLETE = _message(Rndis.KEEPALIVE | COMPLETE, u32("id"), u32("status"))
PACKET = _message(
    Rndis.PACKET, u32("data_offset"), u32("data_length"), u32("oob_offset"), u32("oob_length"), u32("oob_count"),
    u32("ppi_offset"), u32("ppi_length"), u32("handle"), u32("reserved"))
FIRST_PPI = PACKET.size - BODY       # 36: where per-packet information begins

# Per-packet information.
PPI = Layout("PPI", u32("size", "with its data"), u32("type"), u32("offset", "of its data", default=12), tail="data", each="I")
CHECKSUM, LARGE_SEND, VLAN, HASH = 0, 2, 6, 8
TX_CHECKSUM = BitLayout("TX_CHECKSUM", 32, bit("ipv4", 0), bit("ipv6", 1), bit("tcp", 2), bit("udp", 3), bit("ip_header", 4),
                        bits("transport_offset", 25, 16))
RX_CHECKSUM = BitLayout("RX_CHECKSUM", 32, bit("tcp_failed", 0), bit("udp_failed", 1), bit("ip_failed", 2), bit("tcp_good", 3),
                        bit("udp_good", 4), bit("ip_good", 5), bit("loopback", 6), bit("tcp_invalid", 7), bit("ip_invalid", 8))
LSO_V2 = BitLayout("LSO_V2", 32, bits("mss", 19, 0), bits("transport_offset", 29, 20), bit("type", 30), bit("ipv6", 31))
VLAN_TAG = BitLayout("VLAN_TAG", 32, bits("priority", 2, 0), bit("cfi", 3), bits("vlan", 15, 4))

# Objects in answers and requests about offloads and receive scaling.
OBJECT = Layout("NDIS_OBJECT", u8("type"), u8("revision"), u16("size"))
IS_DEFAULT, IS_RSS_CAPABILITIES, IS_RSS_PARAMETERS, IS_OFFLOAD = 0x80, 0x88, 0x89, 0xA7
TX_TCP4, TX_TCP6, RX_ALL4, RX_ALL6 = 0x155, 0x055, 0x155, 0x055    # IP options 1, TCP options 4, TCP 0x10, UDP 0x40, IP header 0x100
ETHERNET_802_3 = 2                   # the encapsulation
OFFLOAD = Layout(
    "NDIS_OFFLOAD", u8("type", default=IS_OFFLOAD), u8("revision", default=3), u16("size"),
    u32("ip4_tx_encapsulation"), u32("ip4_tx"), u32("ip4_rx_encapsulation"), u32("ip4_rx"),
    u32("ip6_tx_encapsulation"), u32("ip6_tx"), u32("ip6_rx_encapsulation"), u32("ip6_rx"),
    raw("lso1", 16), raw("ipsec1", 28),
    u32("lso4_encapsulation"), u32("lso4_max", "bytes"), u32("lso4_min", "segments"),
    u32("lso6_encapsulation"), u32("lso6_max"), u32("lso6_min"), u32("lso6_options", "1 extension headers, 4 TCP options"), u32("flags"),
    raw("ipsec2", 32), u8("rsc4"), u8("rsc6"), raw("padding", 2), u32("encapsulations"), u32("encapsulated_header"))
OFFLOAD_PARAMETERS = Layout(
    "NDIS_OFFLOAD_PARAMETERS", u8("type", default=IS_DEFAULT), u8("revision", default=3), u16("size"),
    u8("ip4"), u8("tcp4"), u8("udp4"), u8("tcp6"), u8("udp6"), u8("lso1"), u8("ipsec1"), u8("lso4"), u8("lso6"), u8("connection4"), u8("connection6"),
    raw("padding1", 1), u32("flags"), u8("ipsec2"), u8("ipsec2_4"), u8("rsc4"), u8("rsc6"), u8("encapsulated"), u8("encapsulations"), raw("padding2", 2))
NO_CHANGE, OFF, TX_ON, RX_ON, BOTH_ON = range(5)     # of each offload; 2 is "on" for LSO
RSS_CAPABILITIES = Layout("NDIS_RSS_CAPABILITIES", u8("type", default=IS_RSS_CAPABILITIES), u8("revision", default=2), u16("size"),
                          u32("flags"), u32("messages"), u32("queues"), u16("table_entries"), u16("padding"))
RSS_PARAMETERS = Layout(
    "NDIS_RSS_PARAMETERS", u8("type", default=IS_RSS_PARAMETERS), u8("revision", default=2), u16("size"), u16("flags"), u16("base_cpu"),
    u32("hash"), u16("table_bytes"), u16("padding1"), u32("table_offset"), u16("key_bytes"), u16("padding2"), u32("key_offset"),
    u32("masks_offset"), u32("masks"), u32("mask_bytes"))
TABLE_UNCHANGED, KEY_UNCHANGED, HASH_UNCHANGED, RSS_OFF = 0x4, 0x8, 0x2, 0x10        # flags of RSS_PARAMETERS
TOEPLITZ, HASH_IPV4, HASH_TCP_IPV4, HASH_IPV6, HASH_TCP_IPV6 = 0x1, 0x100, 0x200, 0x400, 0x1000
KEY_BYTES, TABLE_ENTRIES = 40, 128
CONFIG_PARAMETER = Layout("RNDIS_CONFIG_PARAMETER", u32("name_offset"), u32("name_length"), u32("kind", "2 = text", default=2),
                          u32("value_offset"), u32("value_length"))
