"""Published traces that are plain CSV: one table row says how a form is recognised, another function reads its line."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vmio.experiments.traces.fields import Wrong, decimal, request, sectors, shown, whole
from vmio.experiments.traces.request import Entry

NS = {"s": 1_000_000_000, "us": 1000, "100 ns": 100}


def _op(text: str, reads: str, writes: str) -> str:
    text = text.lower()
    if text not in (reads, writes):
        raise Wrong(f"operation {shown(text)}: {reads} or {writes}")
    return "R" if text == reads else "W"


def _msr(stamp: str, host: str, disk: str, op: str, offset: str, size: str, _: str) -> Entry:
    return (f"{host}_{disk}", whole(stamp, "Timestamp") * NS["100 ns"],
            request(_op(op, "read", "write"), sectors(offset, "Offset"), sectors(size, "Size")))


def _alibaba(device: str, op: str, offset: str, length: str, stamp: str) -> Entry:
    return (device, whole(stamp, "timestamp") * NS["us"],
            request(_op(op, "r", "w"), sectors(offset, "offset"), sectors(length, "length")))


def _tencent(stamp: str, offset: str, size: str, op: str, volume: str) -> Entry:
    return volume, decimal(stamp, "Timestamp", NS["s"]), request(_op(op, "0", "1"), whole(offset, "Offset"), whole(size, "Size"))


def _systor(stamp: str, _: str, op: str, lun: str, offset: str, size: str) -> Entry | None:
    if not op:
        return None      # its answer was not seen, and so not what it was
    return (lun, decimal(stamp, "Timestamp", NS["s"]),
            request(_op(op, "r", "w"), sectors(offset, "Offset"), sectors(size, "Size")))


def _spc(asu: str, lba: str, size: str, op: str, stamp: str, *_: str) -> Entry:
    return asu, decimal(stamp, "Timestamp", NS["s"]), request(_op(op, "r", "w"), whole(lba, "LBA"), sectors(size, "Size"))


class Table(NamedTuple):
    """A form: its name, columns, units; what a line of it looks like; (volume, ns, request) or None of its fields."""

    name: str
    columns: str
    units: str
    looks: str
    row: Callable[..., Entry | None]

    @property
    def keeps_order(self) -> bool:
        """Whether the order in the file says more than the times: of no such form."""
        return False

    def sees(self, line: str) -> "Table | None":
        """Itself if `line` is the header or like a line of this form, else None."""
        return self if self._is_header(line) or re.fullmatch(self.looks, line) else None

    def _is_header(self, line: str) -> bool:
        return line.lower().replace(" ", "") == self.columns.lower()

    def rows(self, line: str) -> Sequence[Entry]:
        """[(volume, ns, request)] of a line."""
        fields = [field.strip() for field in line.split(",")]
        count = self.columns.count(",") + 1
        if len(fields) != count and not (self.row is _spc and len(fields) > count):   # SPC: more fields may follow
            if self._is_header(line):
                return ()
            raise Wrong(f"{len(fields)} columns; expected {count} ({self.columns})")
        if self._is_header(line):
            return ()
        found = self.row(*fields)
        return () if found is None else (found,)


_ANY = "[^,]*"
TABLES = (
    # MSR Cambridge (SNIA IOTTA 388), README: Timestamp is the time of issue as a Windows FILETIME.
    Table("MSR Cambridge", "Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime", "100 ns since 1601, bytes",
          rf"{_ANY},{_ANY},{_ANY},(?i:read|write),{_ANY},{_ANY},{_ANY}", _msr),
    # Alibaba block-traces (GitHub alibaba/block-traces), README, "Schema".
    Table("Alibaba", "device_id,opcode,offset,length,timestamp", "bytes, us", rf"{_ANY},[RrWw],{_ANY},{_ANY},{_ANY}", _alibaba),
    # Tencent CBS (SNIA IOTTA), README: offset and size in sectors of 512 bytes; IOType 0 is a read, 1 a write.
    Table("Tencent CBS", "Timestamp,Offset,Size,IOType,VolumeID", "s, 512-byte sectors",
          r"[0-9.]+,[0-9]+,[0-9]+,[01],[0-9]+", _tencent),
    # SYSTOR '17 (SNIA IOTTA), README: a blank IOType means that no answer was seen.
    Table("SYSTOR '17", "Timestamp,Response,IOType,LUN,Offset,Size", "s, bytes",
          rf"{_ANY},{_ANY},[RrWw]?,{_ANY},{_ANY},{_ANY}", _systor),
    # Storage Performance Council, "SPC Trace File Format Specification" 1.0.1: LBA in blocks of the unit (512 bytes
    # in the traces of the UMass repository), size in bytes, time in s, more fields may follow.
    Table("SPC", "ASU,LBA,Size,Opcode,Timestamp", "512-byte blocks, bytes, s", rf"{_ANY},{_ANY},{_ANY}, *[RrWw] *,.*", _spc),
)
