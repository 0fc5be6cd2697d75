"""What a guest and the host's accelerator service say to each other: declarations only.

The shape is that of GPU paravirtualization: the guest has the half of the driver that makes command buffers, the host the half
that owns the device, and memory is named, not addressed.  The messages are ours: those of Windows and of Linux's dxgkrnl are some
hundred, for the same few things.

Source of the shape: learn.microsoft.com, "GPU paravirtualization" (drivers/display); Linux for WSL2, drivers/hv/dxgkrnl/dxgvmbus.h.
"""

from enum import IntEnum

from vmio.machine.layout import Layout, guid_bytes, u32

CLASS_ID = guid_bytes("5d2b7a3e-91c4-4f0e-8a66-3c1f0d7be219")     # nobody's but this course's
VERSION_1 = 1
MAX_COMMANDS = 256             # of one buffer
MAX_MAPPED = 64                # pieces of memory that a guest has named


class Message(IntEnum):
    """Types of messages; an answer has its request's."""

    VERSION = 1
    MAP = 2
    UNMAP = 3
    SUBMIT = 4


class Status(IntEnum):
    """How a request ended."""

    SUCCESS = 0
    NOT_NOW = 1            # no version has been agreed on
    NO_MEMORY = 2          # no such piece of memory, or too many
    REFUSED = 3            # a command that the host does not let through
    FAILED = 4             # the device halted


HEADER = Layout("HEADER", u32("type", names={each: each.name for each in Message}))
VERSION = Layout("VERSION", u32("type", default=Message.VERSION), u32("version"))
CAPABILITIES = Layout("CAPABILITIES", u32("type", default=Message.VERSION), u32("status"), u32("version"), u32("lanes"),
                      u32("sram_bytes"), u32("max_commands"))
MAP = Layout("MAP", u32("type", default=Message.MAP), u32("gpadl"))
UNMAP = Layout("UNMAP", u32("type", default=Message.UNMAP), u32("gpadl"))
SUBMIT = Layout("SUBMIT", u32("type", default=Message.SUBMIT), u32("gpadl", "where the command buffer lies"), u32("offset"),
                u32("commands", "how many"))
ANSWER = Layout("ANSWER", u32("type"), u32("status", names={each: each.name for each in Status}),
                u32("error", "the device's, if it halted"), u32("at", "the command that was refused"))
LAYOUTS = {Message.VERSION: VERSION, Message.MAP: MAP, Message.UNMAP: UNMAP, Message.SUBMIT: SUBMIT}


def place(gpadl: int, offset: int) -> int:
    """Return the word that names `offset` of a piece of memory, where a command has an address."""
    return gpadl << 32 | offset
