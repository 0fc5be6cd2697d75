"""What each message of a front end does: it changes which memory is shared and what is noted there, or is refused.

Every handler checks before it changes anything, and raises ValueError, one sentence, for what it refuses.
Source: QEMU, docs/interop/vhost-user.rst, "Front-end message types".
"""

import os

from vmio.machine.contracts import Record
from vmio.oracle.vhost_user import wire
from vmio.oracle.vhost_user.sharing.inflight import region_bytes
from vmio.oracle.vhost_user.sharing.memory import DirtyLog, GuestMemory, Region
from vmio.oracle.vhost_user.ring import Ring
from vmio.oracle.vhost_user.sharing.file import SharedFile, anonymous
from vmio.oracle.vhost_user.stream import Message
from vmio.virtio import features

MAX_RING = 1 << 15              # entries


class MemoryAnswers:
    """The guest's memory, the log of what is written to it, and the memory for what is under way."""

    def __init__(self) -> None:
        self.features = 0
        self.memory = GuestMemory()
        self.rings: list[Ring] = []
        self.log: DirtyLog | None = None
        self.area: SharedFile | None = None         # for what is under way
        self.sent: tuple[int, ...] = ()             # descriptors that go with the next reply

    @property
    def packed(self) -> bool:
        """Whether rings are packed ones."""
        return bool(self.features & features.RING_PACKED)

    def set_mem_table(self, said: Record, message: Message) -> None:
        """Have these memory regions in place of those before."""
        if not 0 < said.count <= wire.MAX_REGIONS or len(message.payload) != wire.TABLE.size + said.count * wire.REGION.size:
            raise ValueError(f"{said.count} memory regions in {len(message.payload)} bytes; 1 to {wire.MAX_REGIONS}, each of "
                             f"{wire.REGION.size} bytes behind {wire.TABLE.size}")
        if len(message.fds) != said.count:
            raise ValueError(f"{len(message.fds)} descriptors come with {said.count} memory regions; each needs one")
        regions: list[Region] = []
        try:
            for at in range(wire.TABLE.size, len(message.payload), wire.REGION.size):
                regions.append(Region.shared(wire.REGION.parse(message.payload, at), message.fds.pop(0)))
        except ValueError:
            for region in regions:
                region.file.close()
            raise
        self.memory.replace(regions)

    def get_max_mem_slots(self, said: Record, message: Message) -> bytes:
        """Reply with how many memory regions there may be."""
        return wire.NUMBER.pack(value=wire.MAX_REGIONS)

    def add_mem_reg(self, said: Record, message: Message) -> None:
        """Have one more region."""
        if len(message.fds) != 1:
            raise ValueError("no descriptor comes with the memory region; one is needed")
        self.memory.add(Region.shared(said, message.fds.pop()))

    def rem_mem_reg(self, said: Record, message: Message) -> None:
        """Let go of a region."""
        self.memory.remove(said.guest, said.user, said.size)

    # What is noted.

    def set_log_base(self, said: Record, message: Message) -> bytes:
        """Note the pages that are written in this memory."""
        if len(message.fds) != 1:
            raise ValueError("no descriptor comes with the log; one is needed")
        self._log(DirtyLog(SharedFile(message.fds.pop(), said.offset, said.size, "log")))
        return wire.NUMBER.pack()

    def _log(self, log: DirtyLog | None) -> None:
        old, self.log = self.log, log
        if old is not None:
            old.close()
        self._keep_log()

    def _keep_log(self) -> None:
        """Note what is written while there is a log, and LOG_ALL is agreed on."""
        log = self.log if self.features & wire.LOG_ALL else None
        self.memory.written = log.note if log is not None else None
        for ring in self.rings:
            ring.keep_log(log)

    def get_inflight_fd(self, said: Record, message: Message) -> bytes:
        """Make memory for what is under way, and send its descriptor."""
        size = self._area_bytes(said, message)
        fd = anonymous("vmio-inflight", size)
        self.sent = (os.dup(fd),)
        self._area(SharedFile(fd, 0, size, "memory for what is under way"))
        reply = wire.INFLIGHT.pack(size=size, offset=0, queues=said.queues, queue_size=said.queue_size)
        return reply.ljust(len(message.payload), b"\0")

    def set_inflight_fd(self, said: Record, message: Message) -> None:
        """Have this memory for what is under way: ours from before, or another back end's."""
        if len(message.fds) != 1:
            raise ValueError("no descriptor comes with the memory for what is under way; one is needed")
        if said.size < self._area_bytes(said, message):
            raise ValueError(f"{said.size} bytes for what is under way in {said.queues} rings of {said.queue_size}; "
                             f"{self._area_bytes(said, message)} are needed")
        self._area(SharedFile(message.fds.pop(), said.offset, said.size, "memory for what is under way"))

    def _area_bytes(self, said: Record, message: Message) -> int:
        running = [str(ring.number) for ring in self.rings if ring.running]
        if running:
            raise ValueError(f"ring {', '.join(running)} runs; GET_VRING_BASE stops it first")
        if len(message.payload) not in (wire.INFLIGHT.size, wire.INFLIGHT_PADDED):
            raise ValueError(f"it has {len(message.payload)} bytes; {wire.INFLIGHT.size} or {wire.INFLIGHT_PADDED} are needed")
        if not 0 < said.queues <= len(self.rings) or not 0 < said.queue_size <= MAX_RING:
            raise ValueError(f"{said.queues} rings of {said.queue_size} entries; 1 to {len(self.rings)} of 1 to {MAX_RING} are possible")
        return said.queues * region_bytes(self.packed, said.queue_size)

    def _area(self, area: SharedFile | None) -> None:
        old, self.area = self.area, area
        if old is not None:
            old.close()

    def close(self) -> None:
        """Let go of rings, memory and everything that came by descriptors."""
        for ring in self.rings:
            ring.close()
        self._log(None)
        self._area(None)
        self.memory.close()
