"""An NVMe controller: registers, doorbells, and the engine that fetches commands and answers them.

The host writes commands in a ring in its memory and tells the controller by
one store to a doorbell; the controller fetches them, moves the data by DMA,
writes answers in another ring and interrupts.  So a request costs the host two
register accesses, none of which is a read.

Source: NVMe 1.4, 3 "Controller Registers", 4 "Data Structures", 7 "Controller
Architecture".  What the specification leaves open is as QEMU 7.2's `nvme` device
has it.
"""

from collections.abc import Callable
from errno import ENOSPC
from functools import partial

from vmio.devices.ata.contracts import Service
from vmio.devices.pci.msix import Msix
from vmio.hardware.nvme import checkpoint as nvme_checkpoint
from vmio.hardware.nvme import identify as nvme_identify
from vmio.hardware.nvme import prp as nvme_prp
from vmio.hardware.nvme import sgl as nvme_sgl
from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.admin import AdminCommands
from vmio.hardware.nvme.configure import CAP_VALUE, configure
from vmio.hardware.nvme.events import Events
from vmio.hardware.nvme.features import Features
from vmio.hardware.nvme.nvm import NvmCommands
from vmio.hardware.nvme.queues import CompletionQueue, Request, SubmissionQueue
from vmio.hardware.nvme.shadow import ShadowDoorbells
from vmio.hardware.nvme.wire import CQE, CQE_BYTES, DOORBELLS, FAULTS, SQE_BYTES, Failed
from vmio.machine.contracts import Buffer, Memory, SectorStore, State, Timers
from vmio.machine.lines import Line

QUEUE_PAIRS = 64
BAR_BYTES = 0x4000
MSIX_TABLE, MSIX_PENDING = 0x2000, 0x3000     # where in BAR 0
VERSION = 0x10400
_PRPS = w.COMMAND.only("prp1", "prp2")
COUNTERS = ("reads", "writes", "sectors_read", "sectors_written")


