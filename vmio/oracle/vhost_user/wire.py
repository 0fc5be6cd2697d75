"""vhost-user's messages, byte for byte: numbers, flags, payloads.

Source: QEMU, docs/interop/vhost-user.rst, "Message Specification" and "Front-end message types".  A message is a header of
12 bytes and `size` bytes of payload; file descriptors come beside it (SCM_RIGHTS).  Numbers are little-endian here, as on the
machines that QEMU's x86 guests run on.
"""

from enum import IntEnum, IntFlag

from vmio.machine.layout import Layout, u8, u16, u32, u64


class Request(IntEnum):
    """What a front end asks for.  Those that are not named here are answered like numbers that don't exist."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    GET_CONFIG = 24
    SET_CONFIG = 25
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40


class Protocol(IntFlag):
    """Protocol features, those that are offered here."""

    MQ = 1 << 0                     # several queues: GET_QUEUE_NUM
    LOG_SHMFD = 1 << 1              # the dirty log is shared memory
    REPLY_ACK = 1 << 3              # need_reply is heeded
    CONFIG = 1 << 9                 # the device's configuration is asked of the back end
    INFLIGHT_SHMFD = 1 << 12        # what is under way is noted in shared memory
    RESET_DEVICE = 1 << 13
    CONFIGURE_MEM_SLOTS = 1 << 15   # regions come and go one by one
    STATUS = 1 << 16                # the device's status is told


LOG_ALL = 1 << 26                   # feature: note the pages that are written (VHOST_F_LOG_ALL)
PROTOCOL_FEATURES = 1 << 30         # feature: protocol features can be agreed (VHOST_USER_F_PROTOCOL_FEATURES); no guest sees it

VERSION, VERSION_MASK = 1, 3        # bits of a header's flags
REPLY, NEED_REPLY = 1 << 2, 1 << 3
RING_LOGGED = 1                     # flag of SET_VRING_ADDR: writes to the used ring are noted
NO_DESCRIPTOR = 1 << 8              # in SET_VRING_KICK, CALL, ERR: no descriptor comes along
RING_NUMBER = 0xFF
CONFIG_BY_GUEST, CONFIG_BY_MIGRATION = 0, 1     # flags of SET_CONFIG
MAX_QUEUES = 64                 # rings that a back end here may have
MAX_REGIONS = 8                     # of SET_MEM_TABLE
MAX_CONFIG = 256                    # bytes of a device's configuration
MAX_PAYLOAD = 4096                  # more than any message has: who says so has lost the thread
LOG_PAGE = 4096                     # bytes for which the dirty log has a bit

HEADER = Layout("header", u32("request", names={one: one.name for one in Request}), u32("flags"), u32("size", "bytes of payload"))
NUMBER = Layout("number", u64("value"))
STATE = Layout("vring_state", u32("index"), u32("num"))
ADDRESSES = Layout("vring_addresses", u32("index"), u32("flags"), u64("descriptors", "front-end address"), u64("used", "front-end address"),
                   u64("available", "front-end address"), u64("log", "guest address of the used ring"))
TABLE = Layout("memory_table", u32("count"), u32("padding"))
REGION = Layout("memory_region", u64("guest", "guest address"), u64("size"), u64("user", "front-end address"), u64("offset", "in its file"))
ONE_REGION = Layout("one_memory_region", u64("padding"), *(u64(field.name, field.doc) for field in REGION.fields))
LOG = Layout("log", u64("size", "bytes"), u64("offset", "in its file"))
CONFIG = Layout("config", u32("offset"), u32("size"), u32("flags"), tail="payload")
INFLIGHT = Layout("inflight", u64("size", "bytes"), u64("offset", "in its file"), u16("queues"), u16("queue_size"))
INFLIGHT_PADDED = 24                # as C lays it out, and QEMU sends it; 20 as it is written

# What is under way: one region a queue ("Inflight I/O tracking").
SPLIT_QUEUE = Layout("inflight_split", u64("features"), u16("version"), u16("desc_num"), u16("last_batch_head"), u16("used_idx"))
SPLIT_ENTRY = Layout("inflight_split_entry", u8("inflight"), *(u8(f"padding{n}") for n in range(5)), u16("next"), u64("counter"))
PACKED_QUEUE = Layout("inflight_packed", u64("features"), u16("version"), u16("desc_num"), u16("free_head"), u16("old_free_head"),
                      u16("used_idx"), u16("old_used_idx"), u8("used_wrap"), u8("old_used_wrap"), *(u8(f"padding{n}") for n in range(7)),
                      *(u8(f"alignment{n}") for n in range(3)))
PACKED_ENTRY = Layout("inflight_packed_entry", u8("inflight"), u8("padding"), u16("next"), u16("last"), u16("num"), u64("counter"),
                      u16("id"), u16("flags"), u32("len"), u64("addr"))
