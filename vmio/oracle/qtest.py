"""The oracle door: this board behind QEMU's qtest text protocol.

A qtest client that drives a QEMU (`qemu-system-x86_64 -machine pc -qtest ...`)
can drive this board with the same lines, and the answers can be compared.
Source of the protocol: QEMU, docs/devel/testing/qtest.rst and system/qtest.c.

Time stands still but for `clock_step` and `clock_set`.  A disk access ends after
the command that follows it: QEMU's ends in its own time, and a driver that
looks at once sees BSY there too.
"""

import base64
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TypeVar

from vmio import console
from vmio.devices.ata.channel import AtaDisk
from vmio.devices.board import RTC_BASE, Board
from vmio.hardware.edu import Edu
from vmio.hardware.edu_pci import EduFunction
from vmio.hardware.nvme.controller import NvmeController
from vmio.hardware.nvme.pci import NvmeFunction
from vmio.machine.clock import NEVER
from vmio.machine.contracts import FileName, Memory
from vmio.machine.lines import Line
from vmio.machine.log import Log
from vmio.machine.media.medium import Medium
from vmio.machine.pagetable import TranslationFault
from vmio.machine.storage import Image
from vmio.modes import one_guest
from vmio.passthrough.iommu.remapper import Remapper
from vmio.passthrough.iommu.requester import requester_id
from vmio.passthrough.iommu.space import DmaSpace
from vmio.passthrough.iommu.vtd import REGISTER_BYTES, VtdRegisters
from vmio.oracle.unixsocket import connection
from vmio.oracle.virtio import BLK, NET, options_of, virtio_function
from vmio.oracle.wire import Wire, with_tulip
from vmio.oracle.words import BadCommand, hexadecimal, length_of, number, pages
from vmio.virtio.net import Net

IOMMU_BASE = 0xFED9_0000
PLUGGABLE = ("edu", "intel-iommu", "tulip", BLK, NET)
OF_THE_CABLE = ("wire_rx", "wire_tx")        # no commands of QEMU's protocol: nothing ends after them
MAX_DRIVES = 4
SIZES = {"b": 1, "w": 2, "l": 4, "q": 8}

Disk = FileName | bytearray | memoryview       # by its name, or its bytes
One = TypeVar("One", bound=Disk)


