"""Layouts declared once: from one list of fields come parsing, building, the size and the drawing.

    OPEN = Layout("OPENCHANNEL", u32("type", default=5), u32("padding"), u32("relid", "channel id"), raw("user", 120))

    OPEN.size                    132
    OPEN.pack(relid=3)           bytes; what isn't named gets its default (0)
    OPEN.parse(data).relid       3; raises `ShortMessage` if `data` is too short, ignores what follows
    print(OPEN.draw(data))       a table: offset, bytes, name, value

Code in a hurry uses `OPEN.struct` (a precompiled `struct.Struct`) directly, or that of a part of the fields:

    OPEN.only("type", "relid").unpack_from(data)     (5, 3)
    data[OPEN.slice("user")]                         the bytes of a field

`placed` makes the layout of a page of which few fields are used, each with its offset.
"""

import struct
import uuid
from collections import namedtuple
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeAlias

from vmio.machine.contracts import Buffer, Record

FieldValue: TypeAlias = int | Buffer | Sequence[int]     # what `pack` takes for a field, or for the tail


class ShortMessage(ValueError):
    """The peer sent fewer bytes than the layout has: `layout` (its name), `got`, `needed`."""

    def __init__(self, layout: str, got: int, needed: int) -> None:
        super().__init__(f"{layout}: {got} bytes, {needed} needed")
        self.layout, self.got, self.needed = layout, got, needed


class Field:
    """One field: its `struct` code and how to show it; `offset` is set by the layout."""

    __slots__ = ("name", "code", "size", "doc", "default", "names", "offset")

    def __init__(self, name: str, code: str, doc: str = "", default: bytes | int = 0,
                 names: Mapping[int, str] | None = None) -> None:
        self.name, self.code, self.doc, self.default, self.names = name, code, doc, default, names or {}
        self.size = struct.calcsize("<" + code)
        self.offset = 0

    def show(self, value: bytes | int) -> str:
        """Return `value` for a human."""
        if isinstance(value, bytes):
            return _show_bytes(value)
        text = str(value) if -10 < value < 10 else f"{value:#x}"
        return f"{text} {self.names[value]}" if value in self.names else text

    def __repr__(self) -> str:
        return f"Field({self.name!r}, offset={self.offset}, size={self.size})"


def u8(name: str, doc: str = "", default: int = 0, names: Mapping[int, str] | None = None) -> Field:
    """Declare an unsigned byte."""
    return Field(name, "B", doc, default, names)


def u16(name: str, doc: str = "", default: int = 0, names: Mapping[int, str] | None = None) -> Field:
    """Declare an unsigned 16-bit word."""
    return Field(name, "H", doc, default, names)


def u32(name: str, doc: str = "", default: int = 0, names: Mapping[int, str] | None = None) -> Field:
    """Declare an unsigned 32-bit word."""
    return Field(name, "I", doc, default, names)


def u64(name: str, doc: str = "", default: int = 0, names: Mapping[int, str] | None = None) -> Field:
    """Declare an unsigned 64-bit word."""
    return Field(name, "Q", doc, default, names)


def i64(name: str, doc: str = "", default: int = 0, names: Mapping[int, str] | None = None) -> Field:
    """Declare a signed 64-bit word."""
    return Field(name, "q", doc, default, names)


def raw(name: str, size: int, doc: str = "", default: bytes = b"") -> Field:
    """Declare `size` bytes as they are; a shorter value is filled up with zeros."""
    return Field(name, f"{size}s", doc, default)


class Guid(Field):
    """16 bytes; on the wire the first three groups are little-endian.  See `guid_bytes`."""

    __slots__ = ()

    def show(self, value: bytes | int) -> str:
        assert not isinstance(value, int)          # the field's code is "16s"
        return guid_text(value)


def guid(name: str, doc: str = "") -> Guid:
    """Declare a GUID, held as its 16 wire bytes."""
    return Guid(name, "16s", doc, b"")


def guid_bytes(text: str) -> bytes:
    """Return the 16 wire bytes of "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f".  ValueError if it isn't a GUID."""
    return uuid.UUID(text).bytes_le


def guid_text(data: Buffer) -> str:
    """Return the GUID in 16 wire bytes, as text."""
    return str(uuid.UUID(bytes_le=bytes(data)))