class NvmeController:
    """The 16 KiB behind BAR 0: attach with width=4.

    `memory` is what its DMA reaches (an `AddressSpace`); whatever that refuses
    ends a command with Data Transfer Error, or the controller with CSTS.CFS.
    `image` is the medium, `service(op, sectors, done)` its time: `op` is
    "read", "write" or "flush", `done()` is called once, in any order; without
    one the medium is ready at once.  `interrupt` is a `Line` for INTx, or
    `interrupt(vector)` for MSI-X (then enabled, nothing masked).  `fetch_ns` is
    the time from a doorbell to the fetch; None fetches within the store.
    """

    POINTS = {"begun": "(command) that goes to the medium", "answered": "(completion entry) as it was written"}
    begun: Callable[[bytes], None] | None = None
    answered: Callable[[bytes], None] | None = None

    def __init__(self, clock: Timers, memory: Memory, image: SectorStore, interrupt: Callable[[int], None] | Line | None = None,
                 service: Service | None = None, serial: str = nvme_identify.SERIAL, model: str = "QEMU NVMe Ctrl", firmware: str = "7.2.22",
                 fetch_ns: int | None = None) -> None:
        if not 0 < image.sectors < 1 << 64:
            raise ValueError(f"image {image.name}: {image.sectors} sectors; an NVMe namespace has 1 to 2^64 - 1")
        self.clock, self.memory, self.image = clock, memory, image
        self.service, self.fetch_ns = service, fetch_ns
        self.queue_pairs, self.vectors = QUEUE_PAIRS, QUEUE_PAIRS + 1
        self.identity = nvme_identify.controller(serial, model, firmware, QUEUE_PAIRS)
        self.by_message = callable(interrupt)
        self.msix = Msix(self.vectors, interrupt if callable(interrupt) else lambda vector: None)
        self.drive_intx: Callable[[int], None] = interrupt.set if isinstance(interrupt, Line) else lambda level: None
        self.features, self.events = Features(self), Events(self._complete)
        self.admin, self.nvm, self.shadow = AdminCommands(self), NvmCommands(self), ShadowDoorbells(self)
        self.sqs: dict[int, SubmissionQueue] = {}
        self.cqs: dict[int, CompletionQueue] = {}
        self._intx = self._serving = 0
        self.registers = bytearray(DOORBELLS)
        self.reset()

    def reset(self) -> None:
        """Power-on state.  The medium keeps what it holds."""
        self.forget()
        self.features.reset()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.msix.reset()
        if self.by_message:
            self.msix.unmask_all()
        self.registers[:] = bytes(DOORBELLS)
        w.REGISTERS.only("cap", "vs").pack_into(self.registers, 0, CAP_VALUE, VERSION)
        self.set_page(0)
        self.update_intx()

    def forget(self) -> None:
        """Drop queues and all that is under way; what the medium still finishes is answered to nobody."""
        for sq in self.sqs.values():
            for request in sq.requests:
                request.done = True
        self.sqs.clear()
        self.cqs.clear()
        self.events.reset()
        self.shadow.reset()
        self.queues_created = False

    # -- registers (3.1) -----------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        """Registers, MSI-X table and pending bits; doorbells and gaps read 0."""
        if offset < DOORBELLS:
            return int.from_bytes(self.registers[offset:offset + size], "little")
        if offset < MSIX_TABLE or offset & 3 or size < 4:
            return 0       # MSI-X structures are read and written by whole dwords (PCI 3.0, 6.8.2)
        if offset < MSIX_PENDING:
            return self.msix.read_table(offset - MSIX_TABLE, size)
        return self.msix.read_pending(offset - MSIX_PENDING, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; a misaligned access is cut into aligned ones, low address first."""
        if offset % size:
            while size:
                part = min(offset & -offset, 1 << size.bit_length() - 1)
                self.write(offset, part, value & (1 << 8 * part) - 1)
                offset, size, value = offset + part, size - part, value >> 8 * part
        elif offset < DOORBELLS:
            self._write_register(offset, size, value)
        elif offset < MSIX_TABLE:
            if not offset & 3:
                self._doorbell(offset - DOORBELLS >> 2, value & 0xFFFF)
        elif offset < MSIX_PENDING and size >= 4:
            self.msix.write_table(offset - MSIX_TABLE, size, value)

    def _write_register(self, offset: int, size: int, value: int) -> None:
        """A part of a register is taken for the whole, its other bytes 0; QEMU's device does so."""
        if offset == w.CC:
            configure(self, value)
        elif offset in (w.INTMS, w.INTMC):
            masks = self.get(w.INTMS) | value if offset == w.INTMS else self.get(w.INTMS) & ~value
            self.put(w.INTMS, masks)
            self.put(w.INTMC, masks)
            self.update_intx()
        elif offset in (w.AQA, w.ASQ + 4, w.ACQ + 4):
            self.put(offset, value)
        elif offset in (w.ASQ, w.ACQ):
            size = max(size, 2)
            self.registers[offset:offset + size] = value.to_bytes(size, "little")

    def get(self, offset: int) -> int:
        """Return a 32-bit register."""
        return int.from_bytes(self.registers[offset:offset + 4], "little")

    def put(self, offset: int, value: int) -> None:
        """Give a 32-bit register this value; no side effects."""
        self.registers[offset:offset + 4] = value.to_bytes(4, "little")

    def set_page(self, page: int) -> None:
        """Memory pages are of so many bytes from now on (CC.MPS)."""
        self.page = page
        self.max_bytes = page << w.MDTS

    @property
    def command_set(self) -> int:
        """CC.CSS: 0 NVM, 6 all that are supported, 7 admin only."""
        return self.get(w.CC) >> 4 & 7

    # -- doorbells (3.1.24, 3.1.25) ----------------------------------------------------------

    def _doorbell(self, number: int, value: int) -> None:
        if number & 1:
            self._answers_seen(number >> 1, value)
            return
        sq = self.sqs.get(number >> 1)
        if sq is None:
            self._bad_doorbell(w.BAD_DOORBELL_REGISTER)
        elif value >= sq.size:
            self._bad_doorbell(w.BAD_DOORBELL_VALUE)
        else:
            sq.tail = value
            if self.shadow.on:
                self.shadow.rung(sq)
            if self.fetch_ns is None:
                self._run(sq)
            else:
                self.clock.call_later(self.fetch_ns, lambda: self._run(sq))

    def _answers_seen(self, id: int, head: int) -> None:
        cq = self.cqs.get(id)
        if cq is None:
            self._bad_doorbell(w.BAD_DOORBELL_REGISTER)
        elif head >= cq.size:
            self._bad_doorbell(w.BAD_DOORBELL_VALUE)
        else:
            cq.head = head
            if self.shadow.on:
                self.shadow.rung(cq)
            if cq.waiting:
                self.post(cq)
                for sq in [sq for sq in self.sqs.values() if sq.cq is cq]:
                    self._run(sq)
            if not self.msix.enabled:
                self.update_intx()

    def _bad_doorbell(self, what: int) -> None:
        if self.events.requests:
            self.events.add(w.EVENT_ERROR, what, 1)

    # -- commands (4.1) ------------------------------------------------------------------------

    def _run(self, sq: SubmissionQueue) -> None:
        """Fetch and start what the host has submitted, then post the answers that are ready."""
        if self.sqs.get(sq.id) is not sq:
            return    # deleted since the doorbell rang
        while (sq.head != sq.tail or self.shadow.on and self.shadow.more(sq)) and sq.in_flight < sq.size:
            self._serving += 1
            try:
                while (sq.head != sq.tail or self.shadow.on and self.shadow.more(sq)) and sq.in_flight < sq.size:
                    try:
                        command = self.memory.read(sq.base + SQE_BYTES * sq.head, SQE_BYTES)
                    except FAULTS:
                        self.fail()
                        sq.tail = sq.head
                        break
                    sq.head = (sq.head + 1) % sq.size
                    sq.in_flight += 1
                    self.start(Request(sq, command))
            finally:
                self._serving -= 1
            if sq.cq.waiting or self.shadow.on:
                self.post(sq.cq)

    def start(self, request: Request) -> None:
        """Begin a command; what fails at once is answered at once."""
        try:
            pending = (self.nvm if request.sq.id else self.admin).start(request)
        except Failed as failure:
            request.status = failure.status
            pending = False
        if not pending:
            self._complete(request)
        elif not request.done:
            request.sq.requests.add(request)

    def medium(self, request: Request, op: str, sectors: int) -> None:
        """Let the medium take its time, then go on with what the command does then (`ends`)."""
        if self.begun is not None:
            self.begun(request.command)
        if self.service is None:
            self._ready(request)
        else:
            self.service(op, sectors, partial(self._ready, request))

    def change(self, method: Callable[..., None], *arguments: int | Buffer) -> None:
        """Call a method of the medium that writes; `Failed` if it can't: the medium may be a file of a host that is full."""
        try:
            method(*arguments)
        except (OSError, ValueError) as error:
            raise Failed(w.CAPACITY_EXCEEDED if getattr(error, "errno", 0) == ENOSPC else w.WRITE_FAULT) from error

    def _ready(self, request: Request) -> None:
        if request.done:
            return     # the queue has gone meanwhile, or the medium says so twice
        try:
            (self.nvm if request.sq.id else self.admin).ends[request.command[0]](request)
        except Failed as failure:
            request.status = failure.status
        except OSError:
            request.status = w.INTERNAL_ERROR
        self._complete(request)

    def _complete(self, request: Request) -> None:
        request.done = True
        sq = request.sq
        sq.requests.discard(request)
        sq.cq.waiting.append(request)
        if not self._serving:
            self.post(sq.cq)
            if self.shadow.on or sq.head != sq.tail:
                self._run(sq)

    def post(self, cq: CompletionQueue) -> None:
        """Write answers while there is room, and interrupt once for all of them (4.6)."""
        waiting, memory, posted, size = cq.waiting, self.memory, False, cq.size
        if self.shadow.on and not self.shadow.head(cq):
            return
        while waiting:
            after = (cq.tail + 1) % size
            if after == cq.head:
                break      # full: one place stays free, to tell full from empty
            request = waiting[0]
            sq, command = request.sq, request.command
            answer = CQE.pack(request.result, 0, sq.head, sq.id, command[2] | command[3] << 8, request.status << 1 | cq.phase)
            try:
                memory.write(cq.base + CQE_BYTES * cq.tail, answer)
            except FAULTS:
                self.fail()
                break
            if self.answered is not None:
                self.answered(answer)
            waiting.popleft()
            sq.in_flight -= 1
            posted = True
            cq.tail = after
            if not after:
                cq.phase ^= 1
        if posted and cq.interrupts:
            if self.msix.enabled:
                self.msix.notify(cq.vector)
            else:
                self.update_intx()

    def fail(self) -> None:
        """Queue memory is out of reach: a fatal status, until the host resets the controller (9.5)."""
        self.put(w.CSTS, w.CSTS_CFS)

    # -- data and interrupts -------------------------------------------------------------------

    def pieces(self, request: Request, prp1: int, prp2: int, length: int) -> list[tuple[int, int]]:
        """Return where in memory the command's `length` bytes are: by PRPs, or by an SGL if its flags say so (4.3, 4.4)."""
        if request.command[1] & w.SGL:
            return nvme_sgl.segments(self.memory, request.command, length)
        return nvme_prp.segments(self.memory, self.page, prp1, prp2, length)

    def to_host(self, request: Request, data: Buffer) -> None:
        """DMA `data` to where the command says; `Failed` where memory refuses."""
        prp1, prp2 = _PRPS.unpack_from(request.command)
        nvme_prp.store(self.memory, self.pieces(request, prp1, prp2, len(data)), data)

    def from_host(self, request: Request, length: int) -> bytes:
        """DMA `length` bytes from where the command says; `Failed` where memory refuses."""
        prp1, prp2 = _PRPS.unpack_from(request.command)
        return nvme_prp.fetch(self.memory, self.pieces(request, prp1, prp2, length))

    def update_intx(self) -> None:
        """The pin is high while an unmasked vector has answers that the host has not seen (7.5.1.1)."""
        level = 0
        if not self.msix.enabled:
            masks = self.get(w.INTMS)
            level = int(any(cq.interrupts and cq.head != cq.tail and not masks >> min(cq.vector, 31) & 1 for cq in self.cqs.values()))
        if level != self._intx:
            self._intx = level
            self.drive_intx(level)

    # -- checkpoint ----------------------------------------------------------------------------

    def save(self) -> State:
        """Return all that the controller knows, as plain data; see `nvme_checkpoint`."""
        return nvme_checkpoint.save(self)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; commands that were under way start anew."""
        self.forget()
        nvme_checkpoint.restore(self, state)
        self.update_intx()