class Door:
    """One board, driven by qtest lines: `answer(line)` returns the lines to send back.

    `drive` is a disk, or a list of up to four: primary master and slave, secondary master and slave.
    `pit` "binary" has the timer count in binary what should count in BCD, as QEMU's does.
    `devices` names what else is plugged in, from PCI slot 3 on, or 4 beside a drive's
    NVMe controller: `edu`, then virtio devices, which may have options as QEMU's have them (a disk
    takes the controller's place), then `tulip`; `intel-iommu` (registers at FED90000h; DMA of what is in
    the PCI slots goes through it, the chipset's own IDE function's does not).
    `max_timers` may ring in one command: 7 hours of the PC's timer, seconds of ours.
    """

    max_timers = 1_000_000

    def __init__(self, drive: Disk | list[Disk] | tuple[Disk, ...] | None = None, serial: Callable[[int], object] | None = None, memory_mib: int = 16,
                 rtc_base: str = RTC_BASE, devices: Sequence[str] = (), pit: str = "bcd") -> None:
        unknown = [name for name in devices if options_of(name)[0] not in PLUGGABLE or "," in name and options_of(name)[0] not in (BLK, NET)]
        if unknown:
            raise ValueError(f"device {unknown[0]}: choose from {', '.join(PLUGGABLE)}")
        if not 1 <= memory_mib <= 1024:
            raise ValueError(f"memory {memory_mib}: 1 to 1,024 MiB")
        drives = drives_of(drive)
        if len(drives) > MAX_DRIVES:
            raise ValueError(f"drives: {len(drives)} given; a PC's two channels hold {MAX_DRIVES}, master and slave each")
        self.guest = one_guest(name="board", ram_mib=memory_mib).guest
        self._unfinished: list[Callable[[], None]] = []
        self.images = [Image.open(each) for each in drives]
        disks = [AtaDisk(image, serial=f"VMIO{n:04}") for n, image in enumerate(self.images, 1)]
        self.board = Board(self.guest, disks, self._disk_access, serial=serial, rtc_base=rtc_base, pit=pit)
        self.iommu = self._plug_iommu() if "intel-iommu" in devices else None
        slot = 3
        if self.images and not any(options_of(name)[0] == BLK for name in devices):
            self._plug_nvme(self.images[0])
            slot = 4
        if "edu" in devices:
            self._plug_edu(slot)
            slot += 1
        self._events: list[str] = []
        self._levels: dict[Line, int] = {}
        commands: dict[str, Callable[..., object]] = {"read": self._read, "write": self._write, "b64read": self._b64read, "b64write": self._b64write,
                    "memset": self._memset, "clock_step": self._clock_step, "clock_set": self._clock_set,
                    "irq_intercept_in": self._intercept_in, "irq_intercept_out": self._intercept_out,
                    "endianness": lambda: "little"}
        for letter, size in SIZES.items():
            if size < 8:
                commands["in" + letter] = lambda port, size=size: self._in(port, size)
                commands["out" + letter] = lambda port, value, size=size: self._out(port, value, size)
            commands["read" + letter] = lambda at, size=size: self._load(at, size)
            commands["write" + letter] = lambda at, value, size=size: self._store(at, value, size)
        for name in devices:
            if options_of(name)[0] in (BLK, NET):
                self._plug_virtio(slot, name)
                slot += 1
        cards = [name for name in devices if name == "tulip"] + [name for name in devices if options_of(name)[0] == NET]
        if len(cards) > 1:
            raise ValueError(f"devices {cards[0]} and {cards[1]}: the door has the other end of one cable")
        if "tulip" in devices:
            self.wire = with_tulip(self.board, slot, self._dma(slot))
        if cards:
            commands |= {"wire_rx": self.wire.bring, "wire_tx": self.wire.fetch}
        self._commands = commands

    def _plug_iommu(self) -> VtdRegisters:
        """VT-d registers; the tables are in this board's RAM.  Caches and faults as QEMU's device has them."""
        remapper = Remapper(self.guest.memory, width=39, iotlb_entries=1024, hits_fault=False)
        registers = VtdRegisters(remapper)
        self.guest.mmio.attach(IOMMU_BASE, REGISTER_BYTES, registers, "intel-iommu", width=8)
        return registers

    def _dma(self, slot: int) -> Memory | None:
        """What a function's DMA reaches: the board's memory (None), or what the IOMMU lets through."""
        if self.iommu is None:
            return None
        return DmaSpace(self.iommu.remapper, self.iommu.interrupts, requester_id(0, slot))

    def _plug_nvme(self, image: Medium, slot: int = 3) -> None:
        """The first disk once more, as an NVMe controller in a PCI slot: a client takes the one it has a driver for."""
        controller = NvmeController(self.guest.clock, self.guest.memory, image, service=self._disk_access, fetch_ns=0)
        self.board.plug(slot, NvmeFunction(controller), "nvme", self._dma(slot))

    def _plug_edu(self, slot: int) -> None:
        """QEMU's teaching device."""
        self.board.plug(slot, EduFunction(Edu(self.guest.clock, self.guest.memory)), "edu", self._dma(slot))

    def _plug_virtio(self, slot: int, name: str) -> None:
        """A virtio device; a disk has the first drive, a card the cable."""
        function = virtio_function(name, self.guest.memory, self.images[0] if self.images else None, lambda call: self._unfinished.append(call))
        self.board.plug(slot, function, options_of(name)[0], self._dma(slot))
        if isinstance(function.device, Net):
            self.wire = Wire(function.device)

    def _disk_access(self, op: str, sectors: int, done: Callable[[], None]) -> None:
        self._unfinished.append(done)

    def answer(self, line: str) -> list[str]:
        """Return the lines that answer one command: `IRQ raise|lower N` for its effects, then OK or FAIL."""
        words = line.split()
        if not words:
            return []
        under_way: list[Callable[[], None]] = []
        if words[0] not in OF_THE_CABLE:
            under_way, self._unfinished = self._unfinished, []
        self.guest.clock.advance_to(self.guest.clock.now)  # what was asked for "as soon as you are done"
        try:
            command = self._commands.get(words[0])
            if command is None:
                raise BadCommand(f"Unknown command '{words[0]}'")
            try:
                result = command(*words[1:])
            except TypeError:
                raise BadCommand(f"{words[0]}: wrong number of arguments ({len(words) - 1})") from None
            verdict = "OK" if result is None else f"OK {result}"
        except BadCommand as error:
            verdict = f"FAIL {error}"
        for finish in under_way:
            finish()
        events, self._events = self._events, []
        return [*events, verdict]

    # Ports.

    def _in(self, port: str, size: int) -> str:
        return f"0x{self.guest.io.read(number(port, 'port', 0xFFFF), size):04x}"

    def _out(self, port: str, value: str, size: int) -> None:
        at, said = number(port, "port", 0xFFFF), number(value, "value")
        self.guest.io.write(at, size, said & (1 << 8 * size) - 1)

    # Memory, by guest-physical address.

    def _load(self, at: str, size: int) -> str:
        address = number(at, "address")
        region = self.guest.mmio.find(address)
        value = self.guest.mmio.read(address, size) if region else int.from_bytes(self._get(address, size), "little")
        return f"0x{value:016x}"

    def _store(self, at: str, value: str, size: int) -> None:
        said = number(value, "value") & (1 << 8 * size) - 1
        address = number(at, "address")
        if self.guest.mmio.find(address):
            self.guest.mmio.write(address, size, said)
        else:
            self._put(address, said.to_bytes(size, "little"))

    def _read(self, at: str, length: str) -> str:
        return "0x" + self._get(number(at, "address"), length_of(length)).hex()

    def _write(self, at: str, length: str, data: str) -> None:
        count = length_of(length)
        raw = hexadecimal(data, "write")
        self._put(number(at, "address"), raw[:count].ljust(count, b"\0"))

    def _b64read(self, at: str, length: str) -> str:
        return base64.b64encode(self._get(number(at, "address"), length_of(length))).decode()

    def _b64write(self, at: str, length: str, data: str) -> None:
        count = length_of(length)
        try:
            raw = base64.b64decode(data, validate=True)
        except ValueError:
            raise BadCommand(f"b64write: data {data[:40]!r} is not base64") from None
        if len(raw) != count:
            raise BadCommand(f"b64write: {len(raw)} bytes of data, {count} announced")
        self._put(number(at, "address"), raw)

    def _memset(self, at: str, length: str, value: str) -> None:
        address, count = number(at, "address"), length_of(length)
        self._put(address, bytes([number(value, "value") & 0xFF]) * count)

    def _get(self, at: int, length: int) -> bytes:
        """RAM, or all ones where there is none."""
        try:
            return self.guest.memory.read(at, length)
        except TranslationFault:
            return b"".join(self._page(a, n) for a, n in pages(at, length))

    def _page(self, at: int, length: int) -> bytes:
        try:
            return self.guest.memory.read(at, length)
        except TranslationFault:
            return b"\xff" * length

    def _put(self, at: int, data: bytes) -> None:
        for address, length in pages(at, len(data)):
            try:
                self.guest.memory.write(address, data[address - at:address - at + length])
            except TranslationFault:
                pass  # nobody there to keep it

    # Time and interrupts.

    def _clock_step(self, ns: str | None = None) -> int:
        clock = self.guest.clock
        if ns is None:
            deadline = clock.deadline()
            return self._advance_to(deadline if deadline < NEVER else clock.now)
        return self._advance_to(clock.now + number(ns, "ns", NEVER - clock.now - 1))

    def _clock_set(self, ns: str) -> int:
        clock, when = self.guest.clock, number(ns, "ns", NEVER - 1)
        if when < clock.now:
            raise BadCommand(f"clock_set {when}: the clock stands at {clock.now} and does not go back")
        return self._advance_to(when)

    def _advance_to(self, when: int) -> int:
        """Move the clock, and say where it stands; it halts on the way when the timers have rung too often."""
        clock = self.guest.clock
        for _ in range(self.max_timers):
            due = clock.deadline()
            if due >= when:
                clock.advance_to(when)
                return clock.now
            clock.advance_to(due)
        raise BadCommand(f"clock: timers rang {self.max_timers} times before {when}; it stands at {clock.now}, step on")

    def _intercept_in(self, name: str) -> None:
        if "ioapic" not in name and "i8259" not in name:
            raise BadCommand(f"irq_intercept_in {name}: 'ioapic' is the device here, its inputs 0 to 15 the ISA lines")
        for n, line in enumerate(self.guest.lines):
            self._watch(n, line)

    def _intercept_out(self, name: str) -> None:
        if "i8259" not in name:
            raise BadCommand(f"irq_intercept_out {name}: 'i8259' is the device here, its output 0 the INT line")
        self._watch(0, self.board.int_line)

    def _watch(self, n: int, line: Line) -> None:
        if line in self._levels:
            return
        self._levels[line] = 0

        def edge(level: int) -> None:
            if level != self._levels[line]:
                self._levels[line] = level
                self._events.append(f"IRQ {'raise' if level else 'lower'} {n}")
        line.connect(edge)


