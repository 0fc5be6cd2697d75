"""The lines of a text file, whatever program has saved it: UTF-8 or UTF-16, any line ends, gzip.

Only a line at a time is in memory.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

LONGEST = 1 << 16      # characters of a line; no form has any near that
_GZIP = b"\x1f\x8b"
# What other compressed files begin with, and the program that unpacks them to standard output.
_PACKED = {b"BZh": "bzip2 -dc", b"\xfd7zXZ": "xz -dc", b"\x28\xb5\x2f\xfd": "zstd -dc", b"PK\x03\x04": "unzip -p"}
_TAR = 257, b"ustar"   # where in a tar archive its magic is (POSIX.1-1988, "ustar")


def lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end) for each line that is not empty.

    ValueError names the file, and the line if one is to blame: a file that can't be
    read, is no text, is compressed in a way that we don't know.
    """
    number = 0
    try:
        with open(path, "rb") as file:
            stream = _unpacked(path, file)
            text = io.TextIOWrapper(stream, _encoding(path, stream), "surrogateescape")
            while line := text.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise ValueError(f"trace {path}, line {number}: longer than {LONGEST} characters; "
                                     "expected the lines of a text file")
                if "\0" in line:
                    raise ValueError(f"trace {path}, line {number}: it holds NUL bytes; expected a text file")
                line = line.strip()
                if line:
                    yield number, line
    except UnicodeDecodeError as error:
        raise ValueError(f"trace {path}, line {number + 1}: it is no {error.encoding} text") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"trace {path}, line {number + 1}: damaged gzip file ({error})") from None
    except OSError as error:
        raise ValueError(f"trace {path}: cannot be read ({error.strerror or error})") from None


def _unpacked(path: str | Path, file: io.BufferedReader) -> io.BufferedReader:
    """A buffered stream of the content."""
    head = file.peek(4)
    for magic, program in _PACKED.items():
        if head.startswith(magic):
            raise ValueError(f"trace {path}: a compressed file; expected text or gzip. "
                             f"Unpack it first: {program} {path} > trace.txt")
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if head.startswith(_GZIP) else file


def _encoding(path: str | Path, stream: io.BufferedReader) -> str:
    """By the byte-order mark, or by where the NUL byte of the first character is; else UTF-8."""
    head = stream.peek(512)
    at, magic = _TAR
    if head[at:at + len(magic)] == magic:
        raise ValueError(f"trace {path}: a tar archive; expected one text file. Unpack it first: tar -xf {path}")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if len(head) > 1 and (head[0] == 0) != (head[1] == 0):
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return "utf-8-sig"
