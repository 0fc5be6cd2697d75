"""A disk by virtio: a request is a header that the device reads, data, and one byte of status that it writes.

What it stores in is a `Store`: a medium (`MediumStore` below), or a host's block layer.
Source: VIRTIO 1.2, 5.2 "Block Device"; where that leaves it open, QEMU 7.2's hw/block/virtio-blk.c.
"""

from collections.abc import Callable
from typing import Protocol

from vmio.machine.contracts import Memory, SectorStore
from vmio.machine.storage import SECTOR
from vmio.virtio import blk_wire as w
from vmio.virtio import features as f
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue.chain import Chain

FEATURES = f.RING | w.SEG_MAX | w.GEOMETRY | w.BLK_SIZE | w.FLUSH | w.TOPOLOGY | w.CONFIG_WCE | w.DISCARD | w.WRITE_ZEROES
SEGMENTS = 126               # of a request that has a ring of 128: header and status take two
MAX_RANGE = (1 << 31) // SECTOR - 1       # sectors of one discard; QEMU's BDRV_REQUEST_MAX_SECTORS
MAX_DATA = 32 << 20          # bytes of one request: more would keep everybody else waiting


class Store(Protocol):
    """Where the sectors are; `read` and `write` move the data of a chain themselves."""

    @property
    def sectors(self) -> int:
        """How many there are."""

    def begin(self, op: str, lba: int, sectors: int, chain: Chain, done: Callable[[bool], None]) -> None:
        """Do a "read" into the chain's writable bytes, a "write" of its readable ones behind the header, a "flush", "discard" or "zero".

        `done(good)` is called once, now or later.
        """


