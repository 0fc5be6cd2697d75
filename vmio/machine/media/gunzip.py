"""Unpacks gzip without trusting it: a small disk into memory, a larger one into a file without a name."""

import gzip
import os
import tempfile
import zlib

from vmio.machine.contracts import DiskFile
from vmio.machine.media.hostfile import BytesFile, HostFile

IN_MEMORY = 64 << 20     # bytes of a disk that is unpacked into memory
MAX_BYTES = 4 << 30           # bytes of a disk that is unpacked at all: a packed file can promise any size
CHUNK = 256 << 10


class _Stream:
    """A file from its beginning on, as `gzip` reads one."""

    def __init__(self, file: DiskFile) -> None:
        self.file, self.at = file, 0

    def read(self, length: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        data = self.file.read(self.at, min(length, self.file.size - self.at))
        self.at += len(data)
        return data


def gunzip(file: DiskFile) -> HostFile | BytesFile:
    """Return the content of a gzip file, as a file; ValueError for what is damaged or unpacks to more than `MAX_BYTES` bytes."""
    small, spilled, size, zeros = bytearray(), None, 0, bytes(CHUNK)
    try:
        with gzip.GzipFile(fileobj=_Stream(file)) as stream:  # type: ignore[call-overload]  # it only reads
            while data := stream.read(CHUNK):
                size += len(data)
                if size > MAX_BYTES:
                    raise ValueError(f"image {file.name}: unpacks to more than {MAX_BYTES >> 30} GiB, the limit for gzip; "
                                     "unpack it into a file first (gzip -dc) and give that")
                if spilled is None and size > IN_MEMORY:
                    spilled = tempfile.TemporaryFile()
                    spilled.write(small)
                if spilled is None:
                    small += data
                elif data == zeros[:len(data)]:
                    spilled.seek(size)       # a hole: zeros take no room
                else:
                    spilled.write(data)
        if spilled is None:
            return BytesFile(small, file.name)
        spilled.truncate(size)
        return HostFile(os.dup(spilled.fileno()), file.name, size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"image {file.name}: damaged gzip file ({error})") from error
    except OSError as error:
        raise ValueError(f"image {file.name}: no room to unpack it ({error.strerror or error})") from error
    finally:
        if spilled is not None:
            spilled.close()
