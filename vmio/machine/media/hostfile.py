"""A file or block device of the host, read by position.

Nothing is mapped: a mapping that may be written counts against the host's memory
for its whole length, and a device has no length to map.  The size is where
seeking to the end leads, which is right for both.
"""

import errno
import os
import shlex
import stat
import threading
from collections.abc import Iterator
from typing import Self

from vmio.machine.contracts import Buffer
from vmio.machine.media.medium import SECTOR

KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a character device"))
# Not to wait for a pipe's other end, not to become a terminal's owner; Windows: bytes as they are.
FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class HostFile:
    """`size` bytes, read and written at any offset.  It closes when it is closed or forgotten."""

    def __init__(self, fd: int, name: str, size: int, writable: bool = False) -> None:
        """Take over the descriptor `fd`."""
        self.fd, self.name, self.size, self.writable = fd, name, size, writable
        self._turn = threading.Lock()     # for hosts without positional reads: seek and read belong together

    @classmethod
    def open(cls, name: str, writable: bool = False) -> Self:
        """Return the file at `name`.  ValueError, naming it, for what is missing, unreadable, or has no size of its own."""
        try:
            fd = os.open(name, (os.O_RDWR if writable else os.O_RDONLY) | FLAGS)
        except OSError as error:
            raise unreadable(name, error) from error
        except ValueError as error:       # a name that no file can have: one with a NUL in it
            raise ValueError(f"image {name!r}: {error}") from None
        try:
            return cls(fd, name, _size(fd, name), writable)
        except BaseException:
            os.close(fd)
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`.  ValueError, naming the file, if they can't be read or the file ends before."""
        try:
            data = self._pread(length, offset)
            while len(data) < length:
                more = self._pread(length - len(data), offset + len(data))
                if not more:
                    raise ValueError(f"image {self.name}: ends at byte {offset + len(data)}, "
                                     f"bytes up to {offset + length} are needed; the file is cut short")
                data += more
        except (OSError, OverflowError) as error:
            raise unreadable(self.name, error) from error
        return data

    def write(self, offset: int, data: Buffer) -> None:
        """Store `data` at `offset`.  ValueError, naming the file, if it can't be stored."""
        data = memoryview(data)
        try:
            while data:
                done = self._pwrite(data, offset)
                data, offset = data[done:], offset + done
        except OSError as error:
            raise ValueError(f"image {self.name}: byte {offset} can't be written ({error.strerror or error})") from error

    def extents(self) -> Iterator[tuple[int, int]]:
        """Yield (start, end) in bytes of each part of the file that is not a hole, in order (lseek: SEEK_DATA, SEEK_HOLE)."""
        end = 0
        while end < self.size:
            try:
                start = os.lseek(self.fd, end, os.SEEK_DATA)
                end = min(os.lseek(self.fd, start, os.SEEK_HOLE), self.size)
            except AttributeError:        # Windows doesn't tell
                start, end = end, self.size
            except OSError as error:
                if error.errno == errno.ENXIO:        # nothing but a hole is left
                    return
                start, end = end, self.size           # this file system doesn't tell
            yield start, end

    def sync(self) -> None:
        """Have the host put what was written on its own disk."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    if hasattr(os, "pread"):
        def _pread(self, length: int, offset: int) -> bytes:
            return os.pread(self.fd, length, offset)

        def _pwrite(self, data: memoryview, offset: int) -> int:
            return os.pwrite(self.fd, data, offset)
    else:
        def _pread(self, length: int, offset: int) -> bytes:
            with self._turn:
                os.lseek(self.fd, offset, os.SEEK_SET)
                return os.read(self.fd, length)

        def _pwrite(self, data: memoryview, offset: int) -> int:
            with self._turn:
                os.lseek(self.fd, offset, os.SEEK_SET)
                return os.write(self.fd, data)


class BytesFile:
    """Bytes that are read as a file would be."""

    writable = False

    def __init__(self, data: Buffer, name: str) -> None:
        self.data, self.name, self.size = data, name, len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; ValueError if the data ends before."""
        if offset + length > self.size:
            raise ValueError(f"image {self.name}: ends at byte {self.size}, "
                             f"bytes up to {offset + length} are needed; the file is cut short")
        return bytes(self.data[offset:offset + length])

    def close(self) -> None:
        """Forget the bytes."""
        self.data = b""


def _size(fd: int, name: str) -> int:
    """How many bytes there are.  ValueError for a directory, and for what gives bytes without saying how many."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise unreadable(name, "Is a directory")
    what = next((kind for is_kind, kind in KINDS if is_kind(mode)), None)
    if what is None:
        try:
            size = os.lseek(fd, 0, os.SEEK_END)
            os.lseek(fd, 0, os.SEEK_SET)
            if size or not os.read(fd, 1):
                return size
        except OSError:                   # it doesn't seek or read at all
            pass
        what = "a file of the kernel's"
    raise ValueError(f"image {name}: {what} has no size; copy what it gives to a file first "
                     f"(cat {shlex.quote(name)} > disk.img)")


def unreadable(name: str, error: OSError | OverflowError | str) -> ValueError:
    """Return the ValueError for a file that the host can't read."""
    reason = getattr(error, "strerror", None) or error
    return ValueError(f"image {name}: {reason}; a readable file of a multiple of {SECTOR} bytes is needed")
