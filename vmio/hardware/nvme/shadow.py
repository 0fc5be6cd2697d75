"""Doorbells in memory: what a host of a controller in software writes there, it need not write into registers.

Of two pages of the host's memory the first is the shadow doorbells: the host writes each tail and head there.  In the second,
the event indices, the controller says how far it has looked: only a step beyond that needs the register, a store that
exits.  A host with one command at a time rings as ever; with more under way, most of its steps find the controller at work.

Source: NVMe 1.4, 5.7 "Doorbell Buffer Config command", 7.13 "Updating Controller Doorbell Registers using a Shadow Doorbell
Buffer"; what it leaves open is as QEMU 7.2's device has it.
"""

from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.queues import CompletionQueue, SubmissionQueue
from vmio.hardware.nvme.wire import DNR, Failed
from vmio.machine.contracts import State

_STRIDE = 4                     # bytes from one entry to the next, as CAP.DSTRD has it for the registers


class ShadowDoorbells:
    """The two pages of one controller; `on` since the host has named them, until the controller is reset.

    `rung`, `more` and `head` are for then only.  Memory that refuses is a fatal status of the controller's.
    """

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.reset()

    def reset(self) -> None:
        """Look at the registers only."""
        self.on, self.doorbells, self.events = False, 0, 0

    def configure(self, doorbells: int, events: int) -> None:
        """Use the pages at these addresses; queues that are there go on from where they are.  `Failed` if they are no pages."""
        controller = self.controller
        if (doorbells | events) & controller.page - 1:
            raise Failed(w.INVALID_FIELD | DNR)
        self.on, self.doorbells, self.events = True, doorbells, events
        try:
            for sq in controller.sqs.values():
                self._put(doorbells + _tail_of(sq), sq.tail)
                self._put(events + _tail_of(sq), sq.tail)
            for cq in controller.cqs.values():
                self._put(doorbells + _head_of(cq), cq.head)
                self._put(events + _head_of(cq), cq.head)
        except w.FAULTS:
            self.reset()
            raise Failed(w.DATA_TRANSFER_ERROR) from None

    def rung(self, queue: SubmissionQueue | CompletionQueue) -> None:
        """The register of a queue was written.

        Linux keeps the admin queue's in registers only: its shadow follows them.  A head that was told by register is said to
        be seen at once, so that the next step is told, too, without an answer between them: it may let the pin fall.
        """
        at, value = (_tail_of(queue), queue.tail) if isinstance(queue, SubmissionQueue) else (_head_of(queue), queue.head)
        try:
            if not queue.id:
                self._put(self.doorbells + at, value)
        except w.FAULTS:
            self.controller.fail()
        if isinstance(queue, CompletionQueue):
            self.head(queue)

    def more(self, sq: SubmissionQueue) -> bool:
        """Return whether the host has submitted more, as memory has it; nothing where memory refuses."""
        try:
            sq.tail = self._look(_tail_of(sq), sq.tail, sq.size)
        except w.FAULTS:
            self.controller.fail()
            sq.tail = sq.head
        return sq.head != sq.tail

    def head(self, cq: CompletionQueue) -> bool:
        """Take a completion queue's head from memory, say how far that was, and return True; False where memory refuses."""
        try:
            cq.head = self._look(_head_of(cq), cq.head, cq.size)
        except w.FAULTS:
            self.controller.fail()
            return False
        return True

    def _look(self, at: int, known: int, size: int) -> int:
        """The index at an offset, said to be seen before a last look at it; what is out of its ring is ignored."""
        while True:
            self._put(self.events + at, known)
            found = int.from_bytes(self.controller.memory.read(self.doorbells + at, 4), "little")
            if found == known or found >= size:
                return known
            known = found

    def _put(self, address: int, value: int) -> None:
        self.controller.memory.write(address, value.to_bytes(4, "little"))

    def save(self) -> State:
        """Return plain data."""
        return {"on": self.on, "doorbells": self.doorbells, "events": self.events}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.on, self.doorbells, self.events = state["on"], state["doorbells"], state["events"]


def _tail_of(sq: SubmissionQueue) -> int:
    """Where a submission queue's entry is in either page."""
    return 2 * sq.id * _STRIDE


def _head_of(cq: CompletionQueue) -> int:
    return (2 * cq.id + 1) * _STRIDE
