"""A VHDX file as a medium: fixed, dynamic, differencing.  It is only read.

Source: [MS-VHDX], sections in brackets.  What a block holds that was never written,
or was given back (UNDEFINED, UNMAPPED), is left open there; here it reads as zeros.
A disk with sectors of 4,096 bytes is shown with 512-byte ones, its bytes the same.
"""

from collections.abc import Iterator

import numpy as np

from vmio.machine.contracts import DiskFile, Sectors
from vmio.machine.media import vhdx_wire as w
from vmio.machine.media.blocks import Layout, Table, choose, from_parent, pieces, stacked
from vmio.machine.media.medium import SECTOR, Medium
from vmio.machine.media.parents import Chain, absolute, beside, open_parent
from vmio.machine.media.vhdx_metadata import Metadata, bad, current_header, find_regions

CHUNK_SECTORS = 1 << 23     # logical sectors that one sector bitmap block tells of [2.4]
BITMAP_BYTES = w.MIB


class Vhdx(Medium):
    """The disk in `file`; `chain` as in `open_parent`.  ValueError, naming the file, for what the format doesn't allow."""

    __slots__ = ("file", "name", "sectors", "header", "metadata", "parent", "_table", "_per_block", "_ratio", "_in_logical")

    def __init__(self, file: DiskFile, chain: Chain = ()) -> None:
        self.file, self.name, self.parent = file, file.name, None
        self.header = current_header(file)
        regions = find_regions(file)
        self.metadata = about = Metadata(file, regions[w.METADATA])
        self.sectors = about.disk_bytes // SECTOR
        self._per_block = about.block_bytes // SECTOR
        self._in_logical = about.sector_bytes // SECTOR
        self._ratio = CHUNK_SECTORS * about.sector_bytes // about.block_bytes
        self._check_layout(regions)
        if about.has_parent:
            self.parent = self._open_parent(chain)

    def _check_layout(self, regions: dict[bytes, w.Region]) -> None:
        """The table is complete [2.5], its states are allowed, its blocks are in the file and not one over the other."""
        file, about = self.file, self.metadata
        blocks = -(-about.disk_bytes // about.block_bytes)
        chunks = -(-blocks // self._ratio)
        count = chunks * (self._ratio + 1) if about.has_parent else blocks + (blocks - 1) // self._ratio
        if count * 8 > regions[w.BAT].length:
            raise bad(file, f"a block allocation table of {regions[w.BAT].length} bytes; its {count} entries need more")
        self._table = Table(file, regions[w.BAT].at, count, "<u8")
        layout = Layout(file)
        layout.add(0, w.MIB, "the header section")
        if self.header.log_length:
            layout.add(self.header.log_at, self.header.log_length, "the log")
        for region in regions.values():
            layout.add(region.at, region.length, "a region")
        for_blocks = (*range(4), w.FULLY_PRESENT, *(w.PARTIALLY_PRESENT,) * about.has_parent)
        for_bitmaps = (w.NOT_PRESENT, *(w.FULLY_PRESENT,) * about.has_parent)
        first, with_bitmap, need_bitmap = 0, set(), set()
        for entries in self._table.chunks():
            index = np.arange(first, first + entries.size)
            first += entries.size
            if not entries.any():       # NOT_PRESENT, all of them: most of a large disk's table
                continue
            states, places = entries & np.uint64(7), entries >> np.uint64(20) << np.uint64(20)
            bitmaps = index % (self._ratio + 1) == self._ratio
            payload = ~bitmaps & (index - index // (self._ratio + 1) < blocks)
            self._check_states(states, entries, payload, for_blocks)
            self._check_states(states, entries, bitmaps, for_bitmaps)
            bitmaps &= states == w.FULLY_PRESENT
            layout.add(places[payload & (states >= w.FULLY_PRESENT)], about.block_bytes, "a block")
            layout.add(places[bitmaps], BITMAP_BYTES, "a sector bitmap")
            with_bitmap.update((index[bitmaps] // (self._ratio + 1)).tolist())
            need_bitmap.update((index[payload & (states == w.PARTIALLY_PRESENT)] // (self._ratio + 1)).tolist())
        layout.check()
        if need_bitmap - with_bitmap:
            raise bad(file, f"blocks of chunk {min(need_bitmap - with_bitmap)} are partly the parent's, "
                            "and no bitmap says which parts")

    def _check_states(self, states: np.ndarray, entries: np.ndarray, which: np.ndarray, allowed: tuple[int, ...]) -> None:
        wrong = which & (~np.isin(states, np.array(allowed, np.uint64)) | (entries & np.uint64(0xFFFF8) != 0))
        if wrong.any():
            entry = int(entries[np.flatnonzero(wrong)[0]])
            raise bad(self.file, f"table entry {entry:#x} has state {entry & 7} or reserved bits that such a disk can't have")

    @property
    def paths(self) -> tuple[str, ...]:
        """The file's own, and its parents'."""
        return (self.name, *(self.parent.paths if self.parent else ()))

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return the blocks that are in the file, and what the parents have."""
        group = self._ratio + 1
        there = self._table.where(lambda entries, index: (entries & np.uint64(7) >= w.FULLY_PRESENT)
                                  & (index % group != self._ratio))
        return stacked(self, (index - index // group for index in there), self._per_block)

    def read(self, lba: int, count: int = 1) -> bytes:
        """Return `count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        self.check_read(lba, count)
        return b"".join([self._piece(*piece) for piece in pieces(lba, count, self._per_block)])

    def _piece(self, block: int, first: int, count: int) -> Sectors:
        """`count` sectors of one payload block, by its state [2.5.1.1]."""
        entry, lba = self._table[block + block // self._ratio], block * self._per_block + first
        state, at = entry & 7, entry >> 20 << 20
        if state == w.NOT_PRESENT:
            return from_parent(self.parent, lba, count)
        if state < w.FULLY_PRESENT:
            return bytes(count * SECTOR)
        own = self.file.read(at + first * SECTOR, count * SECTOR)
        if state == w.FULLY_PRESENT:
            return own
        have = self._present(block, first, count)
        return own if all(have) else choose(have, own, from_parent(self.parent, lba, count))

    def _present(self, block: int, first: int, count: int) -> list[int]:
        """A bit for each of these sectors: is it in this file?  The least significant bit comes first [2.4]."""
        chunk, place = divmod(block, self._ratio)
        entry = self._table[chunk * (self._ratio + 1) + self._ratio]
        start = place * self._per_block + first
        low = start // self._in_logical // 8
        bits = self.file.read((entry >> 20 << 20) + low, (start + count - 1) // self._in_logical // 8 + 1 - low)
        logical = (n // self._in_logical for n in range(start, start + count))
        return [bits[n // 8 - low] >> n % 8 & 1 for n in logical]

    def _open_parent(self, chain: Chain) -> "Vhdx":
        """[2.6.2.6.3]: found by its path, known by its DataWriteGuid; both have the same logical sectors [2.6.2.4]."""
        guid, pairs = self.metadata.locator
        if guid != w.VHDX_PARENT:
            raise bad(self.file, f"its parent is of unknown kind {w.UUID(bytes_le=guid)}; only a VHDX file can be one")
        linkage = {_guid(pairs.get(key)) for key in ("parent_linkage", "parent_linkage2")} - {None}
        places = [beside(self.file, pairs["relative_path"])] if pairs.get("relative_path") else []
        for key in ("volume_path", "absolute_win32_path"):
            places += absolute(self.file, pairs[key]) if pairs.get(key) else []
        parent = open_parent(self.file, chain, places, Vhdx, lambda one: one.header.data_write_guid in linkage)
        if parent.metadata.sector_bytes != self.metadata.sector_bytes:
            parent.close()
            raise bad(self.file, f"sectors of {self.metadata.sector_bytes} bytes, its parent's have "
                                 f"{parent.metadata.sector_bytes}")
        return parent

    def close(self) -> None:
        """Let go of the file, and of the parents' files."""
        self.file.close()
        if self.parent is not None:
            self.parent.close()


def _guid(text: str | None) -> bytes | None:
    """A GUID written in braces, in its binary form; None for anything else."""
    try:
        return w.UUID(text or "").bytes_le
    except ValueError:
        return None
