"""NVSP, the network protocol's outer layer: what stands in the channel's records of a split network card.

Each message is a type and a body; it travels as an in-band payload or as the payload of a completion.  A guest may send
more bytes than a message has (Linux always sends 40); the host's have the agreed version's size.

Public sources: Linux drivers/net/hyperv/hyperv_net.h and netvsc.c; OpenVMM vm/devices/net/netvsp/src/protocol.rs.
"""

from enum import IntEnum

from vmio.machine.bits import BitLayout, bit
from vmio.machine.layout import Field, Layout, u16, u32, u64


class Nvsp(IntEnum):
    """Types of messages."""

    INIT = 1
    INIT_COMPLETE = 2
    SEND_NDIS_VER = 100
    SEND_RECV_BUF = 101
    SEND_RECV_BUF_COMPLETE = 102
    REVOKE_RECV_BUF = 103
    SEND_SEND_BUF = 104
    SEND_SEND_BUF_COMPLETE = 105
    REVOKE_SEND_BUF = 106
    SEND_RNDIS_PKT = 107
    SEND_RNDIS_PKT_COMPLETE = 108
    SEND_NDIS_CONFIG = 125
    SEND_VF_ASSOCIATION = 128
    SWITCH_DATA_PATH = 129
    SUBCHANNEL = 133
    SEND_INDIRECTION_TABLE = 134


V1, V2, V4, V5, V6, V6_1 = 0x00002, 0x30002, 0x40000, 0x50000, 0x60000, 0x60001
VERSIONS = (V6_1, V6, V5, V4, V2, V1)        # in the order in which Linux asks
SINCE = {Nvsp.SEND_NDIS_CONFIG: V2, Nvsp.SEND_VF_ASSOCIATION: V4, Nvsp.SWITCH_DATA_PATH: V4, Nvsp.SUBCHANNEL: V5,
         Nvsp.SEND_INDIRECTION_TABLE: V5}   # the first version that has it; the others are V1's

def version_text(value: int) -> str:
    """Return a version as people write it: 0x60001 -> "6.1"; the two oldest are 1 and 2 (Linux, drivers/net/hyperv/hyperv_net.h)."""
    first = {V1: "1", V2: "2"}
    return first.get(value) or f"{value >> 16}" + f".{value & 0xFFFF}" * bool(value & 0xFFFF)


SUCCESS, FAILURE, TOO_NEW, TOO_OLD, INVALID_RNDIS, BUSY, UNSUPPORTED = range(1, 8)
STATUSES = {1: "success", 2: "failure", 3: "protocol too new", 4: "protocol too old", 5: "invalid RNDIS packet", 6: "busy",
            7: "unsupported"}

DATA, CONTROL = 0, 1                 # channel types of an RNDIS packet
NO_SECTION = 0xFFFF_FFFF             # it lies in no section of the send buffer
RECEIVE_BUFFER, SEND_BUFFER = 0xCAFE, 0      # ids that Linux gives its buffers
ALLOCATE = 1                         # the only operation on sub-channels
SYNTHETIC, VF = 0, 1                 # data paths
SEND_TABLE = 16                      # entries of the indirection table for sending
MAX_CHANNELS = 64
MAX_RANGES = 375                     # frames in one record to the guest

# What a guest can, of SEND_NDIS_CONFIG; the bits of one 64-bit word.
CAPABILITIES = BitLayout("NDIS_CAPABILITIES", 64, bit("vmq", 0), bit("chimney", 1), bit("sriov", 2), bit("vlan", 3), bit("correlation", 4),
                         bit("teaming", 5), bit("virtual_subnet", 6), bit("rsc", 7))


def size(version: int) -> int:
    """Return how many bytes the host's messages have in a version."""
    return 40 if version >= V6_1 else 28


def _message(kind: Nvsp, *fields: Field) -> Layout:
    return Layout(kind.name, u32("type", default=kind, names={each: each.name for each in Nvsp}), *fields)


HEAD = Layout("NVSP", u32("type", names={each: each.name for each in Nvsp}))
INIT = _message(Nvsp.INIT, u32("min_version"), u32("max_version"))
INIT_COMPLETE = _message(Nvsp.INIT_COMPLETE, u32("version", "deprecated"), u32("max_mdl_chain", default=34), u32("status", names=STATUSES))
NDIS_VER = _message(Nvsp.SEND_NDIS_VER, u32("major"), u32("minor"))
NDIS_CONFIG = _message(Nvsp.SEND_NDIS_CONFIG, u32("mtu", "with the Ethernet header"), u32("reserved"), u64("capabilities"))
RECV_BUF = _message(Nvsp.SEND_RECV_BUF, u32("gpadl"), u16("id"))
RECV_BUF_COMPLETE = _message(Nvsp.SEND_RECV_BUF_COMPLETE, u32("status", names=STATUSES), u32("sections"), u32("offset"),
                             u32("section_bytes"), u32("section_count"), u32("end"))
REVOKE_RECV_BUF = _message(Nvsp.REVOKE_RECV_BUF, u16("id"))
SEND_BUF = _message(Nvsp.SEND_SEND_BUF, u32("gpadl"), u16("id"))
SEND_BUF_COMPLETE = _message(Nvsp.SEND_SEND_BUF_COMPLETE, u32("status", names=STATUSES), u32("section_bytes"))
REVOKE_SEND_BUF = _message(Nvsp.REVOKE_SEND_BUF, u16("id"))
RNDIS_PKT = _message(Nvsp.SEND_RNDIS_PKT, u32("channel_type", "0 data, 1 control"), u32("section", "FFFFFFFF = none", default=NO_SECTION),
                     u32("section_bytes"))
RNDIS_PKT_COMPLETE = _message(Nvsp.SEND_RNDIS_PKT_COMPLETE, u32("status", names=STATUSES))
VF_ASSOCIATION = _message(Nvsp.SEND_VF_ASSOCIATION, u32("allocated"), u32("serial"))
DATA_PATH = _message(Nvsp.SWITCH_DATA_PATH, u32("path", "0 synthetic, 1 VF"))
SUBCHANNEL = _message(Nvsp.SUBCHANNEL, u32("operation", "1 = allocate"), u32("channels"))
SUBCHANNEL_COMPLETE = _message(Nvsp.SUBCHANNEL, u32("status", names=STATUSES), u32("channels", "really allocated"))
INDIRECTION_TABLE = Layout(Nvsp.SEND_INDIRECTION_TABLE.name, u32("type", default=Nvsp.SEND_INDIRECTION_TABLE), u32("entries", default=SEND_TABLE),
                           u32("offset", "from the message's start", default=12), tail="table", each="I")
