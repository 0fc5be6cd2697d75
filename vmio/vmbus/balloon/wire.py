"""The dynamic memory protocol: how a host and a guest speak about pages.  Declarations only.

Every message is one in-band record without a completion.  It begins with a header: a type, its size in bytes with the header, and a number
that the guest counts up.  Memory is counted in pages of 4 KiB, whatever pages the guest's processor has, and named in ranges of
64 bits: the first page's number in bits 39:0, how many there are in bits 63:40.

Public source: Linux drivers/hv/hv_balloon.c (the guest that we serve).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

from vmio.machine.contracts import Record
from vmio.machine.layout import Field, Layout, u16, u32, u64


class Message(IntEnum):
    """The types of the messages; each names its layout below."""

    VERSION_REQUEST = 1
    VERSION_RESPONSE = 2
    CAPABILITIES = 3
    CAPABILITIES_RESPONSE = 4
    STATUS_REPORT = 5
    BALLOON = 6
    BALLOON_RESPONSE = 7
    UNBALLOON = 8
    UNBALLOON_RESPONSE = 9
    HOT_ADD = 10
    HOT_ADD_RESPONSE = 11
    INFO = 12


NAMES = {message.value: message.name for message in Message}
V2_0, V1_0, V0_3 = 2 << 16, 1 << 16, 3
LINUX_VERSIONS = (V2_0, V1_0, V0_3)     # in the order in which Linux asks; the last is said to be its last attempt
VERSION_NAMES = {value: f"{value >> 16}.{value & 0xFFFF}" for value in LINUX_VERSIONS}

MAX_MESSAGE = 4096                      # bytes: the guest's buffer for one
LARGE = 512                             # pages: the host asks for multiples of 2 MiB
RING_PAGES = 5                          # of each ring: a control page and 16 KiB
FLAG, ACCEPTED, MORE = 1, 1, 1          # bit 0
ADDED = 1                               # HOT_ADD_RESPONSE: some, or all, or never again
MAX_PAGE_COUNT = 0                      # INFO: the most pages that this guest will ever have


def _message(number: Message, *fields: Field, **options: str) -> Layout:
    """A message with its header, which says its size; who adds ranges says another one."""
    size = 8 + sum(field.size for field in fields)
    return Layout(number.name, u16("type", default=number.value, names=NAMES), u16("size", "with the header", default=size),
                  u32("transaction", "counted by the guest"), *fields, **options)


HEADER = Layout("HEADER", u16("type", names=NAMES), u16("size"), u32("transaction"))
VERSION_REQUEST = _message(Message.VERSION_REQUEST, u32("version", "major << 16 | minor", names=VERSION_NAMES), u32("last", "1: the last attempt"))
VERSION_RESPONSE = _message(Message.VERSION_RESPONSE, u64("accepted"))
CAPABILITIES = _message(Message.CAPABILITIES, u64("capabilities", "1 balloon, 2 hot add, 5:2 its alignment is 2^n MiB"),
                        u64("least", "pages"), u64("last", "page's number", default=(1 << 64) - 1))
CAPABILITIES_RESPONSE = _message(Message.CAPABILITIES_RESPONSE, u64("accepted"))
STATUS_REPORT = _message(Message.STATUS_REPORT, u64("available", "pages"), u64("committed", "pages, those of the balloon among them"),
                         u64("page_file"), u64("free"), u32("page_file_writes"), u32("io_diff"))
BALLOON = _message(Message.BALLOON, u32("pages"), u32("reserved"))
BALLOON_RESPONSE = _message(Message.BALLOON_RESPONSE, u32("reserved"), u32("counts", "0: more follow, 31:1 ranges"), tail="ranges", each="Q")
UNBALLOON = _message(Message.UNBALLOON, u32("more"), u32("count"), tail="ranges", each="Q")
UNBALLOON_RESPONSE = _message(Message.UNBALLOON_RESPONSE)
HOT_ADD = _message(Message.HOT_ADD, u64("range", "what is backed"), tail="region", each="Q")
HOT_ADD_RESPONSE = _message(Message.HOT_ADD_RESPONSE, u32("pages", "that were added"), u32("result"))
INFO = _message(Message.INFO, u32("reserved"), u32("bytes", "of what follows", default=16), u32("kind"), u32("length", default=8), u64("value"))

LAYOUTS = {layout.fields[0].default: layout for layout in (
    VERSION_REQUEST, VERSION_RESPONSE, CAPABILITIES, CAPABILITIES_RESPONSE, STATUS_REPORT, BALLOON, BALLOON_RESPONSE,
    UNBALLOON, UNBALLOON_RESPONSE, HOT_ADD, HOT_ADD_RESPONSE, INFO)}
BALLOONS, HOT_ADDS = 1, 2               # capabilities
MOST_RANGES = (MAX_MESSAGE - BALLOON_RESPONSE.size) // 8        # 510 in a message
_COUNT_BITS, _PAGE_BITS = 24, 40


def pack_range(first: int, count: int) -> int:
    """Return a range's 64 bits.  ValueError for what doesn't fit into 40 and 24 of them."""
    if not 0 <= first < 1 << _PAGE_BITS or not 0 <= count < 1 << _COUNT_BITS:
        raise ValueError(f"range of {count} pages from {first:#x}: 40 bits and 24 bits")
    return count << _PAGE_BITS | first


def unpack_range(word: int) -> tuple[int, int]:
    """Return (first page, pages)."""
    return word & (1 << _PAGE_BITS) - 1, word >> _PAGE_BITS


def with_ranges(layout: Layout, ranges: Iterable[tuple[int, int]], **values: int) -> bytes:
    """Return a message of `ranges`, (first page, pages) each, that says its own size."""
    words = [pack_range(*each) for each in ranges]
    return layout.pack(size=layout.size + 8 * len(words), ranges=words, **values)


def parse(payload: bytes) -> Record:
    """Return the message in a record's payload, which may be longer, as padding comes behind it.

    ValueError for a type that isn't declared, or a size that can't be.
    """
    header = HEADER.parse(payload)          # `ShortMessage` is a ValueError
    layout = LAYOUTS.get(header.type)
    if layout is None:
        raise ValueError(f"message of type {header.type}; 1 to 12 are declared")
    if not layout.size <= header.size <= min(len(payload), MAX_MESSAGE):
        raise ValueError(f"{layout.name} of {header.size} bytes; {layout.size} to {min(len(payload), MAX_MESSAGE)}")
    return layout.parse(payload[:header.size])


def ranges_of(words: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return the first `count` ranges.  ValueError if there are fewer, or more."""
    if len(words) != count:
        raise ValueError(f"{count} ranges announced, {len(words)} are there")
    return [unpack_range(word) for word in words]


def hot_add_alignment(capabilities: int) -> int:
    """Return how many pages the parts of a hot add must have and begin at a multiple of, as a guest has said."""
    return (1 << (capabilities >> 2 & 15)) << 8


def draw(payload: bytes) -> str:
    """Return a message of the protocol as a table; ValueError for a type that isn't declared."""
    record = parse(payload)
    return LAYOUTS[record.type].draw(payload[:record.size])

