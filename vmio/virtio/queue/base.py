"""What the device's halves of split and packed queues have in common: a latch for what is broken, and the order of answers.

Each rule of its own is in `split.py` and `packed.py`.
"""

from collections import deque
from collections.abc import Callable

from vmio.machine.contracts import Memory
from vmio.virtio.queue.chain import FAULTS, Chain, QueueBroken
from vmio.virtio.queue.event import need_event


class DeviceQueue:
    """The device's half of a queue of `size` entries; the three addresses are those of its parts (VIRTIO 1.2, 2.6).

    `indirect`, `event_idx` and `in_order` are features that driver and device have agreed on.
    """

    POINTS = {"taken": "(chain) that the device begins with", "answered": "(chain, bytes written) as it is given back"}
    taken: Callable[[Chain], None] | None = None
    answered: Callable[[Chain, int], None] | None = None
    rule: Callable[[int, int, int], bool] = staticmethod(need_event)      # with events: is the driver told?

    def __init__(self, memory: Memory, size: int, descriptors: int, driver: int, device: int, *, indirect: bool = False,
                 event_idx: bool = False, in_order: bool = False, on_broken: Callable[[str], None] | None = None) -> None:
        self.memory, self.size = memory, size
        self.descriptors, self.driver, self.device = descriptors, driver, device
        self.indirect, self.event_idx, self.in_order = indirect, event_idx, in_order
        self.on_broken = on_broken
        self.broken: str | None = None        # what the driver did, once it is known
        self.in_flight = 0                    # chains taken, and not given back
        self.kicks_wanted = True
        self.chains = self.interrupts = 0     # taken, and decided for, since the queue began
        self._order: deque[Chain] = deque()   # with `in_order`: those in flight, oldest first
        self._done: dict[int, int] = {}       # {id(chain): bytes written} of those that wait for an older one

    def fail(self, why: str) -> None:
        """Latch the first thing that was wrong, and say it once."""
        if self.broken is None:
            self.broken = why
            if self.on_broken is not None:
                self.on_broken(why)

    def take(self) -> Chain | None:
        """Return the next chain that the driver has made available, or None: there is none, or the queue is broken."""
        if self.broken is not None:
            return None
        try:
            chain = self._next()
        except QueueBroken as why:
            self.fail(str(why))
            return None
        except FAULTS as fault:
            self.fail(f"the ring, or a table: {fault}")
            return None
        if chain is not None:
            self.in_flight += 1
            self.chains += 1
            if self.in_order:
                self._order.append(chain)
            if self.taken is not None:
                self.taken(chain)
        return chain

    def put(self, chain: Chain, written: int) -> None:
        """Give a chain back, `written` bytes of it being new; with `in_order` it may have to wait for an older one."""
        if self.broken is not None:
            self.in_flight -= 1
            return
        try:
            if self.in_order:
                self._done[id(chain)] = written
                while self._order and id(self._order[0]) in self._done:
                    oldest = self._order.popleft()
                    self._answer(oldest, self._done.pop(id(oldest)))
            else:
                self._answer(chain, written)
        except FAULTS as fault:
            self.fail(f"the used ring: {fault}")

    def _answer(self, chain: Chain, written: int) -> None:
        self.in_flight -= 1
        self._use(chain, written)
        if self.answered is not None:
            self.answered(chain, written)

    def abandon(self) -> int:
        """Return how many chains are still in flight, to which nobody wants answers any more; `drop` is told of each."""
        self.in_flight -= len(self._done)
        self._done.clear()
        self.on_broken = None            # what goes wrong from now on is of a life that is over
        return self.in_flight

    def drop(self) -> int:
        """Return how many chains of a queue that was abandoned are still in flight, now that one more is over."""
        self.in_flight -= 1
        return self.in_flight

    def must_interrupt(self) -> bool:
        """Return whether the driver wants to be interrupted for what was put since this was last asked."""
        if self.broken is not None:
            return False
        try:
            wanted = self._wanted()
        except FAULTS as fault:
            self.fail(f"the driver's event area: {fault}")
            return False
        self.interrupts += wanted
        return wanted

    def awake(self) -> None:
        """Ask for no kicks: the device is looking."""
        self._ask(False)

    def rest(self) -> bool:
        """Ask for a kick, and look again; True if something has come meanwhile, for which nobody kicks."""
        self._ask(True)
        if self.broken is not None:
            return False
        try:
            return self._more()
        except QueueBroken as why:
            self.fail(str(why))
        except FAULTS as fault:
            self.fail(f"the ring: {fault}")
        return False

    def _ask(self, kicks: bool) -> None:
        if self.broken is not None:
            return
        self.kicks_wanted = kicks
        try:
            self._suppress(kicks)
        except FAULTS as fault:
            self.fail(f"the device's event area: {fault}")

    @property
    def position(self) -> tuple[int, int]:
        """Where the next available entry is looked for, and where the next used one goes, each 16 bits."""
        raise NotImplementedError

    def _next(self) -> Chain | None:
        raise NotImplementedError

    def _more(self) -> bool:
        raise NotImplementedError

    def _use(self, chain: Chain, written: int) -> None:
        raise NotImplementedError

    def _wanted(self) -> bool:
        raise NotImplementedError

    def _suppress(self, kicks: bool) -> None:
        raise NotImplementedError
