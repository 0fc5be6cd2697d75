"""A guest driver for an ATA disk: PIO by register or string I/O, READ MULTIPLE, bus-master DMA.

Sources: ATA/ATAPI-6 (T13/1410D), 8 "Command descriptions" and 9 "Protocol";
SFF-8038i "Bus Master Programming Interface for IDE".
"""

import struct
from dataclasses import dataclass

from vmio.drivers import pic
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.hypervisor.contracts import Cpu, Steps

DATA, ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS = range(8)
BSY, DRDY, DF, DRQ, ERR = 0x80, 0x40, 0x20, 0x08, 0x01
SECTOR = 512
TIMEOUT_NS = 1_000_000_000
_PRD, _LAST = struct.Struct("<II"), 0x8000_0000     # a physical region descriptor: address, bytes and the mark of the last one

# (read, write) opcodes by (transfer, 48-bit address?)
OPCODES = {
    ("pio", False): (0x20, 0x30), ("pio", True): (0x24, 0x34),
    ("multiple", False): (0xC4, 0xC5), ("multiple", True): (0x29, 0x39),
    ("dma", False): (0xC8, 0xCA), ("dma", True): (0x25, 0x35),
}
IDENTIFY, FLUSH_CACHE, FLUSH_CACHE_EXT, SET_MULTIPLE = 0xEC, 0xE7, 0xEA, 0xC6
DATA_SET_MANAGEMENT = 0x06


class AtaError(DriverError):
    """The disk ended a command with an error; carries `command`, `status`, `error`, `lba`."""

    def __init__(self, command: int, status: int, error: int, lba: int) -> None:
        self.command, self.status, self.error, self.lba = command, status, error, lba
        super().__init__(f"ATA command {command:02X}h at LBA {lba}: status {status:#04x}, error {error:#04x}")


@dataclass(frozen=True)
class Identity:
    """What IDENTIFY DEVICE says: strings without padding, capacity in 512-byte sectors."""

    model: str
    serial: str
    firmware: str
    sectors: int
    lba48: bool
    max_multiple: int
    trim: bool
    dma: bool           # it says that it moves data by DMA


