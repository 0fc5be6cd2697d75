"""One ring of a back end: what a front end says of it, and the virtqueue that it becomes.

A ring is stopped until it is given a kick descriptor, and again when its base is asked for; between it runs, and is served
while it is enabled (vhost-user.rst, "Ring states").
"""

import os
import select
from collections.abc import Callable

from vmio.machine.contracts import Buffer, Options, Record
from vmio.machine.pagetable import TranslationFault
from vmio.machine.probes import watch
from vmio.oracle.vhost_user.sharing.inflight import PackedRegion, Raw, SplitRegion
from vmio.oracle.vhost_user.sharing.memory import DirtyLog, GuestMemory
from vmio.oracle.vhost_user.sharing.file import SharedFile
from vmio.oracle.vhost_user.serving import RingServer
from vmio.oracle.vhost_user.wire import NUMBER, RING_LOGGED
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue import Chain, PackedQueue, SplitQueue
from vmio.virtio.queue.packed import step
from vmio.virtio.queue.wire import EVENT, PACKED, USED_RING, WRAP, split_sizes

EVENT_BYTES = 8                 # an event descriptor is read and written in eights
_SIGNAL = NUMBER.pack(value=1)


class RingMemory:
    """The guest's memory as one ring's queue sees it: what it writes into the used ring is noted elsewhere in the log, or not at all."""

    def __init__(self, memory: GuestMemory) -> None:
        self.memory, self.read = memory, memory.read
        self.used = range(0)            # guest addresses of the used ring
        self.log: DirtyLog | None = None
        self.log_at = 0                 # where the first of them stands in the log

    def write(self, address: int, data: Buffer) -> None:
        """Store `data`.  TranslationFault for what is in no region."""
        if address not in self.used:
            self.memory.write(address, data)
            return
        self.memory.store(address, data)
        if self.log is not None:
            self.log.note(self.log_at + address - self.used.start, len(data))


