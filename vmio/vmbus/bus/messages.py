"""VMBus control messages 1 to 24: what guest and host say to each other before and around the rings.

Every message starts with its number (u32) and 4 bytes of padding.  To the host it
is the payload of HvCallPostMessage, to the guest a SynIC message in SINT 2's
slot; 240 bytes at most.  Public sources: Linux include/linux/hyperv.h and
drivers/hv/connection.c, OpenVMM vm/devices/vmbus/vmbus_core/src/protocol.rs.

    data = OPENCHANNEL.pack(relid=1, open_id=1, gpadl=0xE1E10, downstream_page=32)
    layout, record = parse(data)        # which message it is, and its fields
    record.type == Message.OPENCHANNEL
"""

from collections.abc import Sequence
from enum import IntEnum

from vmio.machine.contracts import Record
from vmio.machine.layout import Field, Layout, guid, guid_bytes, raw, u16, u32, u64, u8

MAX_MESSAGE = 240   # bytes: the payload of one SynIC message
MESSAGE_TYPE = 1    # the SynIC message type that carries these
VMBUS_SINT = 2

# Connection ids of the bus itself (include/linux/hyperv.h)
MESSAGE_CONNECTION = 1        # everything after contact, and contact below 5.0
EVENT_CONNECTION = 2          # the legacy interrupt page
MONITOR_CONNECTION = 3
CONTACT_CONNECTION = 4        # INITIATE_CONTACT from 5.0 on

NO_INTERRUPTS = 0xFFFFFFFF    # target VP of a channel that is polled
FIRST_GPADL = 0xE1E10         # where Linux starts to count its GPADL handles


def version(major: int, minor: int) -> int:
    """Return a protocol version as it travels."""
    return major << 16 | minor


def version_text(value: int) -> str:
    """0x50003 -> "5.3"."""
    return f"{value >> 16}.{value & 0xFFFF}"


WIN7, WIN8 = version(1, 1), version(2, 4)
V3_0, V4_0, V4_1 = version(3, 0), version(4, 0), version(4, 1)
V5_0, V5_1, V5_2, V5_3, V6_0 = version(5, 0), version(5, 1), version(5, 2), version(5, 3), version(6, 0)
LINUX_VERSIONS = (V5_3, V5_2, V5_1, V5_0, V4_1, V4_0, V3_0, WIN8)  # in the order in which Linux asks
_VERSIONS = {value: version_text(value) for value in (version(0, 13), WIN7, V6_0, *LINUX_VERSIONS)}


class Message(IntEnum):
    """The numbers of the control messages; each names its layout below."""

    OFFERCHANNEL = 1
    RESCIND_CHANNELOFFER = 2
    REQUESTOFFERS = 3
    ALLOFFERS_DELIVERED = 4
    OPENCHANNEL = 5
    OPENCHANNEL_RESULT = 6
    CLOSECHANNEL = 7
    GPADL_HEADER = 8
    GPADL_BODY = 9
    GPADL_CREATED = 10
    GPADL_TEARDOWN = 11
    GPADL_TORNDOWN = 12
    RELID_RELEASED = 13
    INITIATE_CONTACT = 14
    VERSION_RESPONSE = 15
    UNLOAD = 16
    UNLOAD_RESPONSE = 17
    OPEN_RESERVED = 18
    CLOSE_RESERVED = 19
    CLOSE_RESERVED_RESPONSE = 20
    TL_CONNECT_REQUEST = 21
    MODIFYCHANNEL = 22
    TL_CONNECT_RESULT = 23
    MODIFYCHANNEL_RESPONSE = 24


NAMES = {message.value: message.name for message in Message}
LAYOUTS: dict[int, Layout] = {}  # number -> its layout


def _message(number: Message, *fields: Field, form: str = "", **options: str) -> Layout:
    """Declare one message: header and body.  A number may have several forms; the first is the one `parse` uses."""
    head = u32("type", default=number.value, names=NAMES), u32("padding")
    layout = Layout(number.name + form, *head, *fields, **options)
    LAYOUTS.setdefault(number.value, layout)
    return layout


