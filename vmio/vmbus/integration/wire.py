"""The messages of the integration services: declarations only.

Each message is one in-band record of a channel in pipe mode: a pipe's header, a header, and what the service says.  An answer is the
request itself, sent back with the flag that says so, a status, and what the guest has filled in.

Public sources: Linux include/linux/hyperv.h (icmsg_hdr, icmsg_negotiate and the services' own), include/uapi/linux/hyperv.h
(KVP), drivers/hv/hv_util.c; OpenVMM vm/devices/hyperv_ic_protocol.
"""

from vmio.machine.layout import Layout, raw, u8, u16, u32, u64
from vmio.vmbus.bus.messages import NAMED_PIPE
from vmio.vmbus.bus.packets import PIPE

OFFER_FLAGS, MESSAGE_MODE = NAMED_PIPE, (4).to_bytes(4, "little")      # of the offer: the channel is a pipe of whole messages

NEGOTIATE, HEARTBEAT, KVP, SHUTDOWN, TIME = 0, 1, 2, 3, 4
KINDS = {NEGOTIATE: "versions", HEARTBEAT: "heartbeat", KVP: "KVP", SHUTDOWN: "shutdown", TIME: "time"}
TRANSACTION, REQUEST, RESPONSE = 1, 2, 4

HEADER = Layout("IC_HEADER", u16("framework_major"), u16("framework_minor"), u16("kind", names=KINDS), u16("major"), u16("minor"),
                u16("size", "of what follows"), u32("status", "HRESULT"), u8("transaction"), u8("flags"), raw("reserved", 2))
VERSIONS = Layout("IC_VERSIONS", u16("frameworks"), u16("messages"), u32("reserved"), tail="versions")
VERSION = Layout("IC_VERSION", u16("major"), u16("minor"))
HEADS = PIPE.size + HEADER.size

S_OK, E_FAIL, S_CONT = 0, 0x8000_4005, 0x8007_0103     # done; failed; there are no more
STATUSES = {S_OK: "done", E_FAIL: "failed", S_CONT: "no more"}

FRAMEWORKS = ((1, 0), (3, 0))

FORCE, RESTART = 1, 2               # flags of a shutdown
PLANNED = 0x8000_0000               # a reason
SHUTDOWN_MESSAGE = Layout("IC_SHUTDOWN", u32("reason"), u32("timeout", "seconds"), u32("flags"), raw("text", 2048, "for whom it may concern"))

HEALTHY = 1
HEARTBEAT_MESSAGE = Layout("IC_HEARTBEAT", u64("sequence", "the guest adds 1"), u32("state", "of its applications"), raw("reserved", 28))

SYNC, SAMPLE = 1, 2                 # flags of a time: set the clock; one of many
TICKS_1970 = 116_444_736_000_000_000    # from 1601 to 1970, in 100 ns
TIME_MESSAGE = Layout("IC_TIME", u64("host", "100 ns since 1601, UTC"), u64("reference", "the guest's reference time at that moment, 100 ns"),
                      u8("flags"), u8("leap"), u8("stratum"), raw("reserved", 5))                  # from version 4.0 on
OLD_TIME_MESSAGE = Layout("IC_TIME_OLD", u64("host", "100 ns since 1601, UTC"), u64("guest"), u64("round_trip"), u8("flags"))

GET, SET, DELETE, ENUMERATE = 0, 1, 2, 3
EXTERNAL, GUEST, AUTO = 0, 1, 2     # pools: the host's for the guest, the guest's own, what the guest says of itself
POOLS = {EXTERNAL: "external", GUEST: "guest", AUTO: "auto"}
TEXT = 1                            # a value's type: UTF-16, with its zero
KVP_HEADER = Layout("KVP_HEADER", u8("operation"), u8("pool", names=POOLS), u16("padding"))
KEY_BYTES, VALUE_BYTES = 512, 2048
KVP_VALUE = Layout("KVP_VALUE", u32("type"), u32("key_size"), u32("value_size"), raw("key", KEY_BYTES), raw("value", VALUE_BYTES))
KVP_KEY = Layout("KVP_KEY", u32("key_size"), raw("key", KEY_BYTES))
KVP_INDEX = Layout("KVP_INDEX", u32("index"))
KVP_BYTES = 7432                    # of the largest message that there is (addresses): all are sent in as many
