"""The virtual PCI protocol: how a guest learns of a passed-through function, and sets it up.  Declarations only.

vPCI carries set-up and nothing else: bus relations, resources, power, interrupts,
eject.  What the guest does with the device goes past it, to the device itself.
Configuration space is a window of two pages in guest-physical memory: a slot
number is stored in the first, the second shows that function's space.

Every payload starts with its message type; an answer, with an NTSTATUS.  Public
sources: Linux drivers/pci/controller/pci-hyperv.c (the guest that we serve),
OpenVMM vm/devices/pci/vpci_protocol and vpci (a host that serves it).
"""

import struct
from enum import IntEnum

from vmio.machine.contracts import Record
from vmio.machine.layout import Field, Layout, raw, u16, u32, u64, u8


class Message(IntEnum):
    """The types of the messages; each names its layout below."""

    BUS_RELATIONS = 0x42490000
    QUERY_BUS_RELATIONS = 0x42490001
    POWER_STATE_CHANGE = 0x42490004
    QUERY_RESOURCE_REQUIREMENTS = 0x42490005
    BUS_D0ENTRY = 0x42490007
    BUS_D0EXIT = 0x42490008
    READ_BLOCK = 0x42490009
    WRITE_BLOCK = 0x4249000A
    EJECT = 0x4249000B
    EJECTION_COMPLETE = 0x4249000F
    RESOURCES_ASSIGNED = 0x42490010
    RESOURCES_RELEASED = 0x42490011
    INVALIDATE_BLOCK = 0x42490012
    QUERY_PROTOCOL_VERSION = 0x42490013
    CREATE_INTERRUPT = 0x42490014
    DELETE_INTERRUPT = 0x42490015
    RESOURCES_ASSIGNED2 = 0x42490016
    CREATE_INTERRUPT2 = 0x42490017
    DELETE_INTERRUPT2 = 0x42490018
    BUS_RELATIONS2 = 0x42490019
    RESOURCES_ASSIGNED3 = 0x4249001A
    CREATE_INTERRUPT3 = 0x4249001B
    RESET_DEVICE = 0x4249001C


NAMES = {message.value: message.name for message in Message}

# NTSTATUS
SUCCESS = 0
UNSUCCESSFUL = 0xC0000001
INVALID_PARAMETER = 0xC000000D
INVALID_DEVICE_REQUEST = 0xC0000010
REVISION_MISMATCH = 0xC0000059
INSUFFICIENT_RESOURCES = 0xC000009A
NO_SUCH_DEVICE = 0xC00000C0
INVALID_DEVICE_STATE = 0xC0000184
STATUSES = {SUCCESS: "success", UNSUCCESSFUL: "unsuccessful", INVALID_PARAMETER: "invalid parameter",
            INVALID_DEVICE_REQUEST: "invalid request", REVISION_MISMATCH: "revision mismatch",
            INSUFFICIENT_RESOURCES: "insufficient resources", NO_SUCH_DEVICE: "no such device",
            INVALID_DEVICE_STATE: "invalid device state"}

V1_1, V1_2, V1_3, V1_4 = 0x10001, 0x10002, 0x10003, 0x10004
LINUX_VERSIONS = (V1_4, V1_3, V1_2, V1_1)   # in the order in which Linux asks

WINDOW, CONFIG_PAGE = 0x2000, 0x1000        # bytes of the configuration window; where in it the space begins
RING_PAGES = 5                              # of each ring: a control page and 16 KiB
D0, D3 = 1, 4                               # device power states, in Windows' numbers
BARS = 6
FIXED, LOWEST_PRIORITY = 0, 1               # delivery modes
MAX_TARGETS = 32                           # vCPUs that an interrupt may name
MAX_MESSAGES = 32                          # of one CREATE_INTERRUPT: what PCI's MSI capability allows
EJECT_NS = 60_000_000_000                   # how long a guest has to let a device go


def slot_number(device: int, function: int = 0) -> int:
    """Device in bits 4:0, function in bits 7:5."""
    return device | function << 5


def _message(number: Message, *fields: Field, **options: str) -> Layout:
    return Layout(number.name, u32("type", default=number.value, names=NAMES), *fields, **options)


def _of_slot(number: Message, *fields: Field, **options: str) -> Layout:
    return _message(number, u32("slot", "device 4:0, function 7:5"), *fields, **options)


STATUS = Layout("STATUS", u32("status", names=STATUSES))

QUERY_PROTOCOL_VERSION = _message(Message.QUERY_PROTOCOL_VERSION, u32("version", "major << 16 | minor"))
VERSION_REPLY = Layout("VERSION_REPLY", u32("status", names=STATUSES), u32("version"))
QUERY_BUS_RELATIONS = _message(Message.QUERY_BUS_RELATIONS)

_FUNCTION = (u16("vendor"), u16("device"), u8("revision"), u8("interface"), u8("subclass"), u8("class_code"),
             u16("subsystem_vendor"), u16("subsystem"), u32("slot"), u32("serial"))
FUNCTION = Layout("FUNCTION", *_FUNCTION)
FUNCTION2 = Layout("FUNCTION2", *_FUNCTION, u32("flags", "1 = NUMA node is valid"), u16("numa_node"), u16("reserved"))
BUS_RELATIONS = _message(Message.BUS_RELATIONS, u32("count"), tail="functions")      # `count` x FUNCTION, up to 1.2
BUS_RELATIONS2 = _message(Message.BUS_RELATIONS2, u32("count"), tail="functions")    # `count` x FUNCTION2, from 1.3 on

