"""Layouts of bits: entries of a chip's tables, declared once as a data sheet draws them.

    ROOT = BitLayout("ROOT_ENTRY", 128, bit("present", 0), bits("table", 63, 12, "context table, in pages"))

    ROOT.pack(present=1, table=0x1234)     16 bytes; what isn't named is 0
    ROOT.parse(data).table                 0x1234
    ROOT.take(number)                      the same from an int: for code in a hurry
    ROOT.reserved                          the bits that no field has, which must be 0
    ROOT.mask("table")                     the bits of one
    print(ROOT.draw(data))                 a table: bits, name, value
"""

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from vmio.machine.contracts import Buffer, Record


class Bits:
    """One field: bits `high` down to `low`."""

    __slots__ = ("name", "high", "low", "doc", "names")

    def __init__(self, name: str, high: int, low: int, doc: str = "", names: Mapping[int, str] | None = None) -> None:
        self.name, self.high, self.low, self.doc, self.names = name, high, low, doc, names or {}

    @property
    def max(self) -> int:
        """The largest value."""
        return (1 << self.high - self.low + 1) - 1

    def show(self, value: int) -> str:
        """Return `value` for a human."""
        text = str(value) if value < 10 else f"{value:#x}"
        return f"{text} {self.names[value]}" if value in self.names else text


def bits(name: str, high: int, low: int, doc: str = "", names: Mapping[int, str] | None = None) -> Bits:
    """Declare a field of several bits, named as data sheets do: from the highest to the lowest."""
    return Bits(name, high, low, doc, names)


def bit(name: str, at: int, doc: str = "") -> Bits:
    """Declare a flag."""
    return Bits(name, at, at, doc)


class BitLayout:
    """`width` bits, little-endian in memory; fields may be given in any order and must not overlap (ValueError)."""

    def __init__(self, name: str, width: int, *fields: Bits) -> None:
        self.name, self.width, self.fields = name, width, fields
        self.size = width // 8
        self.by_name = {field.name: field for field in fields}
        used = 0
        for field in fields:
            if not 0 <= field.low <= field.high < width or used & self.mask(field.name):
                raise ValueError(f"{name}.{field.name}: bits {field.high} to {field.low} are not there, or taken")
            used |= self.mask(field.name)
        self.reserved = (1 << width) - 1 & ~used
        record: Any = namedtuple(name, [field.name for field in fields])  # type: ignore[misc]  # made at run time
        parts = ", ".join(f"number >> {field.low} & {field.max:#x}" for field in fields)
        # One expression for all fields: several times as fast as a loop over them.
        self.take = eval(f"lambda number: new(record, ({parts},))", {"new": tuple.__new__, "record": record})

    def mask(self, name: str) -> int:
        """Return the bits of a field."""
        field = self.by_name[name]
        return field.max << field.low

    def number(self, **values: int) -> int:
        """Return the int with these fields.  TypeError: no such field; ValueError: a value doesn't fit."""
        number = 0
        for name, value in values.items():
            if name not in self.by_name:
                raise TypeError(f"{self.name} has no field {name}")
            field = self.by_name[name]
            if not 0 <= value <= field.max:
                raise ValueError(f"{self.name}.{name}: {value}; 0 to {field.max}")
            number |= value << field.low
        return number

    def pack(self, **values: int) -> bytes:
        """Return the bytes with these fields, as `number`."""
        return self.number(**values).to_bytes(self.size, "little")

    def parse(self, data: Buffer) -> Record:
        """Return a named tuple of the fields; ValueError for fewer bytes than there are."""
        if len(data) < self.size:
            raise ValueError(f"{self.name}: {len(data)} bytes, {self.size} needed")
        return self.take(int.from_bytes(data[:self.size], "little"))

    def draw(self, data: Buffer) -> str:
        """Return a table of fixed width, from bit 0 on: one row a field; reserved bits that are set come last."""
        record, number = self.parse(data), int.from_bytes(data[:self.size], "little")
        width = max(len(field.name) for field in self.fields)
        lines = [f"{self.name}: {self.size} bytes", f"{'bits':>7}  {'field':<{width}}  value"]
        for field in sorted(self.fields, key=lambda field: field.low):
            where = f"{field.high}:{field.low}" if field.high > field.low else str(field.low)
            value = field.show(getattr(record, field.name))
            lines.append(f"{where:>7}  {field.name:<{width}}  {value}" + (f"  ({field.doc})" if field.doc else ""))
        if number & self.reserved:
            lines.append(f"{'':>7}  {'(reserved)':<{width}}  {number & self.reserved:#x}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"BitLayout({self.name!r}, {self.width} bits)"
