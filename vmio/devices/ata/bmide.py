"""Bus-master IDE: two DMA engines that move an ATA command's data, as a table in memory says.

Registers and table: "Programming Interface for Bus Master IDE Controller"
revision 1.0 (Intel, 1994), and the Intel 82371SB (PIIX3) data sheet 290550
section 2.7.  For each channel: command (offset 0), status (2), address of the
PRD table (4).  A physical region descriptor is an address and a byte count
(0 means 65,536), with the end-of-table flag in its top bit.
"""

import struct
from collections.abc import Iterator

from vmio.devices.ata.contracts import Channel
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.ata.taskfile import ABRT, READY, UNC
from vmio.devices.ata.transfer import dma_moved
from vmio.machine.bus import BadAccess, all_ones
from vmio.machine.contracts import Buffer, Memory, State
from vmio.machine.memory import PAGE, MemoryFault
from vmio.machine.pagetable import TranslationFault

START, TO_MEMORY = 0x01, 0x08           # command register; TO_MEMORY is recorded, the ATA command decides
ACTIVE, ERROR, INTERRUPT = 0x01, 0x02, 0x04  # status register; bits 5 and 6 are software's "drive can DMA"
CAPABLE = 0x60
PRD = struct.Struct("<II")
END_OF_TABLE = 0x80000000
TABLE_BYTES = 4096  # the walk ends here when no descriptor says so
FAULTS = (BadAccess, MemoryFault, TranslationFault)


class Engine:
    """One channel's half.  `arm` is the device's request; START and a request together make a transfer."""

    def __init__(self, channel: Channel, memory: Memory) -> None:
        self.channel, self.memory = channel, memory
        channel.dma = self
        self.reset()

    def reset(self) -> None:
        """Everything off."""
        self.command = self.status = self.table = self.next_prd = 0
        self.kind: str | None = None      # what the device asks for: 'read', 'write', 'trim' or nothing
        self.segments: list[tuple[int, int]] = []    # (address, length) of the transfer under way
        self.described = 0    # bytes that the table had room for

    def arm(self, kind: str) -> None:
        """The device has a DMA command to run; it starts now if START came first."""
        self.kind = kind
        if self.status & ACTIVE:
            self._begin()

    def disarm(self) -> None:
        """The device was reset and asks for nothing any more."""
        self.kind = None

    @property
    def moves(self) -> bool:
        """A transfer is under way: the medium has been asked."""
        return self.channel.waiting is not None and self.channel.waiting[2] is dma_moved

    def write_command(self, value: int) -> None:
        """START set: from the head of the table.  START cleared: a transfer under way is let finish first."""
        change, starts = (value ^ self.command) & START, value & START
        if change and not starts:
            if self.moves:
                self.channel.settle()
            self.status &= ~ACTIVE
        elif change:
            self.next_prd = self.table
            if not self.status & ACTIVE:
                self.status |= ACTIVE
                if self.kind:
                    self._begin()
        self.command = value & (START | TO_MEMORY)

    def write_status(self, value: int) -> None:
        """ERROR and INTERRUPT are cleared by writing ones; the capable bits are just kept."""
        self.status = value & CAPABLE | self.status & ACTIVE | self.status & ~value & (ERROR | INTERRUPT)

    # --- the transfer ------------------------------------------------------

    def _begin(self) -> None:
        channel = self.channel
        device = channel.selected
        wanted = device.count * 512
        if not wanted:  # only DATA SET MANAGEMENT can ask for nothing
            self._end(more=False)
            return
        fits = self._walk(wanted)
        if fits < wanted:  # too short a table: nothing moves, nobody is told
            device.status = READY
            self._stop()
        elif self.kind != "trim" and not device.in_range(device.lba, device.count):
            self._fail()
        else:
            channel.start("read" if self.kind == "read" else "write", device.count, dma_moved)

    def _walk(self, wanted: int) -> int:
        """Read the table to its end; keep the first `wanted` bytes of it, and return how many there were."""
        segments, fits, described = [], 0, 0
        at = self.next_prd
        while (at - self.table) & 0xFFFFFFFF < TABLE_BYTES:  # 512 descriptors at most
            address, count = PRD.unpack(self._fetch(at, 8))
            at = at + 8 & 0xFFFFFFFF
            length = count & 0xFFFE or 0x10000
            described += length
            if fits < wanted:
                length = length if length < wanted - fits else wanted - fits
                segments.append((address, length))
                fits += length
            if count & END_OF_TABLE:
                break
        self.next_prd, self.segments, self.described = at, segments, described
        return fits

    def finish(self) -> None:
        """The medium is done: move the bytes, bring the registers up to date, interrupt."""
        device = self.channel.selected
        lba, count = device.lba, device.count
        if self.kind == "read":
            data = device.fetch(lba, count)
            if data is None:
                self._fail(UNC)
                return
            if len(self.segments) == 1:
                self._store(self.segments[0][0], data)
            else:
                at = 0
                for address, length in self.segments:
                    self._store(address, data[at:at + length])
                    at += length
        else:
            data = b"".join([self._fetch(address, length) for address, length in self.segments])
            if self.kind == "write":
                done = device.store(lba, data)
            else:
                done = trimmable(device, data) and all([device.discard(*part) for part in trimmed(data)])
            if not done:
                self._fail()
                return
        device.advance(lba, count)
        self._end(more=self.described > count * 512)

    def _end(self, more: bool) -> None:
        """A good end.  ACTIVE stays when the table had more room than the command needed (section 3.1)."""
        self.channel.selected.status = READY
        self.channel.interrupt()
        self._stop(more)

    def _fail(self, error: int = ABRT) -> None:
        """The device refuses: its error status, and an interrupt."""
        self.channel.abort(self.channel.selected, error)
        self._stop()
        self.channel.interrupt()

    def _stop(self, more: bool = False) -> None:
        self.kind, self.segments = None, []
        self.status = self.status | ACTIVE if more else self.status & ~ACTIVE

    # --- memory: what nobody answers reads as ones, and a write to it is lost -----

    def _fetch(self, address: int, length: int) -> bytes:
        try:
            return self.memory.read(address, length)
        except FAULTS:
            if length <= 8 or address // PAGE == (address + length - 1) // PAGE:
                return b"\xff" * length
        return b"".join([self._fetch(at, n) for at, n in pages(address, length)])

    def _store(self, address: int, data: Buffer) -> None:
        try:
            self.memory.write(address, data)
        except FAULTS:
            if address // PAGE != (address + len(data) - 1) // PAGE:
                for at, n in pages(address, len(data)):
                    self._store(at, data[at - address:at - address + n])

    # --- checkpoint --------------------------------------------------------

    FIELDS = ("command", "status", "table", "next_prd", "kind", "described")

    def save(self) -> State:
        """Return the registers and the transfer under way, as plain data."""
        return {name: getattr(self, name) for name in self.FIELDS} | {"segments": list(self.segments)}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        for name in self.FIELDS:
            setattr(self, name, state[name])
        self.segments = [tuple(segment) for segment in state["segments"]]