OFFERCHANNEL = _message(
    Message.OFFERCHANNEL,
    guid("interface_type", "class of device"), guid("instance"), u64("reserved1"), u64("reserved2"),
    u16("flags", "1 = a device of its own (disk, NIC)"), u16("mmio_megabytes"), raw("user", 120),
    u16("subchannel", "0 = primary"), u16("mmio_optional"), u32("relid", "channel id, 1 to 2047"),
    u8("monitor_id"), u8("monitor_allocated"), u16("dedicated_interrupt", "1 = no legacy interrupt page"),
    u32("connection_id", "for HvCallSignalEvent"))
RESCIND_CHANNELOFFER = _message(Message.RESCIND_CHANNELOFFER, u32("relid"))
REQUESTOFFERS = _message(Message.REQUESTOFFERS)
ALLOFFERS_DELIVERED = _message(Message.ALLOFFERS_DELIVERED)
OPENCHANNEL = _message(
    Message.OPENCHANNEL,
    u32("relid"), u32("open_id", "echoed in the result"), u32("gpadl", "both rings"), u32("target_vp"),
    u32("downstream_page", "where the host->guest ring starts, in 4 KiB pages"), raw("user", 120))
OPENCHANNEL_RESULT = _message(Message.OPENCHANNEL_RESULT, u32("relid"), u32("open_id"), u32("status", "0 = open"))
CLOSECHANNEL = _message(Message.CLOSECHANNEL, u32("relid"))
# A GPADL (guest physical address descriptor list) makes guest pages known to the host.  `pages` of the header is
# the start of one buffer of ranges, {u32 byte count, u32 byte offset, u64 page numbers...}, that the bodies go on with.
GPADL_HEADER = _message(
    Message.GPADL_HEADER,
    u32("relid"), u32("gpadl", "handle, chosen by the guest"), u16("range_bytes", "sum over ranges of 8 + 8 x pages"),
    u16("ranges"), u32("byte_count"), u32("byte_offset"), tail="pages", each="Q")
GPADL_BODY = _message(Message.GPADL_BODY, u32("number"), u32("gpadl"), tail="pages", each="Q")
GPADL_CREATED = _message(Message.GPADL_CREATED, u32("relid"), u32("gpadl"), u32("status", "0 = mapped"))
GPADL_TEARDOWN = _message(Message.GPADL_TEARDOWN, u32("relid"), u32("gpadl"))
GPADL_TORNDOWN = _message(Message.GPADL_TORNDOWN, u32("gpadl"))
RELID_RELEASED = _message(Message.RELID_RELEASED, u32("relid"))
INITIATE_CONTACT = _message(
    Message.INITIATE_CONTACT,
    u32("version", names=_VERSIONS), u32("target_vp", "the VP that gets the host's messages"),
    u8("sint", default=VMBUS_SINT), u8("vtl"), u16("reserved"), u32("features", "0 before 6.0"),
    u64("monitor_page1", "host->guest"), u64("monitor_page2", "guest->host"))
INITIATE_CONTACT_OLD = _message(  # up to 4.1: an interrupt page where SINT, VTL and features are now
    Message.INITIATE_CONTACT,
    u32("version", names=_VERSIONS), u32("target_vp"), u64("interrupt_page"),
    u64("monitor_page1", "host->guest"), u64("monitor_page2", "guest->host"), form="_OLD")
VERSION_RESPONSE = _message(
    Message.VERSION_RESPONSE,
    u8("supported"), u8("state", "0 ok, 1 low on resources, 2 failed"), u16("reserved"),
    u32("connection_id", "post here from now on (before 5.0: the version)"))
UNLOAD = _message(Message.UNLOAD)
UNLOAD_RESPONSE = _message(Message.UNLOAD_RESPONSE)
OPEN_RESERVED = _message(
    Message.OPEN_RESERVED, u32("relid"), u32("target_vp"), u32("target_sint"), u32("gpadl"), u32("downstream_page"))