class Blk(VirtioDevice):
    """`sizes` entries for each of its queues; `serial` is cut to 20 bytes; `geometry` (cylinders, heads, sectors) is for old firmware."""

    POINTS = VirtioDevice.POINTS | {"began": "(op, first sector, sectors) of a request that was found good"}
    began: Callable[[str, int, int], None] | None = None
    type = w.TYPE

    def __init__(self, memory: Memory, store: Store, sizes: tuple[int, ...] = (128,), serial: str = "", features: int = FEATURES,
                 geometry: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.store, self.serial, self.geometry = store, serial, geometry
        super().__init__(memory, sizes, features | (w.MQ if len(sizes) > 1 else 0))
        self.writeback = True
        self.requests = self.failures = 0
        self._largest = max(sizes)

    def config(self) -> bytes:
        """See `VirtioDevice` (5.2.4)."""
        cylinders, heads, track = self.geometry
        return w.CONFIG.pack(
            capacity=self.store.sectors, seg_max=min(SEGMENTS, max(1, self._largest - 2)), cylinders=cylinders, heads=heads, sectors=track, blk_size=SECTOR,
            writeback=int(self.writeback), num_queues=len(self.setups), max_discard_sectors=MAX_RANGE, max_discard_seg=1,
            discard_sector_alignment=1, max_write_zeroes_sectors=MAX_RANGE, max_write_zeroes_seg=1, write_zeroes_may_unmap=1)

    def write_config(self, offset: int, data: bytes) -> None:
        """See `VirtioDevice`: the cache's mode can be set, if that was agreed on (5.2.5)."""
        at = w.CONFIG.at("writeback")[0] - offset
        if self.agreed & w.CONFIG_WCE and 0 <= at < len(data):
            self.writeback = bool(data[at])

    def ended(self) -> None:
        """See `VirtioDevice`."""
        self.writeback = True

    # -- requests (5.2.6) ----------------------------------------------------------------------

    def handle(self, number: int, chain: Chain) -> None:
        """See `VirtioDevice`; a chain without a header and a place for the status is nothing that could be answered."""
        self.requests += 1
        header = chain.fetch(0, w.HEADER.size)
        if header is None or len(header) < w.HEADER.size or not chain.space:
            if header is not None:
                chain.queue.fail(f"a request of {chain.size} readable and {chain.space} writable bytes; a header takes {w.HEADER.size}, the status 1")
            self.done(number, chain, 0)
            return
        kind, _, lba = w.HEADER.struct.unpack(header)

        def done(good: bool) -> None:
            self._answer(number, chain, w.OK if good else w.IOERR)
        if kind == w.IN:
            self._begin("read", lba, chain.space - 1, chain, done)
        elif kind == w.OUT and self.features & w.RO:
            done(False)                         # "MUST set the status byte to VIRTIO_BLK_S_IOERR" (5.2.6.2)
        elif kind == w.OUT:
            self._begin("write", lba, chain.size - w.HEADER.size, chain, done)
        elif kind == w.FLUSH_REQUEST:
            self._go("flush", 0, 0, chain, done)
        elif kind == w.GET_ID:
            data = self.serial.encode("latin-1", "replace")[:w.ID_BYTES]
            done(chain.store(0, (data + b"\0")[:min(w.ID_BYTES, chain.space - 1)]))
        elif kind in (w.DISCARD_REQUEST, w.WRITE_ZEROES_REQUEST) and not self.features & w.RO:
            self._answer_range(number, chain, "discard" if kind == w.DISCARD_REQUEST else "zero", done)
        else:
            self._answer(number, chain, w.UNSUPP)

    def _begin(self, op: str, lba: int, length: int, chain: Chain, done: Callable[[bool], None]) -> None:
        """Begin a request with data, if it is whole sectors, not too many, and all there."""
        sectors = length // SECTOR
        if length % SECTOR or not 0 < length <= MAX_DATA or lba + sectors > self.store.sectors:
            done(False)
        else:
            self._go(op, lba, sectors, chain, done)

    def _go(self, op: str, lba: int, sectors: int, chain: Chain, done: Callable[[bool], None]) -> None:
        if self.began is not None:
            self.began(op, lba, sectors)
        if op in ("read", "flush") or self.writeback:
            self.store.begin(op, lba, sectors, chain, done)
        else:
            self.store.begin(op, lba, sectors, chain, lambda good: self.store.begin("flush", 0, 0, chain, done) if good else done(False))

    def _answer_range(self, number: int, chain: Chain, op: str, done: Callable[[bool], None]) -> None:
        """One range of sectors, no more than we offer; a flag that it doesn't know is nothing that the device supports."""
        data = chain.fetch(w.HEADER.size, w.RANGE.size + 1)
        if data is None or len(data) != w.RANGE.size:
            done(False)
            return
        lba, sectors, flags = w.RANGE.struct.unpack(data)
        if flags & ~w.UNMAP or op == "discard" and flags:
            self._answer(number, chain, w.UNSUPP)
        elif sectors > MAX_RANGE or lba + sectors > self.store.sectors:
            done(False)
        else:
            self._go("discard" if op == "discard" or flags else "zero", lba, sectors, chain, done)

    def _answer(self, number: int, chain: Chain, status: int) -> None:
        """The status is the last writable byte; as QEMU's device does, ours says of all writable bytes that they were written."""
        self.failures += status != w.OK
        chain.store(chain.space - 1, bytes([status]))
        self.done(number, chain, chain.space)


class MediumStore:
    """A medium of sectors as a `Store`; `service(op, sectors, done)` is its time, as for an `NvmeController`: None, and it takes none."""

    POINTS = {"refused": "(op, first sector, error) of what the medium could not do"}
    refused: Callable[[str, int, Exception], None] | None = None

    def __init__(self, medium: SectorStore, service: Callable[[str, int, Callable[[], None]], None] | None = None) -> None:
        self.medium, self.sectors, self.service = medium, medium.sectors, service

    def begin(self, op: str, lba: int, sectors: int, chain: Chain, done: Callable[[bool], None]) -> None:
        """See `Store`."""
        if self.service is None:
            done(self._carry_out(op, lba, sectors, chain))
        else:
            self.service(op if op in ("read", "flush") else "write", sectors, lambda: done(self._carry_out(op, lba, sectors, chain)))

    def _carry_out(self, op: str, lba: int, sectors: int, chain: Chain) -> bool:
        """Move the data; a medium may be a file of a host that is full, or one that can't be read."""
        try:
            if op == "read":
                return chain.store(0, self.medium.read(lba, sectors))
            if op == "write":
                data = chain.fetch(w.HEADER.size, sectors * SECTOR)
                if data is None:
                    return False
                self.medium.write(lba, data)
            elif op == "flush":
                self.medium.flush()
            else:
                self.medium.discard(lba, sectors)
        except (OSError, ValueError) as error:
            if self.refused is not None:
                self.refused(op, lba, error)
            return False
        return True