class AtaDriver:
    """The disk `unit` (0 master, 1 slave) behind the command block at `base`.

    `transfer` is "pio", "multiple" or "dma"; `string` moves PIO data by REP INS and
    OUTS; `width` is the size of a data-port access, 2 or 4 bytes; `interrupts`
    sleeps until IRQ 14 instead of polling.  DMA needs `bus_master`, the base port of
    the controller's registers, and `prd`, 4 KiB of guest memory for its table.
    All methods that touch the disk are generators: `yield from disk.read(...)`.
    """

    def __init__(self, cpu: Cpu, base: int = 0x1F0, control: int = 0x3F6, irq: int = 14, unit: int = 0, transfer: str = "pio",
                 string: bool = True, width: int = 2, interrupts: bool = False, bus_master: int | None = None,
                 prd: int = 0x8000) -> None:
        if transfer not in ("pio", "multiple", "dma"):
            raise ValueError(f"transfer {transfer!r}: pio, multiple or dma")
        if width not in (2, 4):
            raise ValueError(f"width {width}: a data-port access is 2 or 4 bytes")
        if transfer == "dma" and bus_master is None:
            raise ValueError("transfer 'dma': give the bus master's base port")
        self.cpu, self.base, self.control, self.irq, self.unit = cpu, base, control, irq, unit
        self.transfer, self.string, self.width, self.interrupts = transfer, string, width, interrupts
        self.bus_master = bus_master or 0      # 0: none
        self.prd = prd
        self.block = 1           # sectors in a DRQ block
        self.discards = False    # TRIM is a DMA command
        self._interrupted = False
        self.identity: Identity | None = None      # from `init` on

    def init(self, multiple: int = 16) -> Steps:
        """Find the disk and read its identity; sets READ MULTIPLE's block if that is the transfer.

        `DriverTimeout` where no disk answers.
        """
        cpu = self.cpu
        cpu.outb(self.base + DEVICE, 0xA0 | self.unit << 4)
        cpu.outb(self.base + COUNT, 0x55)
        cpu.outb(self.base + LBA_LOW, 0xAA)
        kept = cpu.inb(self.base + COUNT), cpu.inb(self.base + LBA_LOW)
        status = cpu.inb(self.base + STATUS)
        if kept != (0x55, 0xAA) or status in (0x00, 0xFF):
            raise DriverTimeout(f"no disk at port {self.base:#x}, unit {self.unit}: status {status:#04x}")
        cpu.outb(self.control, 0x00 if self.interrupts else 0x02)   # nIEN
        if self.interrupts:
            pic.connect(cpu, self.irq, self._interrupt)
        words = yield from self._identify()
        self.identity = identity = _parse_identity(words)
        self.discards = identity.trim and self.transfer == "dma"
        if self.transfer == "multiple":
            self.block = min(multiple, identity.max_multiple)
            self._command(SET_MULTIPLE, 0, self.block)
            yield from self._wait(SET_MULTIPLE, 0, 0)
        return identity

    def read(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Read `sectors` from `lba` to guest memory at `gpa`."""
        yield from self._transfer(lba, sectors, gpa, False)

    def write(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Write `sectors` at `lba` from guest memory at `gpa`."""
        yield from self._transfer(lba, sectors, gpa, True)

    def flush(self) -> Steps[None]:
        """FLUSH CACHE: returns when all that was written is on the disk."""
        self._command(FLUSH_CACHE, 0, 0)
        yield from self._wait(FLUSH_CACHE, 0, 0)

    def discard(self, lba: int, sectors: int, gpa: int) -> Steps:
        """DATA SET MANAGEMENT with TRIM (ACS-2, 7.9); a sector at `gpa` takes the list: 64 ranges of up to 65,535 sectors."""
        while sectors:
            entries: list[bytes] = []
            while sectors and len(entries) < 64:
                step = min(sectors, 0xFFFF)
                entries.append((step << 48 | lba).to_bytes(8, "little"))
                lba, sectors = lba + step, sectors - step
            self.cpu.write(gpa, b"".join(entries).ljust(SECTOR, b"\0"))
            yield from self._dma(DATA_SET_MANAGEMENT, 0, 1, gpa, True, False, feature=1)

    def _transfer(self, lba: int, sectors: int, gpa: int, is_write: bool) -> Steps[None]:
        if not 1 <= sectors <= 65_536 or lba < 0 or lba + sectors > 1 << 48:
            raise ValueError(f"transfer of {sectors} sectors at LBA {lba}: 1 to 65,536 sectors, LBAs from 0 to 2^48 - 1")
        long = sectors > 256 or lba + sectors > 1 << 28
        opcode = OPCODES[self.transfer, long][is_write]
        if self.transfer == "dma":
            yield from self._dma(opcode, lba, sectors, gpa, is_write, long)
        elif is_write:
            yield from self._pio_write(opcode, lba, sectors, gpa, long)
        else:
            yield from self._pio_read(opcode, lba, sectors, gpa, long)

    def _pio_read(self, opcode: int, lba: int, sectors: int, gpa: int, long: bool) -> Steps[None]:
        self._command(opcode, lba, sectors, long)
        while sectors:
            yield from self._wait(opcode, lba, DRQ)
            step = min(self.block, sectors)
            self._data_in(gpa, step * SECTOR)
            gpa, sectors, lba = gpa + step * SECTOR, sectors - step, lba + step
        self._check(opcode, lba, self.cpu.inb(self.control))

    def _pio_write(self, opcode: int, lba: int, sectors: int, gpa: int, long: bool) -> Steps[None]:
        self._command(opcode, lba, sectors, long)
        self._poll(opcode, lba, DRQ)         # the first block is asked for without an interrupt
        while sectors:
            step = min(self.block, sectors)
            self._data_out(gpa, step * SECTOR)
            gpa, sectors, lba = gpa + step * SECTOR, sectors - step, lba + step
            yield from self._wait(opcode, lba, DRQ if sectors else 0)

    def _dma(self, opcode: int, lba: int, sectors: int, gpa: int, is_write: bool, long: bool,
             feature: int | None = None) -> Steps[None]:
        cpu, bm = self.cpu, self.bus_master
        self._write_prd(gpa, sectors * SECTOR)
        direction = 0 if is_write else 8
        cpu.outl(bm + 4, self.prd)
        cpu.outb(bm, direction)
        cpu.outb(bm + 2, cpu.inb(bm + 2) | 0x06)          # clear Interrupt and Error, they are write-1-to-clear
        self._command(opcode, lba, sectors, long, feature)
        cpu.outb(bm, direction | 1)
        if self.interrupts:
            yield from self._wait_interrupt(opcode)
        else:
            self._poll_bus_master(opcode)
        state = cpu.inb(bm + 2)
        cpu.outb(bm, direction)
        status = cpu.inb(self.base + STATUS)
        if state & 0x02:
            raise AtaError(opcode, status, 0, lba)
        self._check(opcode, lba, status)

    def _write_prd(self, gpa: int, length: int) -> None:
        """The physical region descriptor table: (address, byte count), none across 64 KiB, the last one marked."""
        table = b""
        while length:
            step = min(length, 0x10000 - gpa % 0x10000)
            length -= step
            table += _PRD.pack(gpa, step & 0xFFFF | (0 if length else _LAST))
            gpa += step
        self.cpu.write(self.prd, table)

    def _command(self, opcode: int, lba: int, sectors: int, long: bool = False, feature: int | None = None) -> None:
        """Select, wait until the disk is free, load the task file, start."""
        cpu, base = self.cpu, self.base
        cpu.outb(base + DEVICE, 0xE0 | self.unit << 4 | (0 if long else lba >> 24 & 0x0F))
        self._poll(opcode, lba, 0, check=False)   # an old error stays in sight until the next command
        if long:                              # each register is two deep: the high half goes first
            cpu.outb(base + COUNT, sectors >> 8 & 0xFF)
            cpu.outb(base + LBA_LOW, lba >> 24 & 0xFF)
            cpu.outb(base + LBA_MID, lba >> 32 & 0xFF)
            cpu.outb(base + LBA_HIGH, lba >> 40 & 0xFF)
        cpu.outb(base + COUNT, sectors & 0xFF)
        cpu.outb(base + LBA_LOW, lba & 0xFF)
        cpu.outb(base + LBA_MID, lba >> 8 & 0xFF)
        cpu.outb(base + LBA_HIGH, lba >> 16 & 0xFF)
        if feature is not None:
            cpu.outb(base + ERROR, feature)   # written, it is the features register
        self._interrupted = False
        cpu.outb(base + STATUS, opcode)

    def _wait(self, opcode: int, lba: int, bits: int) -> Steps[None]:
        """Until the disk is no longer busy and shows `bits`; by interrupt or by polling."""
        if self.interrupts:
            yield from self._wait_interrupt(opcode)
        self._poll(opcode, lba, bits)

    def _wait_interrupt(self, opcode: int) -> Steps[None]:
        while not self._interrupted:
            if not (yield from self.cpu.hlt(watchdog_ns=TIMEOUT_NS)):
                raise DriverTimeout(f"ATA command {opcode:02X}h: no interrupt for {TIMEOUT_NS:,} ns")
        self._interrupted = False

    def _poll(self, opcode: int, lba: int, bits: int, check: bool = True) -> None:
        cpu, until = self.cpu, self.cpu.now + TIMEOUT_NS
        while True:
            status = cpu.inb(self.control)    # the alternate status: reading it acknowledges nothing
            if not status & BSY:
                if check:
                    self._check(opcode, lba, status)
                if status & bits == bits:
                    return
            if cpu.now > until:
                raise DriverTimeout(f"ATA command {opcode:02X}h: status {status:#04x} after {TIMEOUT_NS:,} ns")

    def _poll_bus_master(self, opcode: int) -> None:
        cpu, until = self.cpu, self.cpu.now + TIMEOUT_NS
        while cpu.inb(self.bus_master + 2) & 0x01:   # Active; the Interrupt bit follows the line, and nIEN is set
            if cpu.now > until:
                raise DriverTimeout(f"ATA command {opcode:02X}h: no DMA completion after {TIMEOUT_NS:,} ns")

    def _check(self, opcode: int, lba: int, status: int) -> None:
        if status & (ERR | DF):
            raise AtaError(opcode, status, self.cpu.inb(self.base + ERROR), lba)

    def _interrupt(self, cpu: Cpu) -> None:
        cpu.inb(self.base + STATUS)           # acknowledges: the disk lowers its line
        if self.bus_master:
            cpu.outb(self.bus_master + 2, 0x04)
        self._interrupted = True

    def _identify(self) -> Steps:
        self._command(IDENTIFY, 0, 0)
        yield from self._wait(IDENTIFY, 0, DRQ)
        words = [self.cpu.inw(self.base + DATA) for _ in range(256)]
        return words

    def _data_in(self, gpa: int, length: int) -> None:
        cpu, width = self.cpu, self.width
        if self.string:
            (cpu.insw if width == 2 else cpu.insl)(self.base + DATA, gpa, length // width)
            return
        read = cpu.inw if width == 2 else cpu.inl
        cpu.write(gpa, b"".join([read(self.base + DATA).to_bytes(width, "little") for _ in range(length // width)]))

    def _data_out(self, gpa: int, length: int) -> None:
        cpu, width = self.cpu, self.width
        if self.string:
            (cpu.outsw if width == 2 else cpu.outsl)(self.base + DATA, gpa, length // width)
            return
        write = cpu.outw if width == 2 else cpu.outl
        data = cpu.read(gpa, length)
        for at in range(0, length, width):
            write(self.base + DATA, int.from_bytes(data[at:at + width], "little"))


def _parse_identity(words: list[int]) -> Identity:
    def text(first: int, last: int) -> str:
        return b"".join(w.to_bytes(2, "big") for w in words[first:last + 1]).decode("ascii", "replace").strip()
    lba48 = bool(words[83] & 1 << 10)
    sectors = int.from_bytes(b"".join(w.to_bytes(2, "little") for w in (words[100:104] if lba48 else words[60:62])),
                             "little")
    return Identity(text(27, 46), text(10, 19), text(23, 26), sectors, lba48, words[47] & 0xFF,
                    bool(words[169] & 1), bool(words[49] & 1 << 8))