class BusMaster:
    """The 16 ports of BAR 4: attach with width=4.

    `memory` reads and writes bytes by bus address; it may raise `BadAccess`,
    `MemoryFault` or `TranslationFault`, which the guest sees as a PCI master
    abort: all ones read, writes lost (PCI Local Bus 2.1, 3.3.3.1).
    """

    def __init__(self, channel0: Channel, channel1: Channel, memory: Memory) -> None:
        self.engines = (Engine(channel0, memory), Engine(channel1, memory))

    def reset(self) -> None:
        """Both engines off."""
        for engine in self.engines:
            engine.reset()

    def read(self, offset: int, size: int) -> int:
        """Command and status are bytes, the table address is of any width."""
        if size == 1 and offset & 5 == 0 and offset < 16:
            engine = self.engines[offset >> 3]
            return engine.status if offset & 2 else engine.command
        if offset % size:
            return sum(self._read_part(at, n) << 8 * (at - offset) for at, n in aligned(offset, size))
        engine = self._engine(offset, size)
        at = offset & 7
        if at >= 4:
            return engine.table >> 8 * (at - 4) & all_ones(size)
        raise BadAccess(f"bus-master IDE: no {size}-byte read at {offset}")

    def write(self, offset: int, size: int, value: int) -> None:
        """As `read`; the table address is a multiple of 4."""
        if size == 1 and offset & 5 == 0 and offset < 16:
            engine = self.engines[offset >> 3]
            engine.write_status(value) if offset & 2 else engine.write_command(value)
            return
        if offset % size:
            for at, n in aligned(offset, size):
                self._write_part(at, n, value >> 8 * (at - offset) & all_ones(n))
            return
        engine = self._engine(offset, size)
        at = offset & 7
        if at >= 4:
            shift = 8 * (at - 4)
            engine.table = engine.table & ~(all_ones(size) << shift) | value << shift & ~3
        else:
            raise BadAccess(f"bus-master IDE: no {size}-byte write at {offset}")

    def _read_part(self, offset: int, size: int) -> int:
        try:
            return self.read(offset, size)
        except BadAccess:
            return all_ones(size)

    def _write_part(self, offset: int, size: int, value: int) -> None:
        try:
            self.write(offset, size, value)
        except BadAccess:
            pass

    def _engine(self, offset: int, size: int) -> Engine:
        if not 0 <= offset <= 16 - size:
            raise BadAccess(f"bus-master IDE: no register at {offset}")
        return self.engines[offset >> 3]

    def save(self) -> State:
        """Return both engines."""
        return {"engines": [engine.save() for engine in self.engines]}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        for engine, saved in zip(self.engines, state["engines"]):
            engine.restore(saved)


def aligned(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, size) of the widest aligned accesses that make up a misaligned one, low first."""
    end = offset + size
    while offset < end:
        n = 2 if offset % 2 == 0 and end - offset >= 2 else 1
        yield offset, n
        offset += n


def pages(address: int, length: int) -> Iterator[tuple[int, int]]:
    """(address, length) of the pieces of a range that no 4 KiB boundary crosses."""
    end = address + length
    while address < end:
        n = min(PAGE - address % PAGE, end - address)
        yield address, n
        address += n


def trimmable(device: AtaDisk, data: bytes) -> bool:
    """Return whether every range (48-bit LBA, 16-bit count; a count of 0 is no range) is on the disk (ACS-2, 7.9)."""
    return all(device.in_range(first, sectors) for first, sectors in trimmed(data))


def trimmed(data: bytes) -> list[tuple[int, int]]:
    """Return the ranges as (first sector, sectors)."""
    return [(entry & (1 << 48) - 1, entry >> 48) for entry, in struct.iter_unpack("<Q", data) if entry >> 48]