class Layout:
    """Fields in a row, without gaps, little-endian (`order` ">" for big-endian, as SCSI has it).

    `tail` names what may follow the fields: "B" items are given and returned as
    bytes, "H", "I" and "Q" items as a tuple of ints.
    """

    def __init__(self, name: str, *fields: Field, tail: str | None = None, each: str = "B", order: str = "<") -> None:
        self.name, self.fields, self.tail = name, fields, tail
        self.order, self.each = order, each
        self.struct = struct.Struct(order + "".join(field.code for field in fields))
        self.size = self.struct.size
        self.item = struct.calcsize("<" + each)
        self.by_name = {field.name: field for field in fields}
        at = 0
        for field in fields:
            field.offset, at = at, at + field.size
        names = [field.name for field in fields] + ([tail] if tail else [])
        self.record: Any = namedtuple(name, names)  # type: ignore[misc]  # made at run time
        self._defaults = {field.name: field.default for field in fields}

    def pack(self, **values: Any) -> bytes:
        """Return bytes; unnamed fields take their defaults.  TypeError: no such field; ValueError: a value doesn't fit."""
        tail = values.pop(self.tail, ()) if self.tail else ()
        unknown = values.keys() - self._defaults.keys()
        if unknown:
            raise TypeError(f"{self.name} has no field {', '.join(sorted(unknown))}")
        for field in self.fields:
            value = values.get(field.name, b"")
            if isinstance(value, (bytes, bytearray)) and len(value) > field.size:
                raise ValueError(f"{self.name}.{field.name}: {len(value)} bytes in a field of {field.size}")
        try:
            return self.struct.pack(*{**self._defaults, **values}.values()) + self._pack_tail(tail)
        except struct.error as error:
            raise ValueError(f"{self.name}: {error} in {values}") from None

    def _pack_tail(self, tail: Buffer | Sequence[int]) -> bytes:
        return bytes(tail) if self.each == "B" else struct.pack(f"{self.order}{len(tail)}{self.each}", *tail)

    def parse(self, data: Buffer, offset: int = 0) -> Record:
        """Return a named tuple of the fields at `offset` of `data` (bytes-like), and of the tail as far as whole items go."""
        if len(data) - offset < self.size:
            raise ShortMessage(self.name, max(len(data) - offset, 0), self.size)
        values = self.struct.unpack_from(data, offset)
        if self.tail:
            values += (self._parse_tail(data, offset + self.size),)
        return self.record._make(values)

    def _parse_tail(self, data: Buffer, at: int) -> bytes | tuple[int, ...]:
        if self.each == "B":
            return bytes(data[at:])
        return struct.unpack_from(f"{self.order}{(len(data) - at) // self.item}{self.each}", data, at)

    def only(self, *names: str | tuple[str, str], whole: bool = False) -> struct.Struct:
        """Return a compiled `struct.Struct` of some fields, in their order, that passes over the others.

        It ends behind the last one, or with `whole` where the layout ends (what isn't
        named is then packed as zeros).  A pair (first, last) stands for all fields from
        the one to the other, as bytes.  ValueError: no such field, or not in order.
        """
        code, at = self.order, 0
        for name in names:
            first, last = name if isinstance(name, tuple) else (name, name)
            if first not in self.by_name or last not in self.by_name:
                raise ValueError(f"{self.name} has no field {first if first not in self.by_name else last}")
            start, end = self.by_name[first].offset, self.slice(last).stop
            if start < at or end <= start:
                raise ValueError(f"{self.name}: {first} is not behind the fields named before")
            code += f"{start - at}x" if start > at else ""
            code += f"{end - start}s" if isinstance(name, tuple) else self.by_name[name].code
            at = end
        return struct.Struct(code + (f"{self.size - at}x" if whole and at < self.size else ""))

    def slice(self, first: str, last: str | None = None) -> slice:
        """Return where a field is, or the fields from `first` to `last`, as a `slice` of the bytes."""
        end = self.by_name[last or first]
        return slice(self.by_name[first].offset, end.offset + end.size)

    def at(self, name: str) -> tuple[int, int]:
        """Return (offset, bytes) of a field."""
        field = self.by_name[name]
        return field.offset, field.size

    def titled(self, name: str) -> "Layout":
        """Return the same fields under another name, for drawings of one of several messages that share them."""
        other = copy(self)
        other.name = name
        return other

    def draw(self, data: Buffer, offset: int = 0) -> str:
        """Return a table of fixed width: one row a field, 8 bytes a line; bytes after the fields come last."""
        record = self.parse(data, offset)
        rows = []
        for field, value in zip(self.fields, record):
            text = f"{field.show(value)}  ({field.doc})" if field.doc else field.show(value)
            rows += _rows(field.offset, bytes(data[offset + field.offset:offset + field.offset + field.size]),
                          field.name, text)
        rest = bytes(data[offset + self.size:])
        if rest:
            text = ", ".join(f"{item:#x}" for item in record[-1]) if self.tail and self.each != "B" else ""
            rows += _rows(self.size, rest, self.tail or "(rest)", text)
        width = max(len(row[2]) for row in rows)
        lines = [f"{self.name}: {len(data) - offset} bytes", f"{'at':>4}  {'bytes':<23}  {'field':<{width}}  value"]
        lines += [f"{at:>4}  {octets:<23}  {name:<{width}}  {text}".rstrip() for at, octets, name, text in rows]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Layout({self.name!r}, {self.size} bytes)"


def placed(name: str, size: int, fields: Mapping[int, Field], order: str = "<") -> Layout:
    """Return the layout of `size` bytes with these fields, {offset: field}; what lies between them is reserved.

    ValueError for fields that overlap, or don't fit.
    """
    row: list[Field] = []
    end = 0
    for offset, field in [*sorted(fields.items()), (size, None)]:
        if offset < end:
            raise ValueError(f"{name}: {row[-1].name} ends at {end:#x}, behind {offset:#x}")
        if offset > end:
            row.append(raw(f"reserved_{end:x}h", offset - end))
        if field is not None:
            row.append(field)
            end = offset + field.size
    return Layout(name, *row, order=order)


def _show_bytes(value: bytes) -> str:
    """Text if it is text, otherwise nothing: the bytes stand beside it."""
    if not any(value):
        return "zero"
    text = value.rstrip(b"\0")
    return repr(text.decode("ascii")) if all(32 <= byte < 127 for byte in text) else ""


def _rows(at: int, data: bytes, name: str, text: str) -> list[tuple[int, str, str, str]]:
    """Rows (offset, hex, name, text) of one field, 8 bytes each; two or more lines of zeros at its end are one row."""
    used = -(-len(data.rstrip(b"\0")) // 8) * 8
    if len(data) - used <= 8:
        used = len(data)
    rows = [(at + i, data[i:min(i + 8, used)].hex(" "), "", "") for i in range(0, used, 8)]
    if used < len(data):
        rows.append((at + used, f"00 x {len(data) - used}", "", ""))
    return [(*rows[0][:2], name, text), *rows[1:]]
