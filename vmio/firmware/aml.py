"""ACPI Machine Language, as much as a short description of a machine needs: names, numbers, texts, packages, devices.

    scope("_SB_", device("VMB0", name("_HID", string("VMBus"))))

Each function returns the bytes of one term.  Source: ACPI specification 6.5, chapter 20 ("AML"), 6.4 for resources, and for
the compressed identifiers of plug and play 19.6.39 (EISAID).
"""

import re

from vmio.firmware.acpi_wire import DWORD_SPACE, ENTIRE_RANGE, QWORD_SPACE, READ_WRITE, SPACE_BUSES, SPACE_MEMORY, SPACE_PORTS, WORD_SPACE

_ZERO, _ONE, _BYTE, _WORD, _DWORD, _STRING, _QWORD = 0, 1, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E
_NAME, _SCOPE, _BUFFER, _PACKAGE, _EXTENDED, _DEVICE = 0x08, 0x10, 0x11, 0x12, 0x5B, 0x82
_END_TAG, _IO_PORTS = 0x79, 0x47             # small resource items: type and length
_DECODES_16 = 1
_LARGEST = 1 << 28                           # of a package's length


def package_length(body: bytes) -> bytes:
    """Return `body` behind its length, which counts its own one to four bytes (20.2.4)."""
    if len(body) + 1 < 1 << 6:
        return bytes([len(body) + 1]) + body
    for more in (1, 2, 3):
        length = len(body) + 1 + more
        if length < 1 << 4 + 8 * more:
            rest = (length >> 4).to_bytes(more, "little")
            return bytes([more << 6 | length & 15]) + rest + body
    raise ValueError(f"AML: {len(body):,} bytes in one term; less than {_LARGEST:,} fit")


def name_segment(path: str) -> bytes:
    """Return a name of four characters."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{3}", path):
        raise ValueError(f"AML: {path!r} is no name; four of A-Z, 0-9 and _, the first no digit")
    return path.encode()


def integer(value: int) -> bytes:
    """Return a number of 0 to 64 bits in its shortest form."""
    if value in (0, 1):
        return bytes([_ONE if value else _ZERO])
    for prefix, size in ((_BYTE, 1), (_WORD, 2), (_DWORD, 4), (_QWORD, 8)):
        if 0 <= value < 1 << 8 * size:
            return bytes([prefix]) + value.to_bytes(size, "little")
    raise ValueError(f"AML: {value}; a number has 0 to 64 bits")


def string(text: str) -> bytes:
    """Return a text of ASCII characters."""
    if not text.isascii() or "\0" in text:
        raise ValueError(f"AML: {text!r}; a text holds ASCII characters and no zero")
    return bytes([_STRING]) + text.encode() + b"\0"


def eisa_id(text: str) -> bytes:
    """Return an identifier like PNP0A03 as a number: three letters of five bits, four hexadecimal digits, in big-endian order."""
    if not re.fullmatch(r"[A-Z]{3}[0-9A-F]{4}", text):
        raise ValueError(f"AML: {text!r} is no identifier like PNP0A03")
    letters = [ord(letter) - ord("A") + 1 for letter in text[:3]]
    packed = letters[0] << 26 | letters[1] << 21 | letters[2] << 16 | int(text[3:], 16)
    return bytes([_DWORD]) + packed.to_bytes(4, "big")


def package(*elements: bytes) -> bytes:
    """Return a row of terms."""
    return bytes([_PACKAGE]) + package_length(bytes([len(elements)]) + b"".join(elements))


def name(path: str, value: bytes) -> bytes:
    """Return the declaration that `path` means `value`."""
    return bytes([_NAME]) + name_segment(path) + value


def scope(path: str, *terms: bytes) -> bytes:
    """Return terms that belong below a name that is there already."""
    return bytes([_SCOPE]) + package_length(name_segment(path) + b"".join(terms))


def device(path: str, *terms: bytes) -> bytes:
    """Return a device with its terms."""
    return bytes([_EXTENDED, _DEVICE]) + package_length(name_segment(path) + b"".join(terms))


def resources(*items: bytes) -> bytes:
    """Return a buffer of resource items, ended by the end tag; its checksum of 0 says that nobody need check it (6.4.2.9)."""
    data = b"".join(items) + bytes([_END_TAG, 0])
    return bytes([_BUFFER]) + package_length(integer(len(data)) + data)


def io_ports(base: int, length: int) -> bytes:
    """Return the item of ports that a device answers at, and nowhere else (6.4.2.5)."""
    return bytes([_IO_PORTS, _DECODES_16]) + base.to_bytes(2, "little") * 2 + bytes([1, length])


def memory(base: int, length: int) -> bytes:
    """Return the item of guest-physical addresses that a device gives to those below it (6.4.3.5.1)."""
    return QWORD_SPACE.pack(type=SPACE_MEMORY, type_flags=READ_WRITE, first=base, last=base + length - 1, count=length)


def low_memory(base: int, length: int) -> bytes:
    """Return the same for addresses below 4 GiB (6.4.3.5.2)."""
    return DWORD_SPACE.pack(type=SPACE_MEMORY, type_flags=READ_WRITE, first=base, last=base + length - 1, count=length)


def port_window(base: int, length: int) -> bytes:
    """Return the item of ports that a bridge gives to those behind it (6.4.3.5.3)."""
    return WORD_SPACE.pack(type=SPACE_PORTS, type_flags=ENTIRE_RANGE, first=base, last=base + length - 1, count=length)


def bus_numbers(first: int, count: int) -> bytes:
    """Return the item of bus numbers behind a bridge (6.4.3.5.3)."""
    return WORD_SPACE.pack(type=SPACE_BUSES, first=first, last=first + count - 1, count=count)
