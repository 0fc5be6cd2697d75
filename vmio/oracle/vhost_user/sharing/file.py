"""Memory of another process, by a file descriptor: read and written in place, and never a reason to die.

Whoever gave the descriptor may cut the file short at any time; a process that touches a mapping behind the end of its file is
killed (SIGBUS).  So only a file that can't be cut short is mapped: one that is sealed against it (memfd_create(2), fcntl(2)
F_SEAL_SHRINK), as QEMU's memory-backend-memfd is.  Any other is read and written by position: what is not there any more is
then an error, which the guest gets.
"""

import fcntl
import mmap
import os
import threading

from vmio.machine.contracts import Buffer

_WORD = 8                       # bytes that the kernel copies as one
_SEAL = fcntl.F_SEAL_SHRINK
_FENCE = threading.Lock()       # an x86 processor may load before an earlier store is seen by others; taking a lock keeps their order


class SharedFile:
    """`size` bytes at `offset` of the file `fd`, which is this object's from now on."""

    def __init__(self, fd: int, offset: int, size: int, what: str) -> None:
        """ValueError, with `what` it is for, if the file doesn't have these bytes or can't be read and written."""
        self.fd, self.offset, self.size = fd, offset, size
        self._mapped: mmap.mmap | None = None
        try:
            has = os.fstat(fd).st_size
            if not size or offset + size > has:
                raise ValueError(f"{what}: {size:#x} bytes at {offset:#x} of a file of {has:#x} bytes; all of them must be in the file")
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
                raise ValueError(f"{what}: its descriptor allows no reading and writing; O_RDWR is needed")
            if _can_not_shrink(fd) and offset + size <= os.fstat(fd).st_size:
                self._mapped = mmap.mmap(fd, offset + size)
        except OSError as error:
            self.close()
            raise ValueError(f"{what}: its descriptor is no file that can be shared ({error.strerror})") from None
        except ValueError:
            self.close()
            raise

    @property
    def mapped(self) -> bool:
        """Whether it is mapped: its file can't be cut short."""
        return self._mapped is not None

    def read(self, at: int, length: int) -> bytes:
        """Return `length` bytes; the caller has seen that they are inside.  EOFError if the file has been cut short meanwhile."""
        at += self.offset
        if self._mapped is not None:
            return self._mapped[at:at + length]
        if length < _WORD and at % _WORD + length <= _WORD and at - at % _WORD + _WORD <= self.offset + self.size:
            found = os.pread(self.fd, _WORD, at - at % _WORD)       # an index of two bytes must not be seen half written
            found = found[at % _WORD:at % _WORD + length]
        else:
            found = self._read_all(at, length)
        if len(found) < length:
            raise EOFError(at)
        return found

    def _read_all(self, at: int, length: int) -> bytes:
        found = os.pread(self.fd, length, at)
        while 0 < len(found) < length and (more := os.pread(self.fd, length - len(found), at + len(found))):
            found += more
        return found

    def write(self, at: int, data: Buffer) -> None:
        """Store `data`; the caller has seen that there is room.  EOFError if the file has been cut short: it is not made longer again."""
        at += self.offset
        if self._mapped is not None:
            self._mapped[at:at + len(data)] = data
            with _FENCE:
                pass
        elif os.fstat(self.fd).st_size < at + len(data):
            raise EOFError(at)
        else:
            view = memoryview(data)
            while view:
                done = os.pwrite(self.fd, view, at)
                view, at = view[done:], at + done

    def close(self) -> None:
        """Let go of the mapping and the descriptor."""
        if self._mapped is not None:
            self._mapped.close()
            self._mapped = None
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def anonymous(name: str, size: int) -> int:
    """Return the descriptor of new shared memory of `size` zeros, which nobody can cut short."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEAL)
    return fd


def _can_not_shrink(fd: int) -> bool:
    """Whether the file is sealed against being cut short."""
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEAL)
    except OSError:             # no file of a kind that can be sealed
        return False
