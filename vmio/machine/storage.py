"""What a disk keeps its sectors in: an image, from a file or from bytes.

An image is copy-on-write unless the caller says otherwise.  A file is mapped
privately (`mmap.ACCESS_COPY`): the pages that a guest writes become the
process's own and the file stays as it was, and a read is one slice whether
the pages were written or not.  `save` puts what the guest sees into a new file.
"""

import gzip
import mmap
import os
import zlib

from vmio.machine import files

SECTOR = 512
GZIP_MAGIC = b"\x1f\x8b"


class Image:
    """A whole number of 512-byte sectors; make one with `Image.open`."""

    __slots__ = ("name", "sectors", "writable", "_data")

    def __init__(self, data, name="memory", writable=False):
        """`data` is an mmap, used in place.  Raises ValueError for a size that is no disk's."""
        size = len(data)
        if size == 0 or size % SECTOR:
            raise ValueError(f"image {name}: {size} bytes; a disk is a positive multiple of {SECTOR} bytes")
        self.name, self.writable, self._data = name, writable, data
        self.sectors = size // SECTOR

    @classmethod
    def open(cls, source, writable=False):
        """An image from a path, or from bytes (which are copied).

        Gzip is unpacked into memory.  With `writable` a plain file is changed
        by the guest's writes; without it the file is never touched.  Raises
        ValueError, naming the file, for what is missing, empty, unreadable or
        no multiple of 512 bytes.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            if writable:
                raise ValueError("image memory: writable=True needs a file to write to; bytes are copied")
            packed = bytes(source[:2]) == GZIP_MAGIC
            return cls(_unpack("memory", source, writable) if packed else _in_memory(source))
        try:
            name = os.fsdecode(source)
        except TypeError:
            raise ValueError(f"image: {source!r} is neither a path nor bytes") from None
        try:
            return cls(_from_file(name, writable), name, writable)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"image {name}: {reason}; a readable file of a multiple of {SECTOR} bytes is needed"
                             ) from error

    def read(self, lba, count=1):
        """`count` sectors from `lba`, as bytes; ValueError beyond the last sector."""
        end = lba + count
        if lba < 0 or count < 0 or end > self.sectors:
            raise ValueError(f"image {self.name}: sectors {lba} to {end - 1} asked, 0 to {self.sectors - 1} exist")
        return self._data[lba * SECTOR:end * SECTOR]

    def write(self, lba, data):
        """Store `data`, a whole number of sectors, from `lba`; ValueError beyond the last sector."""
        count, rest = divmod(len(data), SECTOR)
        if rest:
            raise ValueError(f"image {self.name}: {len(data)} bytes written; only multiples of {SECTOR} can be")
        if lba < 0 or lba + count > self.sectors:
            raise ValueError(f"image {self.name}: sectors {lba} to {lba + count - 1} written, "
                             f"0 to {self.sectors - 1} exist")
        self._data[lba * SECTOR:(lba + count) * SECTOR] = data

    def flush(self):
        """Push a writable file's changes to it; nothing to do for any other image."""
        if self.writable:
            self._data.flush()

    def save(self, path):
        """Write the disk, as the guest sees it now, to a file at `path` (`files.save`)."""
        files.save(self, path)

    def close(self):
        """Let go of the file; the image is of no use afterwards."""
        self.flush()
        self._data.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"Image({self.name!r}, sectors={self.sectors}, writable={self.writable})"


def _in_memory(data):
    """`data` in an anonymous mapping: a slice of it is bytes, without a second copy."""
    if not len(data):
        return data
    mapping = mmap.mmap(-1, len(data))
    mapping[:] = data
    return mapping


def _from_file(name, writable):
    with open(name, "r+b" if writable else "rb") as file:
        magic = file.read(2)
        if magic == GZIP_MAGIC:
            return _unpack(name, magic + file.read(), writable)
        if not magic:
            return b""
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_COPY)
        except ValueError as error:  # a pipe or a device that cannot be mapped
            raise OSError(str(error)) from error


def _unpack(name, packed, writable):
    if writable:
        raise ValueError(f"image {name}: a gzip file can't be written in place; open it with writable=False and save it")
    try:
        return _in_memory(gzip.decompress(packed))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"image {name}: damaged gzip file ({error})") from error