CLOSE_RESERVED = _message(Message.CLOSE_RESERVED, u32("relid"), u32("target_vp"), u32("target_sint"))
CLOSE_RESERVED_RESPONSE = _message(Message.CLOSE_RESERVED_RESPONSE, u32("relid"))
TL_CONNECT_REQUEST = _message(Message.TL_CONNECT_REQUEST, guid("endpoint"), guid("service"))
MODIFYCHANNEL = _message(Message.MODIFYCHANNEL, u32("relid"), u32("target_vp"))
TL_CONNECT_RESULT = _message(Message.TL_CONNECT_RESULT, guid("endpoint"), guid("service"), u32("status"))
MODIFYCHANNEL_RESPONSE = _message(Message.MODIFYCHANNEL_RESPONSE, u32("relid"), u32("status"))

HEADER = Layout("HEADER", u32("type", names=NAMES), u32("padding"))
# The least a peer may send.  A longer message is accepted and clipped, as OpenVMM does for UEFI's clients.
# A GPADL_HEADER counts from its first range on; without a page number it is refused later, by its content.
MINIMUM = {number: layout.size for number, layout in LAYOUTS.items()}

HEADER_PAGES = (MAX_MESSAGE - GPADL_HEADER.size) // 8  # 26 page numbers fit in a header,
BODY_PAGES = (MAX_MESSAGE - GPADL_BODY.size) // 8      # 28 in each body

# Offer flags
ENUMERATE_DEVICE, CONFIDENTIAL_RING, CONFIDENTIAL_MEMORY, NAMED_PIPE, HVSOCK = 0x1, 0x2, 0x4, 0x10, 0x2000

# Class GUIDs (include/linux/hyperv.h)
SCSI_CLASS = guid_bytes("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f")
NIC_CLASS = guid_bytes("f8615163-df3e-46c5-913f-f2d2f965ed0e")
IDE_CLASS = guid_bytes("32412632-86cb-44a2-9b5c-50d1417354f5")
PCI_CLASS = guid_bytes("44c4f61d-4444-4400-9d52-802e27ede19f")
MEMORY_CLASS = guid_bytes("525074dc-8985-46e2-8057-a307dc18a502")
SHUTDOWN_CLASS = guid_bytes("0e0b6031-5213-4934-818b-38d90ced39db")
TIMESYNC_CLASS = guid_bytes("9527e630-d0ae-497b-adce-e80ab0175caf")
HEARTBEAT_CLASS = guid_bytes("57164f39-9115-4e78-ab55-382f3bd5422d")
KVP_CLASS = guid_bytes("a9a0f4e7-5a45-4d96-b827-8a841e8c03e6")
CLASS_NAMES = {SCSI_CLASS: "SCSI", NIC_CLASS: "NIC", IDE_CLASS: "IDE", PCI_CLASS: "PCI", MEMORY_CLASS: "memory",
               SHUTDOWN_CLASS: "shutdown", TIMESYNC_CLASS: "time sync", HEARTBEAT_CLASS: "heartbeat", KVP_CLASS: "KVP"}


class UnknownMessage(ValueError):
    """A control message with a number that isn't declared: `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"control message {number} is unknown")
        self.number = number


def parse(data: bytes) -> tuple[Layout, Record]:
    """(layout, record) of a control message.  `UnknownMessage`, or `ShortMessage` for fewer bytes than it has."""
    number = HEADER.parse(data).type
    layout = LAYOUTS.get(number)
    if layout is None:
        raise UnknownMessage(number)
    return layout, layout.parse(data)


def draw(data: bytes) -> str:
    """Return any control message as a table."""
    return parse(data)[0].draw(data)


def gpadl_messages(relid: int, handle: int, pages: Sequence[int], byte_count: int | None = None,
                   byte_offset: int = 0) -> list[bytes]:
    """Return the messages that describe `pages` (guest page numbers) as one range: a header and as many bodies as it takes."""
    byte_count = len(pages) * 4096 if byte_count is None else byte_count
    messages = [GPADL_HEADER.pack(relid=relid, gpadl=handle, range_bytes=8 + 8 * len(pages), ranges=1,
                                  byte_count=byte_count, byte_offset=byte_offset, pages=pages[:HEADER_PAGES])]
    for number, at in enumerate(range(HEADER_PAGES, len(pages), BODY_PAGES)):
        messages.append(GPADL_BODY.pack(number=number, gpadl=handle, pages=pages[at:at + BODY_PAGES]))
    return messages

