"""What goes over the link: records, each with its length and CRC-32, and at the end a SHA-256 over all of them.

    RECORD HELLO      HELLO, one GUEST for each guest
    RECORD ROUND      number, pages that are dirty when it begins
    RECORD PAGES      for each page a word, GPA | guest << 1 | 1 if the page is all zeros, and its bytes if it is not
    RECORD MISSING    post-copy: words of the pages that come later
    RECORD STATE      the machine without its RAM: JSON, deflated (RFC 1950)
    RECORD MODEL      what only a model has to send: answers that programs were told, sectors that both hosts see
    RECORD END        SHA-256 of all bytes before this record

The format is this package's own.  Its page record is close to QEMU's (migration/ram.c: an address whose low bits are flags).
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum

from vmio.machine.layout import Layout, ShortMessage, raw, u16, u32, u64
from vmio.machine.memory import PAGE

MAGIC, VERSION = b"VMIOMIGR", 1
MAX_GUESTS = 2047             # 11 bits of a page's word
MAX_RECORD = 1 << 30          # bytes of one record; no machine here needs more
ZEROS = bytes(PAGE)


class Kind(IntEnum):
    """What a record is."""

    HELLO, ROUND, PAGES, MISSING, STATE, MODEL, END = range(1, 8)


HELLO = Layout("HELLO", raw("magic", 8, default=MAGIC), u16("version", default=VERSION), u16("guests"), u32("page", "bytes", default=PAGE))
GUEST = Layout("GUEST", u64("ram", "bytes"), raw("name", 56))
ROUND = Layout("ROUND", u32("number"), u32("pages"))
RECORD = Layout("RECORD", u32("kind", names={kind.value: kind.name for kind in Kind}), u32("length"), u32("crc", "CRC-32 of what follows"))
WORD = struct.Struct("<Q")


class StreamRefused(ValueError):
    """What arrived is no stream, not for this machine, or not what was sent; one sentence says which."""


class Writer:
    """Makes the records of one stream."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def record(self, kind: Kind, payload: bytes) -> bytes:
        """Return a record's bytes."""
        data = RECORD.pack(kind=kind, length=len(payload), crc=zlib.crc32(payload)) + payload
        self._digest.update(data)
        return data

    def end(self) -> bytes:
        """Return the last record."""
        return self.record(Kind.END, self._digest.digest())


class Reader:
    """Takes a stream apart as it arrives: `records(data)` yields (kind, payload) of all that are whole by now."""

    def __init__(self) -> None:
        self._digest, self._rest = hashlib.sha256(), b""

    def records(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Yield what is whole; `StreamRefused` for what was changed on its way."""
        self._rest += data
        while len(self._rest) >= RECORD.size:
            head = RECORD.parse(self._rest)
            if head.kind not in set(Kind):
                raise StreamRefused(f"migration: a record of kind {head.kind}; kinds are 1 to {len(Kind)}")
            if head.length > MAX_RECORD:
                raise StreamRefused(f"migration: a record of {head.length:,} bytes; at most {MAX_RECORD:,}")
            end = RECORD.size + head.length
            if len(self._rest) < end:
                return
            payload, record = self._rest[RECORD.size:end], self._rest[:end]
            self._rest = self._rest[end:]
            if zlib.crc32(payload) != head.crc:
                raise StreamRefused(f"migration: a record {Kind(head.kind).name} whose bytes are not those that were sent")
            if head.kind == Kind.END and payload != self._digest.digest():
                raise StreamRefused("migration: the stream's SHA-256 is not that of what arrived")
            self._digest.update(record)
            yield Kind(head.kind), payload


def hello(guests: list[tuple[str, int]]) -> bytes:
    """Return the first record's payload, of (name, bytes of RAM) pairs; ValueError for names that are too long, or too many."""
    if len(guests) > MAX_GUESTS:
        raise ValueError(f"migration: {len(guests)} guests; at most {MAX_GUESTS}")
    return HELLO.pack(guests=len(guests)) + b"".join(GUEST.pack(ram=ram, name=name.encode()) for name, ram in guests)


def guests_of(payload: bytes) -> list[tuple[str, int]]:
    """Return the (name, bytes of RAM) pairs of a HELLO."""
    try:
        head = HELLO.parse(payload)
        if head.magic != MAGIC or head.page != PAGE:
            raise StreamRefused("migration: this is no stream of a migration")
        if head.version != VERSION:
            raise StreamRefused(f"migration: a stream of version {head.version}; version {VERSION} can be read")
        rows = [GUEST.parse(payload, HELLO.size + n * GUEST.size) for n in range(head.guests)]
    except ShortMessage as short:
        raise StreamRefused(f"migration: {short}") from None
    return [(row.name.rstrip(b"\0").decode("utf-8", "replace"), row.ram) for row in rows]


def word(guest: int, page: int, zero: bool = False) -> int:
    """Return a page's word."""
    return page * PAGE | guest << 1 | zero


def page_bytes(guest: int, page: int, data: bytes) -> bytes:
    """Return a page as it goes over the link: 8 bytes if all of it is zeros, else 4,104."""
    return WORD.pack(word(guest, page, True)) if data == ZEROS else WORD.pack(word(guest, page)) + data


def pages_of(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (guest, page, its bytes) of a PAGES record; `StreamRefused` where one is cut off."""
    at = 0
    while at < len(payload):
        if at + WORD.size > len(payload):
            raise StreamRefused("migration: a page's word is cut off")
        value, = WORD.unpack_from(payload, at)
        at += WORD.size
        data = ZEROS
        if not value & 1:
            data, at = payload[at:at + PAGE], at + PAGE
            if len(data) < PAGE:
                raise StreamRefused("migration: a page is cut off")
        yield value >> 1 & MAX_GUESTS, value // PAGE, data


def missing_of(payload: bytes) -> list[tuple[int, int]]:
    """Return the (guest, page) pairs of a MISSING record."""
    if len(payload) % WORD.size:
        raise StreamRefused("migration: the list of missing pages is cut off")
    return [(value >> 1 & MAX_GUESTS, value // PAGE) for value, in WORD.iter_unpack(payload)]
