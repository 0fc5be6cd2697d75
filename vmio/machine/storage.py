"""Disk images: from bytes, or from a file of the host in one of the formats that are read here.

An image is copy-on-write unless the caller says otherwise: what a guest writes
stays in memory, sector by sector, and the file stays as it was.  A file's size is
not memory: its sectors are read when they are asked for.  `save` puts what the
guest sees into a new file.
"""

import mmap
import os

from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Buffer, FileName, Sectors
from vmio.machine.media import formats
from vmio.machine.media.gunzip import gunzip
from vmio.machine.media.hostfile import BytesFile, HostFile
from vmio.machine.media.medium import SECTOR, Medium
from vmio.machine.media.raw import RawFile, check_size
from vmio.machine.overlay import Overlay

IMAGE = Form("image in memory", 1, "data")


class Image(Medium):
    """A whole number of 512-byte sectors in memory; `Image.open` makes a medium of bytes or of any file."""

    __slots__ = ("name", "sectors", "_data")

    def __init__(self, data: bytearray | mmap.mmap, name: str = "memory") -> None:
        """`data` (an mmap, a bytearray) is used in place.  Raises ValueError for a size that is no disk's."""
        check_size(name, len(data))
        self.name, self._data = name, data
        self.sectors = len(data) // SECTOR

    @staticmethod
    def open(source: FileName | bytearray | memoryview, writable: bool = False) -> Medium:
        """Return a medium from a path, or from bytes (which are copied).

        Raw disks, block devices, gzip, VHD and VHDX are known by their content.
        With `writable` a raw file is changed by the guest's writes; without it the
        file is never touched.  Raises ValueError, naming the file, for what is
        missing, empty, unreadable, damaged or in a format that is not read here.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            if writable:
                raise ValueError("image memory: writable=True needs a file to write to; bytes are copied")
            return _medium(BytesFile(source, "memory"))
        try:
            name = os.fsdecode(source)
        except TypeError:
            raise ValueError(f"image: {source!r} is neither a path nor bytes") from None
        file = HostFile.open(name, writable)
        try:
            return _medium(file)
        except BaseException:
            file.close()
            raise

    def saved_sectors(self) -> State:
        """Return all sectors."""
        return IMAGE.state(data=self._data[:])

    def take_back(self, state: State) -> None:
        """Hold what `saved_sectors` gave."""
        saved = IMAGE.take(state)
        same(f"image {self.name}, bytes", len(saved["data"]), len(self._data))
        self._data[:] = saved["data"]

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        end = lba + count
        if lba < 0 or count < 0 or end > self.sectors:
            self.check_read(lba, count)
        return self._data[lba * SECTOR:end * SECTOR]

    def write(self, lba: int, data: Buffer) -> None:
        """Store `data`, a whole number of sectors, from `lba`; ValueError beyond the last sector."""
        count = self.check_write(lba, data)
        self._data[lba * SECTOR:(lba + count) * SECTOR] = data


class PrivateImage(Overlay):
    """A file's disk with the writes of one owner over it; the file is closed with it."""

    __slots__ = ()

    def __init__(self, base: Medium) -> None:
        super().__init__(base, base.name)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the disk under it."""
        return self.base.paths

    def close(self) -> None:
        """Let go of the file."""
        self.base.close()


def _medium(file: HostFile | BytesFile) -> Medium:
    """The medium for an open file, whatever its format."""
    kind = formats.recognise(file)
    if kind is not None and file.writable:
        raise ValueError(f"image {file.name}: a {kind} file can't be written in place; "
                         "open it with writable=False and save it")
    if kind == formats.GZIP:
        plain = gunzip(file)
        file.close()
        if formats.recognise(plain) == formats.GZIP:
            raise ValueError(f"image {file.name}: packed with gzip twice; unpack it once first")
        return _medium(plain)
    if kind in (formats.VHD, formats.VHDX):
        return PrivateImage(_virtual_disk(file, kind))
    if isinstance(file, BytesFile):
        return Image(_in_memory(file.data), file.name)
    return RawFile(file) if file.writable else PrivateImage(RawFile(file))


def _virtual_disk(file: HostFile | BytesFile, kind: str) -> Medium:
    """A VHD or VHDX; ValueError where numpy, which reads their tables, isn't installed (a browser fetches it when a cell imports it)."""
    try:
        from vmio.machine.media.vhd import Vhd
        from vmio.machine.media.vhdx import Vhdx
    except ModuleNotFoundError as missing:
        raise ValueError(f"image {file.name}: a {kind} file is read with {missing.name}, which is not installed") from None
    return Vhd(file) if kind == formats.VHD else Vhdx(file)


def _in_memory(data: Buffer) -> mmap.mmap | bytearray:
    """`data` in an anonymous mapping: a slice of it is bytes, without a second copy."""
    if not len(data):
        return bytearray()
    mapping = mmap.mmap(-1, len(data))
    mapping[:] = data
    return mapping