QUERY_RESOURCE_REQUIREMENTS = _of_slot(Message.QUERY_RESOURCE_REQUIREMENTS)
REQUIREMENTS = Layout("REQUIREMENTS", u32("status", names=STATUSES),
                      *(u32(f"bar{n}", "what it reads after all ones were written") for n in range(BARS)))

BUS_D0ENTRY = _message(Message.BUS_D0ENTRY, u32("reserved"), u64("window", "guest-physical, two pages"))
BUS_D0EXIT = _message(Message.BUS_D0EXIT)
POWER_STATE_CHANGE = _of_slot(Message.POWER_STATE_CHANGE, u32("state", names={D0: "D0", D3: "D3"}), u32("reserved"))
POWER_REPLY = Layout("POWER_REPLY", u32("status", names=STATUSES), u32("slot"), u32("state"), u32("reserved"))

# Linux leaves the resources themselves 0, and writes the BARs through the window: the message only marks the moment.
RESOURCES_ASSIGNED = _of_slot(Message.RESOURCES_ASSIGNED, raw("memory", 120, "6 descriptors of 20 bytes"),
                              u32("messages"), raw("reserved", 16))
RESOURCES_ASSIGNED2 = _of_slot(Message.RESOURCES_ASSIGNED2, raw("memory", 120, "6 descriptors of 20 bytes"),
                               u32("messages"), raw("reserved", 70))
RESOURCES_RELEASED = _of_slot(Message.RESOURCES_RELEASED)


def _targets() -> tuple[Field, Field]:
    return u16("processors"), raw("processor_array", 2 * MAX_TARGETS, "u16 each")


CREATE_INTERRUPT = _of_slot(Message.CREATE_INTERRUPT, u8("vector"), u8("mode"), u16("count"), u32("reserved"),
                            u64("processor_mask"))
CREATE_INTERRUPT2 = _of_slot(Message.CREATE_INTERRUPT2, u8("vector"), u8("mode"), u16("count"), *_targets())
CREATE_INTERRUPT3 = _of_slot(Message.CREATE_INTERRUPT3, u32("vector"), u8("mode"), u8("reserved"), u16("count"),
                             *_targets())
INTERRUPT_REPLY = Layout("INTERRUPT_REPLY", u32("status", names=STATUSES), u32("reserved1"), u16("reserved2"),
                         u16("count"), u32("data", "for the MSI-X table"), u64("address", "for the MSI-X table"))
DELETE_INTERRUPT = _of_slot(Message.DELETE_INTERRUPT, u16("reserved"), u16("count"), u32("data"), u64("address"))

# HvCallRetargetDeviceInterrupt, a hypercall: the one thing that does not go through the channel, since Linux moves
# interrupts where it can't wait.  `processor_mask` with flags 0; a processor set (flags 2) has a bank mask and banks.
RETARGET_INTERRUPT = 0x7E
THIS_PARTITION = (1 << 64) - 1
SOURCE_MSI, PROCESSOR_SET = 1, 2
RETARGET = Layout("RETARGET", u64("partition"), u64("device"), u32("source"), u32("reserved1"), u32("address"), u32("data"),
                  u64("reserved2"), u32("vector"), u32("flags"), u64("processor_mask", "or the set's format, 0"))

EJECT = _of_slot(Message.EJECT)
EJECTION_COMPLETE = _of_slot(Message.EJECTION_COMPLETE, u32("status", names=STATUSES))
RESET_DEVICE = _of_slot(Message.RESET_DEVICE)

LAYOUTS = {layout.fields[0].default: layout for layout in (
    QUERY_PROTOCOL_VERSION, QUERY_BUS_RELATIONS, BUS_RELATIONS, BUS_RELATIONS2, QUERY_RESOURCE_REQUIREMENTS,
    BUS_D0ENTRY, BUS_D0EXIT, POWER_STATE_CHANGE, RESOURCES_ASSIGNED, RESOURCES_ASSIGNED2, RESOURCES_RELEASED,
    CREATE_INTERRUPT, CREATE_INTERRUPT2, CREATE_INTERRUPT3, DELETE_INTERRUPT, EJECT, EJECTION_COMPLETE, RESET_DEVICE)}


def targets(record: Record) -> tuple[int, ...] | None:
    """Return the vCPU numbers that a CREATE_INTERRUPT of any version names, as a tuple; None if it names too many."""
    if hasattr(record, "processor_mask"):
        return tuple(n for n in range(64) if record.processor_mask >> n & 1)
    if record.processors > MAX_TARGETS:
        return None
    return struct.unpack_from(f"<{record.processors}H", record.processor_array)


def device_id(instance: bytes, slot: int = 0) -> int:
    """Return how the hypercall names a function: bytes 4 to 7 of its bus's instance GUID, and the function number."""
    return instance[5] << 24 | instance[4] << 16 | instance[7] << 8 | instance[6] & 0xF8 | slot >> 5 & 7


def functions(record: Record) -> list[Record]:
    """Return the FUNCTION or FUNCTION2 records of a BUS_RELATIONS message; ShortMessage if it has fewer than it says."""
    layout = FUNCTION2 if record.type == Message.BUS_RELATIONS2 else FUNCTION
    return [layout.parse(record.functions, n * layout.size) for n in range(record.count)]


def draw(payload: bytes) -> str:
    """Return a message of the protocol as a table; KeyError for a type that isn't declared."""
    return LAYOUTS[int.from_bytes(payload[:4], "little")].draw(payload)