class Ring:
    """Ring `number` of `device`; `say` is told in a sentence what is wrong with it."""

    def __init__(self, number: int, device: VirtioDevice, memory: GuestMemory, say: Callable[[str], object]) -> None:
        self.number, self.device, self.memory, self._say = number, device, memory, say
        self.view = RingMemory(memory)
        self.size = self.base = 0
        self.addresses: Record | None = None
        self.fds = {"kick": -1, "call": -1, "err": -1}
        self.enabled = self.polled = self._new = False
        self.queue: SplitQueue | PackedQueue | None = None
        self._server: RingServer | None = None      # a ring whose chains are lent to the device has none
        self.requests = self.kicks = self.calls = 0

    @property
    def running(self) -> bool:
        """Whether it is started."""
        return self.queue is not None

    @property
    def kick(self) -> int:
        """The descriptor that becomes readable when the guest has kicked; -1 while there is none."""
        return self.fds["kick"]

    def take(self, what: str, fd: int) -> None:
        """Have another "kick", "call" or "err" descriptor, -1 for none; the one before is closed."""
        old, self.fds[what] = self.fds[what], fd
        if old >= 0:
            os.close(old)

    def place(self, said: Record, packed: bool) -> None:
        """Lie where SET_VRING_ADDR says.  ValueError, with nothing changed, if that is in no memory region."""
        before, self.addresses = self.addresses, said
        try:
            if self.queue is not None:
                self.queue.descriptors, self.queue.driver, self.queue.device = self._where(packed)
            elif self.memory.regions and self.size:
                self._look(packed)
        except ValueError:
            self.addresses = before
            raise

    def _look(self, packed: bool) -> list[int]:
        """The guest's addresses of descriptors, the driver's and the device's part."""
        assert self.addresses is not None
        said = self.addresses
        sizes = (self.size * PACKED.size, EVENT.size, EVENT.size) if packed else split_sizes(self.size)
        names = ("descriptors", said.descriptors), ("available ring", said.available), ("used ring", said.used)
        found = []
        for (name, user), length in zip(names, sizes):
            try:
                found.append(self.memory.guest_address(user, length))
            except ValueError as error:
                raise ValueError(f"ring {self.number}, {name}: {error}") from None
        return found

    def _where(self, packed: bool) -> list[int]:
        found = self._look(packed)
        assert self.addresses is not None
        length = EVENT.size if packed else split_sizes(self.size)[2]
        self.view.used, self.view.log_at = range(found[2], found[2] + length), self.addresses.log
        return found

    def keep_log(self, log: DirtyLog | None) -> None:
        """Note writes to the used ring in `log`, if the front end has asked for it; None ends it."""
        wanted = self.addresses is not None and self.addresses.flags & RING_LOGGED
        self.view.log = log if wanted else None

    def start(self, packed: bool, indirect: bool, event_idx: bool, rule: Callable[[int, int, int], bool], area: SharedFile | None = None) -> None:
        """Become a queue; what is under way is noted in `area` if there is one.  ValueError where that can't be."""
        if not self.size or self.addresses is None:
            raise ValueError(f"ring {self.number} is to start, and its size and place were not said before")
        begin = self._start_packed if packed else self._start_split
        try:
            self.queue = begin(area, self._where(packed), {"indirect": indirect, "event_idx": event_idx, "on_broken": self._broken})
        except (TranslationFault, EOFError):
            raise ValueError(f"ring {self.number}: its memory is not there any more") from None
        self.queue.rule = rule
        watch(self.queue, "answered", self._count)
        self.enable(self.enabled)

    def enable(self, on: bool) -> None:
        """Let the device use the ring while it runs, or not."""
        self.enabled, device = on, self.device
        if not on or self.queue is None:
            device.queues.pop(self.number, None)
            device.servers.pop(self.number, None)
            return
        device.queues[self.number] = self.queue
        if self._server is not None:
            device.servers[self.number] = self._server

    def _start_split(self, area: SharedFile | None, where: list[int], options: Options) -> SplitQueue:
        available, used = self.base & 0xFFFF, USED_RING.parse(self.memory.read(where[2], USED_RING.size)).idx
        heads: list[int] = []
        region = SplitRegion(area, self.number, False, self.size) if area is not None else None
        if region is not None:
            heads = region.recover(used)
            available = used + len(heads) & 0xFFFF if region.found else available
        queue = SplitQueue(self.view, self.size, *where, available=available, used=used, **options)
        self._serve(queue, region, queue.again(heads))
        return queue

    def _start_packed(self, area: SharedFile | None, where: list[int], options: Options) -> PackedQueue:
        available, used = self.base & 0xFFFF, self.base >> 16
        chains: list[list[Raw]] = []
        region = PackedRegion(area, self.number, True, self.size) if area is not None else None
        if region is not None:
            chains = region.recover(lambda place: PACKED.parse(self.memory.read(where[0] + PACKED.size * (place % self.size), PACKED.size)).flags)
            if region.found:
                used = region.used
                place, wrap = step(used & ~WRAP, used >> 15, sum(map(len, chains)), self.size)
                available = place | wrap << 15
        queue = PackedQueue(self.view, self.size, *where, available=available, used=used, **options)
        self._serve(queue, region, queue.again(chains))
        return queue

    def _serve(self, queue: SplitQueue | PackedQueue, notes: SplitRegion | PackedRegion | None, again: list[Chain]) -> None:
        if self.number not in self.device.lent:
            self._server = RingServer(self.device, self.number, queue, notes, again)

    def stop(self) -> int:
        """Stop, and return the base at which another one would go on: an index, or, packed, two places in halves of 16 bits."""
        if self.queue is not None:
            available, used = self.queue.position
            if self.number in self.device.lent:     # what was lent and not used is lent again
                self.device.stopping(self.number)
                available = used
            self.base = available | used << 16 if isinstance(self.queue, PackedQueue) else available
        self.queue = self._server = None
        self.enable(self.enabled)
        self.take("kick", -1)
        return self.base

    def work(self) -> bool:
        """Serve what is there, one turn of the ring at most.  Returns whether there is more, for which nobody will kick."""
        queue, server = self.queue, self.device.servers.get(self.number)
        if queue is None or server is None or queue.broken is not None:
            return False
        queue.awake()
        server.kicked()
        new, self._new = self._new, False
        if new and queue.must_interrupt():
            self.interrupt()
        return queue.rest()

    def _count(self, chain: Chain, written: int) -> None:
        self.requests += 1
        self._new = True

    def interrupt(self) -> None:
        """Interrupt the guest."""
        self.calls += 1
        self.signal("call")

    def kicked(self) -> bool:
        """Take note of a kick.  False if the descriptor gives no more of them."""
        try:
            found = os.read(self.kick, EVENT_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.kicks += bool(found)
        return bool(found)

    def _broken(self, why: str) -> None:
        self._say(f"ring {self.number}: {why}; it is served no more until it is started anew")
        self.signal("err")

    def signal(self, what: str) -> None:
        """Write to a descriptor if there is one and it takes something now; if it doesn't, a signal waits there already."""
        fd = self.fds[what]
        if fd < 0:
            return
        try:
            ready = select.poll()
            ready.register(fd, select.POLLOUT)
            if ready.poll(0):
                os.write(fd, _SIGNAL)
        except OSError:       # its other end has gone, or it is no event descriptor: nobody is there to be told
            pass

    def close(self) -> None:
        """Let go of everything."""
        self.stop()
        for what in self.fds:
            self.take(what, -1)
