"""The NVM commands: what a disk does.

A command is checked when it is fetched, then takes the medium's time, then
moves its data.  Source: NVMe 1.4, 6 "NVM Command Set".
"""

from collections.abc import Callable

from vmio.hardware.nvme import prp as nvme_prp
from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.queues import Request
from vmio.hardware.nvme.wire import DNR, SECTOR, SQE_RW, Failed
from vmio.machine.contracts import Sectors
from vmio.machine.media.medium import BeyondEnd

PENDING = True
DEALLOCATE = 4                         # 6.7: dword 11 bit 2
FUA = 0x40                             # of byte 51: dword 12 bit 30
RANGE = w.RANGE.struct
_DATASET, _COPY = w.COMMAND.only("dword10", "dword11"), w.COMMAND.only("dword12")
COPY_RANGE_BYTES = 32


class NvmCommands:
    """Runs the commands of the I/O queues for `controller`; each may raise `Failed` with its status."""

    def __init__(self, controller: Controller) -> None:
        self.controller, self.image = controller, controller.image
        self.commands = {w.READ: self._move, w.WRITE: self._move, w.COMPARE: self._compare,
                         w.WRITE_ZEROES: self._write_zeroes, w.DATASET: self._dataset, w.VERIFY: self._verify,
                         w.COPY: self._copy}
        self.ends: dict[int, Callable[[Request], None]] = {     # what each does when the medium is ready
            w.READ: self._has_read, w.WRITE: self._has_written, w.COMPARE: self._compared, w.WRITE_ZEROES: self._zeroed,
            w.DATASET: self._deallocated, w.VERIFY: self._verified, w.FLUSH: self._flushed}

    def start(self, request: Request) -> bool | None:
        """Begin a command; true if its answer comes later."""
        opcode, flags, _, nsid, prp1, prp2, lba, dword12 = SQE_RW.unpack(request.command)
        if opcode == w.FLUSH:
            return self._flush(request, nsid)
        if nsid != 1:
            absent = 1 < nsid <= w.NAMESPACES or nsid == w.EVERY_NAMESPACE
            raise Failed((w.INVALID_FIELD if absent else w.INVALID_NAMESPACE) | DNR)
        command = self.commands.get(opcode)
        if command is None:
            raise Failed(w.INVALID_OPCODE | DNR)
        if flags & w.FUSED:
            raise Failed(w.INVALID_FIELD)
        request.lba, request.count = lba, (dword12 & 0xFFFF) + 1
        return command(request, prp1, prp2)

    def place(self, request: Request) -> None:
        """Say where on the medium a command is that was started before it was saved."""
        _, _, _, _, _, _, request.lba, dword12 = SQE_RW.unpack(request.command)
        request.count = (dword12 & 0xFFFF) + 1

    def _check(self, request: Request, transfers: bool = True) -> None:
        """Range, and the size of what moves between memory and controller."""
        if transfers and request.count * SECTOR > self.controller.max_bytes:
            raise Failed(w.INVALID_FIELD | DNR)
        if request.lba + request.count > self.image.sectors:
            raise Failed(w.LBA_OUT_OF_RANGE | DNR)

    # -- READ (6.9), WRITE (6.15) ------------------------------------------------------------

    def _move(self, request: Request, prp1: int, prp2: int) -> bool:
        """Find the memory of a command, and let the medium take its time."""
        self._check(request)
        controller = self.controller
        request.pieces = controller.pieces(request, prp1, prp2, request.count * SECTOR)
        controller.medium(request, "read" if request.command[0] == w.READ else "write", request.count)
        return PENDING

    def _has_read(self, request: Request) -> None:
        controller = self.controller
        if request.command[51] & FUA:
            self._read_through(request)
        nvme_prp.store(controller.memory, request.pieces, self._sectors(request))
        self._count_read(request)

    def _sectors(self, request: Request) -> Sectors:
        """The sectors of a command; `Failed` if the medium fails: it may be a file that somebody has cut, or a device that has gone."""
        try:
            return self.image.read(request.lba, request.count)
        except BeyondEnd:      # what `_check` is there to refuse is not the medium's failure
            raise
        except (OSError, ValueError) as error:
            raise Failed(w.READ_ERROR) from error

    def _count_read(self, request: Request) -> None:
        """READ, COMPARE and VERIFY that succeed count as reads; a write is WRITE alone (5.14.1.2)."""
        counters = self.controller.counters
        counters["reads"] += 1
        counters["sectors_read"] += request.count

    def _has_written(self, request: Request) -> None:
        controller = self.controller
        controller.change(self.image.write, request.lba, nvme_prp.fetch(controller.memory, request.pieces))
        self._write_through(request.lba, request.count, request.command[51] & FUA)
        counters = controller.counters
        counters["writes"] += 1
        counters["sectors_written"] += request.count

    def _write_through(self, lba: int, count: int, fua: int) -> None:
        """What was just written is on the medium itself if the command wants it (FUA), or there is no cache to use."""
        if fua or not self.controller.features.write_cache:
            self.controller.change(self.image.persist, lba, count)

    def _read_through(self, request: Request) -> None:
        """With FUA data come from the medium, so what the cache has goes there first (6.9)."""
        self.controller.change(self.image.persist, request.lba, request.count)

    # -- the others --------------------------------------------------------------------------

    def _flush(self, request: Request, nsid: int) -> bool:
        """6.8: all that was answered before is on the medium.  Every namespace may be named at once."""
        if nsid not in (1, w.EVERY_NAMESPACE):
            raise Failed((w.INVALID_FIELD if 1 < nsid <= w.NAMESPACES else w.INVALID_NAMESPACE) | DNR)
        self.controller.medium(request, "flush", 0)
        return PENDING

    def _flushed(self, request: Request) -> None:
        self.controller.change(self.image.flush)

    def _compare(self, request: Request, prp1: int, prp2: int) -> bool:
        """6.6: a difference between memory and medium is an error status."""
        self._check(request)
        request.pieces = self.controller.pieces(request, prp1, prp2, request.count * SECTOR)
        self.controller.medium(request, "read", request.count)
        return PENDING

    def _compared(self, request: Request) -> None:
        if request.command[51] & FUA:
            self._read_through(request)
        if nvme_prp.fetch(self.controller.memory, request.pieces) != self._sectors(request):
            raise Failed(w.COMPARE_FAILED)
        self._count_read(request)

    def _write_zeroes(self, request: Request, prp1: int, prp2: int) -> bool:
        """6.17: no data moves, so no limit but the namespace's end."""
        self._check(request, transfers=False)
        self.controller.medium(request, "write", request.count)
        return PENDING

    def _zeroed(self, request: Request) -> None:
        self.controller.change(self.image.discard, request.lba, request.count)
        self._write_through(request.lba, request.count, request.command[51] & FUA)

    def _verify(self, request: Request, prp1: int, prp2: int) -> bool:
        """6.14: the medium is read, nothing moves."""
        self._check(request)
        self.controller.medium(request, "read", request.count)
        return PENDING

    def _verified(self, request: Request) -> None:
        if request.command[51] & FUA:
            self._read_through(request)
        self._count_read(request)

    def _dataset(self, request: Request, prp1: int, prp2: int) -> bool:
        """6.7: deallocated blocks read as zeros (DLFEAT); a range that the namespace doesn't have is left out."""
        count, attributes = _DATASET.unpack_from(request.command)
        if not attributes & DEALLOCATE:
            return False
        data = self.controller.from_host(request, ((count & 0xFF) + 1) * RANGE.size)
        request.pieces = [(first, blocks) for _, blocks, first in RANGE.iter_unpack(data)
                          if first + blocks <= self.image.sectors]
        self.controller.medium(request, "write", 0)
        return PENDING

    def _deallocated(self, request: Request) -> None:
        done = 0                       # first sector behind all ranges so far: none is discarded twice
        for first, blocks in sorted(request.pieces):
            done, first = max(done, first + blocks), max(done, first)
            if first < done:
                self.controller.change(self.image.discard, first, done - first)
                self._write_through(first, done - first, fua=False)

    def _copy(self, request: Request, prp1: int, prp2: int) -> None:
        """TP 4065: one range of 0 blocks is all that the namespace's limits (MSRC, MSSRL) allow, so none is."""
        dword12, = _COPY.unpack_from(request.command)
        format = dword12 >> 8 & 0xF
        if format > 1:
            raise Failed(w.INVALID_FIELD | DNR)
        if dword12 & 0xFF:
            raise Failed(w.SIZE_LIMIT | DNR)
        if format:
            raise Failed(w.INVALID_FORMAT | DNR)
        self.controller.from_host(request, COPY_RANGE_BYTES)
        raise Failed(w.SIZE_LIMIT | DNR)
