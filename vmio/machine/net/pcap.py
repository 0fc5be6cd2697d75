"""Captures of frames in files: pcap, both byte orders, microseconds and nanoseconds.

A file is a header of 24 bytes, then records: a header of 16 bytes, and so many bytes of a frame.
Source: draft-ietf-opsawg-pcap, "PCAP Capture File Format", sections 4 and 5.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vmio.machine.contracts import Buffer, FileName, Inputs
from vmio.machine.files import Output
from vmio.machine.net import frames

MAGIC = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}     # {magic: ns in a unit of a record's fraction}
FILE_HEADER, RECORD_HEADER = struct.Struct("IHHiIII"), struct.Struct("IIII")
ETHERNET = 1
LINK_TYPES = {0: "BSD loopback", 101: "raw IP", 105: "802.11", 113: "Linux cooked", 127: "802.11 with radiotap", 276: "Linux cooked 2"}
FCS_PRESENT = 1 << 26       # of the link type's word, whose bits 15:0 alone are the link type
MAX_FILE = 256 << 20        # bytes that are read at once
MAX_RECORD = 256 << 10      # what capture programs keep of a frame at most
SNAP = 262_144
OTHERS = {b"\x0a\x0d\x0d\x0a": ("pcapng", "editcap -F pcap FILE OTHER"), b"\x1f\x8b": ("gzip", "gunzip FILE"),
          b"\x28\xb5\x2f\xfd": ("zstd", "unzstd FILE"), b"\xfd7zXZ": ("xz", "unxz FILE")}


class Captured(NamedTuple):
    """One frame, and when it was seen, in ns since 1970."""

    ns: int
    frame: bytes


def load(path: FileName) -> list[Captured]:
    """Return the frames of the capture in a file, in its order.

    ValueError, one sentence that names the file: it is no pcap, of another link type than
    Ethernet, cut, empty, or a frame of it is a runt, a jumbo, or not whole.
    """
    with open(path, "rb") as file:
        data = file.read(MAX_FILE + 1)
    return parse(data, f"capture {path!s}")


def parse(data: Buffer, name: str = "capture") -> list[Captured]:
    """Return the frames of a capture in memory; `name` begins each sentence of a ValueError."""
    if len(data) > MAX_FILE:
        raise ValueError(f"{name}: more than {MAX_FILE >> 20} MiB; cut it with editcap -c")
    order, unit = _open(data, name)
    record, at, found = struct.Struct(order + RECORD_HEADER.format), FILE_HEADER.size, list[Captured]()
    while at < len(data):
        what = f"{name}, frame {len(found) + 1}"
        if at + record.size > len(data):
            raise ValueError(f"{what}: the file ends within its header, after {len(data) - at} of {record.size} bytes; it was cut")
        seconds, fraction, kept, length = record.unpack_from(data, at)
        at += record.size
        if kept > MAX_RECORD:
            raise ValueError(f"{what}: {kept:,} bytes kept; at most {MAX_RECORD:,}, so the file is damaged")
        if at + kept > len(data):
            raise ValueError(f"{what}: the file ends after {len(data) - at} of its {kept} bytes; it was cut")
        if kept < length:
            raise ValueError(f"{what}: only {kept} of {length:,} bytes were captured; capture whole frames (tcpdump -s 0)")
        if fraction * unit >= 1_000_000_000:
            raise ValueError(f"{what}: {fraction:,} within a second of {1_000_000_000 // unit:,}; the file is damaged")
        frame = bytes(data[at:at + kept])
        frames.check(frame, what)
        found.append(Captured(seconds * 1_000_000_000 + fraction * unit, frame))
        at += kept
    if not found:
        raise ValueError(f"{name}: it holds no frames")
    return found


def _open(data: Buffer, name: str) -> tuple[str, int]:
    """Return (byte order, ns in a unit) if this is a capture of Ethernet frames, else ValueError."""
    if not data:
        raise ValueError(f"{name}: the file is empty; a capture begins with {FILE_HEADER.size} bytes")
    start = bytes(data[:6])
    for order in "<>":
        if len(start) >= 4 and (magic := struct.unpack_from(order + "I", start)[0]) in MAGIC:
            break
    else:
        for first, (form, command) in OTHERS.items():
            if start.startswith(first):
                raise ValueError(f"{name}: this is {form}; pcap is read: {command}")
        raise ValueError(f"{name}: it begins with {start[:4].hex(' ')}; a pcap file with d4 c3 b2 a1, 4d 3c b2 a1, or the reverse")
    if len(data) < FILE_HEADER.size:
        raise ValueError(f"{name}: the file ends after {len(data)} of the {FILE_HEADER.size} bytes of its header; it was cut")
    _, major, minor, _, _, _, link = struct.unpack_from(order + FILE_HEADER.format, data)
    if (major, minor) != (2, 4):
        raise ValueError(f"{name}: version {major}.{minor}; version 2.4 is read")
    kind = link & 0xFFFF
    if kind != ETHERNET:
        known = f" ({LINK_TYPES[kind]})" if kind in LINK_TYPES else ""
        raise ValueError(f"{name}: link type {kind}{known}; only frames of link type {ETHERNET}, Ethernet, can be sent to a network card")
    if link & FCS_PRESENT and link >> 28:
        raise ValueError(f"{name}: each frame ends in {2 * (link >> 28)} bytes of FCS; a capture without is needed")
    return order, MAGIC[magic]


def build(captured: Iterable[Captured | tuple[int, bytes]], nanoseconds: bool = False, order: str = "<") -> bytes:
    """Return the bytes of a capture; without `nanoseconds` its times are in microseconds, rounded down.  `order` is as `struct`'s."""
    unit = 1 if nanoseconds else 1000
    magic = next(magic for magic, ns in MAGIC.items() if ns == unit)
    parts = [struct.pack(order + FILE_HEADER.format, magic, 2, 4, 0, 0, SNAP, ETHERNET)]
    for ns, frame in captured:
        seconds, rest = divmod(ns, 1_000_000_000)
        parts += struct.pack(order + RECORD_HEADER.format, seconds, rest // unit, len(frame), len(frame)), frame
    return b"".join(parts)


def save(path: FileName, captured: Sequence[Captured | tuple[int, bytes]], nanoseconds: bool = False, inputs: Inputs | None = None) -> None:
    """Write a capture to a file, which is replaced when all is written; `inputs` and errors are as `Output`'s."""
    with Output(path, inputs) as out:
        out.write(build(captured, nanoseconds))