def drives_of(drive: One | list[One] | tuple[One, ...] | None) -> list[One]:
    """Return a list of disks from one, a list of them, or None."""
    return list(drive) if isinstance(drive, (list, tuple)) else [drive] if drive else []


def serve(door: Door, lines: Iterable[str], send: Callable[[str], None]) -> None:
    """Answer each line of `lines`; `send(text)` writes back."""
    for line in lines:
        answer = door.answer(line)
        if answer:
            send("\n".join(answer) + "\n")


def main(drive: FileName | list[FileName] | None = None, serial: str | None = None, memory_mib: int = 16, rtc_base: str = RTC_BASE, unix: str | None = None,
         devices: Sequence[str] = (), pit: str = "bcd") -> None:
    """Serve on standard input and output, or on the Unix socket `unix`.

    If somebody listens at `unix` already (as libqtest does before it starts its
    QEMU), connect there; else listen, and serve the first client.  COM1's bytes
    go to `serial` as `Log` has it.
    """
    if serial is not None and unix is not None and os.path.realpath(serial) == os.path.realpath(unix):
        raise ValueError(f"output {serial}: the socket is to be there; choose another name")
    names = {"--drive" if n == 1 else f"--drive {n}": each for n, each in enumerate(drives_of(drive), 1)}
    inputs: dict[str, FileName | None] = {**names}
    log = Log(serial, inputs, () if unix is not None else (0, 1)) if serial is not None else None
    door = Door([*names.values()], (lambda byte: log.write(bytes([byte]))) if log else None, memory_mib, rtc_base, devices, pit)
    for name, image in zip(names, door.images):
        inputs |= image.inputs(name)      # with its parents; the log looks again when it begins
    with log or nullcontext():
        if unix is not None:
            _serve_at(door, unix)
            return
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace")    # such a command is unknown, and that is the answer
        try:
            serve(door, sys.stdin, console.answer)
        except BrokenPipeError as error:
            gone = error
        else:
            return
    raise gone          # the log is whole: that its client goes is how a session ends


def _serve_at(door: Door, unix: str) -> None:
    with connection(unix) as peer, peer.makefile("r", encoding="utf-8", errors="replace") as lines:
        try:
            serve(door, lines, lambda text: peer.sendall(text.encode()))
        except (BrokenPipeError, ConnectionResetError):
            pass        # the client has gone; there is nobody to tell
