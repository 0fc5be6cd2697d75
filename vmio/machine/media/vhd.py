"""A VHD file as a medium: fixed, dynamic, differencing.  It is only read.

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0 (2006).  The
size is the footer's "Current Size"; its geometry, which is rounded down, is not used.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from vmio.machine.contracts import DiskFile, Sectors
from vmio.machine.media.blocks import Layout, Table, choose, from_parent, pieces, stacked
from vmio.machine.media.formats import damaged
from vmio.machine.media.medium import SECTOR, Medium
from vmio.machine.media.parents import Chain, absolute, beside, open_parent
from vmio.machine.media.vhd_wire import (DIFFERENCING, DYNAMIC, FIXED, HEADER_BYTES, NOWHERE, VERSION, Footer, Header)

MAX_BYTES = 2040 << 30     # of a disk with a table: its entries are sector numbers of 32 bits
MAX_BLOCK = 1 << 28        # bytes
MAX_BLOCKS = 1 << 26
MAX_PATH = 1 << 16         # bytes of a parent's path


class Vhd(Medium):
    """The disk in `file`; `chain` as in `open_parent`.  ValueError, naming the file, for what the format doesn't allow."""

    __slots__ = ("file", "name", "sectors", "footer", "parent", "_table", "_per_block", "_bitmap_bytes")

    def __init__(self, file: DiskFile, chain: Chain = ()) -> None:
        self.file, self.name, self.parent = file, file.name, None
        self._table: Any = None     # of a fixed disk: all of it is there
        self.footer = footer = self._footer()
        if footer.version >> 16 != 1 or footer.kind not in (FIXED, DYNAMIC, DIFFERENCING):
            raise self._bad(f"version {footer.version:#x}, disk type {footer.kind}; version 0x10000, types 2 (fixed), "
                            "3 (dynamic) and 4 (differencing) are read")
        if not footer.size or footer.size % SECTOR:
            raise self._bad(f"a disk of {footer.size} bytes; a positive multiple of {SECTOR} is needed")
        self.sectors = footer.size // SECTOR
        if footer.kind == FIXED:
            if footer.size > file.size - footer.length:
                raise self._bad(f"a disk of {footer.size} bytes in a file of {file.size}")
        else:
            header = self._header()
            self._check_layout(header)
            if footer.kind == DIFFERENCING:
                self.parent = open_parent(file, chain, self._places(header), Vhd,
                                          lambda parent: parent.footer.unique_id == header.parent_id)

    def _bad(self, what: str) -> ValueError:
        return damaged(self.name, f"VHD: {what}")

    def _footer(self) -> Footer:
        """The footer at the end, or its copy at the beginning, which all but fixed disks have."""
        file = self.file
        last = Footer.parse(file.read(file.size - min(file.size, SECTOR), min(file.size, SECTOR)))
        first = Footer.parse(file.read(0, min(file.size, SECTOR)))
        if first is not None and first.kind != FIXED and (
                last is None or last.kind == FIXED and last.size != file.size - last.length):
            return first
        if last is None:
            raise self._bad("no footer with a right checksum, at the end or at the beginning")
        return last

    def _header(self) -> Header:
        footer, file = self.footer, self.file
        if footer.header_at > file.size - HEADER_BYTES:
            raise self._bad(f"the header should be at byte {footer.header_at} of a file of {file.size}")
        header = Header.parse(file.read(footer.header_at, HEADER_BYTES))
        if header is None:
            raise self._bad(f"no header with a right checksum at byte {footer.header_at}")
        if header.version != VERSION:
            raise self._bad(f"header version {header.version:#x}; {VERSION:#x} is read")
        size = header.block_bytes
        if not SECTOR <= size <= MAX_BLOCK or size & size - 1:
            raise self._bad(f"blocks of {size} bytes; a power of two from {SECTOR} to {MAX_BLOCK} is needed")
        blocks = -(-footer.size // size)
        if footer.size > MAX_BYTES or blocks > MAX_BLOCKS:
            raise self._bad(f"a disk of {footer.size} bytes in blocks of {size}; up to {MAX_BYTES} bytes "
                            f"and {MAX_BLOCKS} blocks are read")
        if header.entries < blocks:
            raise self._bad(f"a table of {header.entries} entries; the disk has {blocks} blocks")
        self._per_block = size // SECTOR
        self._bitmap_bytes = -(-self._per_block // (8 * SECTOR)) * SECTOR
        return header

    def _check_layout(self, header: Header) -> None:
        """Each block is in the file, and nothing lies over anything else."""
        footer, file = self.footer, self.file
        table_bytes = 4 * -(-footer.size // header.block_bytes)
        layout = Layout(file)
        layout.add(footer.header_at, HEADER_BYTES, "the header")
        layout.add(header.table_at, table_bytes, "the block allocation table")
        self._table = Table(file, header.table_at, table_bytes // 4, ">u4")
        for entries in self._table.chunks():
            there = entries[entries != NOWHERE].astype(np.uint64)
            layout.add(there * np.uint64(SECTOR), self._bitmap_bytes + header.block_bytes, "a block")
        layout.check()

    @property
    def paths(self) -> tuple[str, ...]:
        """The file's own, and its parents'."""
        return (self.name, *(self.parent.paths if self.parent else ()))

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return the blocks that are in the file, and what the parents have."""
        if self._table is None:
            return iter([(0, self.sectors)])
        return stacked(self, self._table.where(lambda entries, _: entries != NOWHERE), self._per_block)

    def read(self, lba: int, count: int = 1) -> bytes:
        """Return `count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        self.check_read(lba, count)
        if self._table is None:
            return self.file.read(lba * SECTOR, count * SECTOR)
        return b"".join([self._piece(*piece) for piece in pieces(lba, count, self._per_block)])

    def _piece(self, block: int, first: int, count: int) -> Sectors:
        """`count` sectors of one block: this file's where its bitmap has a one, the most significant bit first."""
        lba, entry = block * self._per_block + first, self._table[block]
        if entry == NOWHERE:
            return from_parent(self.parent, lba, count)
        at, low = entry * SECTOR, first // 8
        bits = self.file.read(at + low, (first + count - 1) // 8 + 1 - low)
        have = [bits[n // 8 - low] >> 7 - n % 8 & 1 for n in range(first, first + count)]
        own = self.file.read(at + self._bitmap_bytes + first * SECTOR, count * SECTOR)
        return own if all(have) else choose(have, own, from_parent(self.parent, lba, count))

    def _places(self, header: Header) -> list[str]:
        """Where the parent may be, in order: the relative paths, the absolute ones, its bare name."""
        relative, full = [], []
        for code, length, at in header.locators:
            if length > MAX_PATH:
                raise self._bad(f"a parent's path of {length} bytes; up to {MAX_PATH} are read")
            raw = self.file.read(at, length)
            if code == b"W2ru":
                relative.append(beside(self.file, _text(raw)))
            elif code == b"W2ku":
                full += absolute(self.file, _text(raw))
            elif code == b"MacX":
                full.append(unquote(urlsplit(raw.decode("utf-8", "replace").rstrip("\0")).path))
        name = header.parent_name.decode("utf-16-be", "replace").split("\0")[0]
        return relative + full + (absolute(self.file, name) if name else [])

    def close(self) -> None:
        """Let go of the file, and of the parents' files."""
        self.file.close()
        if self.parent is not None:
            self.parent.close()


def _text(raw: bytes) -> str:
    """A path in UTF-16: little-endian as Windows writes it, or big-endian as all else in the format is."""
    return raw.decode("utf-16-be" if raw[:1] == b"\0" else "utf-16-le", "replace").split("\0")[0]
