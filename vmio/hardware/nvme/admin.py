"""The admin commands: identify, queues, features, log pages, events, format.

Source: NVMe 1.4, 5 "Admin Command Set".
"""

from collections.abc import Sequence

from vmio.hardware.nvme import identify as nvme_identify
from vmio.hardware.nvme import logs as nvme_logs
from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.queues import CompletionQueue, Request, SubmissionQueue
from vmio.hardware.nvme.wire import DNR, SQE, Failed

CONTIGUOUS, INTERRUPTS = 1, 2      # 5.3, 5.4: dword 11 bits 0 and 1
MAX_ENTRIES = 2047                # CAP.MQES, counted from 0
PENDING = True                     # what a command says that will be answered later


class AdminCommands:
    """Runs the commands of queue 0 for `controller`; each may raise `Failed` with its status."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.commands = {
            w.DELETE_SQ: self._delete_sq, w.CREATE_SQ: self._create_sq, w.GET_LOG_PAGE: self._log_page,
            w.DELETE_CQ: self._delete_cq, w.CREATE_CQ: self._create_cq, w.IDENTIFY: self._identify,
            w.ABORT: self._abort, w.SET_FEATURES: self._set_features, w.GET_FEATURES: self._get_features,
            w.ASYNC_EVENT: self._wait_for_event, w.NAMESPACE_ATTACHMENT: self._attach,
            w.VIRTUALIZATION: self._refuse, w.DOORBELL_BUFFER: self._doorbell_buffer, w.FORMAT_NVM: self._format}
        self.ends = {w.FORMAT_NVM: self._formatted}       # what it does when the medium is ready

    def start(self, request: Request) -> bool | None:
        """Begin a command; true if its answer comes later."""
        opcode, flags, _, nsid, prp1, _, *dwords = SQE.unpack(request.command)
        command = self.commands.get(opcode)
        if command is None:
            raise Failed(w.INVALID_OPCODE | DNR)
        if flags & w.SGL:
            raise Failed(w.INVALID_FIELD | DNR)
        if flags & w.FUSED:
            raise Failed(w.INVALID_FIELD)
        return command(request, nsid, prp1, dwords)

    def _identify(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        self.controller.to_host(request, nvme_identify.answer(self.controller, nsid, *dwords[:2]))

    def _log_page(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        self.controller.to_host(request, nvme_logs.answer(self.controller, nsid, dwords[:4]))

    def _get_features(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        request.result = self.controller.features.get(request, nsid, *dwords[:2])

    def _set_features(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        request.result = self.controller.features.set(request, nsid, *dwords[:2])

    # -- queues (5.3 to 5.6) ----------------------------------------------------------------

    def _create_cq(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        controller = self.controller
        id, entries = dwords[0] & 0xFFFF, dwords[0] >> 16
        flags, vector = dwords[1] & 0xFFFF, dwords[1] >> 16
        if not 1 <= id <= controller.queue_pairs or id in controller.cqs:
            raise Failed(w.INVALID_QID | DNR)
        self._check_ring(entries, prp1)
        if vector and not controller.msix.enabled or vector >= controller.vectors:
            raise Failed(w.INVALID_VECTOR | DNR)
        if not flags & CONTIGUOUS:
            raise Failed(w.INVALID_FIELD | DNR)
        controller.cqs[id] = CompletionQueue(id, prp1, entries + 1, vector, bool(flags & INTERRUPTS))
        controller.queues_created = True

    def _create_sq(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        controller = self.controller
        id, entries = dwords[0] & 0xFFFF, dwords[0] >> 16
        flags, cq_id = dwords[1] & 0xFFFF, dwords[1] >> 16
        if not cq_id or cq_id not in controller.cqs:
            raise Failed(w.INVALID_CQ | DNR)
        if not 1 <= id <= controller.queue_pairs or id in controller.sqs:
            raise Failed(w.INVALID_QID | DNR)
        self._check_ring(entries, prp1)
        if not flags & CONTIGUOUS:
            raise Failed(w.INVALID_FIELD | DNR)
        controller.sqs[id] = SubmissionQueue(id, prp1, entries + 1, controller.cqs[cq_id])

    def _check_ring(self, entries: int, base: int) -> None:
        if not 1 <= entries <= MAX_ENTRIES:
            raise Failed(w.INVALID_QUEUE_SIZE | DNR)
        if base & self.controller.page - 1:
            raise Failed(w.INVALID_PRP_OFFSET | DNR)

    def _delete_sq(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        """What is under way is answered as aborted (5.6)."""
        controller, id = self.controller, dwords[0] & 0xFFFF
        if not id or id not in controller.sqs:
            raise Failed(w.INVALID_QID | DNR)
        sq = controller.sqs.pop(id)
        for one in sorted(sq.requests, key=lambda one: one.id):
            one.status = w.ABORTED_SQ_DELETED
            one.done = True
            sq.cq.waiting.append(one)
        sq.requests.clear()
        controller.post(sq.cq)
        kept = [one for one in sq.cq.waiting if one.sq is not sq]
        sq.cq.waiting.clear()
        sq.cq.waiting.extend(kept)

    def _delete_cq(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        controller, id = self.controller, dwords[0] & 0xFFFF
        if not id or id not in controller.cqs:
            raise Failed(w.INVALID_CQ | DNR)
        cq = controller.cqs[id]
        if any(sq.cq is cq for sq in controller.sqs.values()):
            raise Failed(w.INVALID_QUEUE_DELETION)
        del controller.cqs[id]
        controller.update_intx()

    # -- the rest ---------------------------------------------------------------------------

    def _abort(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        """5.1: best effort, and the effort here is none: result bit 0 says "not aborted"."""
        request.result = 1
        if dwords[0] & 0xFFFF not in self.controller.sqs:
            raise Failed(w.INVALID_FIELD | DNR)

    def _wait_for_event(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> bool:
        self.controller.events.wait(request)
        return PENDING

    def _attach(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        """5.19 NAMESPACE ATTACHMENT: there is no subsystem with other namespaces."""
        valid = 1 <= nsid <= w.NAMESPACES or nsid == w.EVERY_NAMESPACE
        raise Failed((w.INVALID_FIELD if valid else w.INVALID_NAMESPACE) | DNR)

    def _refuse(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        """5.22 VIRTUALIZATION MANAGEMENT: there are no virtual functions."""
        raise Failed(w.INVALID_FIELD | DNR)

    def _doorbell_buffer(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> None:
        """5.7: from now on the controller looks at doorbells in memory, too."""
        self.controller.shadow.configure(prp1, SQE.unpack(request.command)[5])

    def _format(self, request: Request, nsid: int, prp1: int, dwords: Sequence[int]) -> bool:
        """5.23: all sectors become zeros.  LBA format 0, without protection, is the only one."""
        if nsid != w.EVERY_NAMESPACE:
            if not 1 <= nsid <= w.NAMESPACES:
                raise Failed(w.INVALID_NAMESPACE | DNR)
            if nsid != 1:
                raise Failed(w.INVALID_FIELD | DNR)
        if dwords[0] & 0xEF:           # format and protection; bit 4 says where metadata would be
            raise Failed(w.INVALID_FORMAT | DNR)
        image = self.controller.image
        self.controller.medium(request, "write", image.sectors)
        return PENDING

    def _formatted(self, request: Request) -> None:
        controller = self.controller
        controller.change(controller.image.discard, 0, controller.image.sectors)
        controller.change(controller.image.flush)      # what was formatted away must not come back
