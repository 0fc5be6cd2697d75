"""What each message of a front end does: it changes a ring, or is refused.

Every handler checks before it changes anything, and raises ValueError, one sentence, for what it refuses.
Source: QEMU, docs/interop/vhost-user.rst, "Front-end message types".
"""

import os
import select
from collections.abc import Callable
from typing import TypeAlias

from vmio.machine.contracts import Record
from vmio.oracle.vhost_user import wire
from vmio.oracle.vhost_user.memory_answers import MAX_RING, MemoryAnswers
from vmio.oracle.vhost_user.ring import Ring
from vmio.oracle.vhost_user.stream import Message
from vmio.virtio import features
from vmio.virtio.device import VirtioDevice

Rule: TypeAlias = Callable[[int, int, int], bool]     # as `need_event`


class RingAnswers(MemoryAnswers):
    """The rings of `device`, whose `Transport` this is; `look_at(ring)` is called where one is to be served without a kick.

    `rule` decides with events whether the guest is told.
    """

    def __init__(self, device: VirtioDevice, say: Callable[[str], object], look_at: Callable[[Ring], None], rule: Rule) -> None:
        super().__init__()
        self.device, self.say, self._look_at, self._rule = device, say, look_at, rule
        self.rings = [Ring(number, device, self.memory, say) for number in range(len(device.setups))]
        device.transport = self

    def queue_interrupt(self, number: int) -> None:
        """See `Transport`."""
        self.rings[number].interrupt()

    def config_interrupt(self) -> None:
        """See `Transport`: a front end hears of it by a channel of its own (SET_BACKEND_REQ_FD), which is not offered."""

    def _ring(self, index: int) -> Ring:
        if index >= len(self.rings):
            raise ValueError(f"ring {index}: there are rings 0 to {len(self.rings) - 1}")
        return self.rings[index]

    def _stopped(self, index: int) -> Ring:
        ring = self._ring(index)
        if ring.running:
            raise ValueError(f"ring {index} runs; GET_VRING_BASE stops it first")
        return ring

    def set_vring_num(self, said: Record, message: Message) -> None:
        """Say how many entries a ring has."""
        ring = self._stopped(said.index)
        if not 0 < said.num <= MAX_RING or not self.packed and said.num & said.num - 1:
            raise ValueError(f"ring {said.index} of {said.num} entries; 1 to {MAX_RING:,}, a power of two where it isn't packed")
        ring.size = said.num

    def set_vring_addr(self, said: Record, message: Message) -> None:
        """Say where a ring lies."""
        ring = self._ring(said.index)
        ring.place(said, self.packed)
        self._keep_log()

    def set_vring_base(self, said: Record, message: Message) -> None:
        """Say where a ring begins."""
        self._stopped(said.index).base = said.num

    def get_vring_base(self, said: Record, message: Message) -> bytes:
        """Stop a ring, and reply with where another one would go on."""
        ring = self._ring(said.index)
        return wire.STATE.pack(index=said.index, num=ring.stop())

    def set_vring_enable(self, said: Record, message: Message) -> None:
        """Serve a ring, or let it lie."""
        if not self.features & wire.PROTOCOL_FEATURES and self.features:
            raise ValueError(f"ring {said.index}: it is enabled from its start, for bit 30 (PROTOCOL_FEATURES) was not agreed on")
        if said.num > 1:
            raise ValueError(f"ring {said.index}: {said.num}; 1 enables it, 0 disables it")
        ring = self._ring(said.index)
        ring.enable(bool(said.num))
        self._look_at(ring)

    def _descriptor(self, said: Record, message: Message) -> tuple[Ring, int]:
        """The ring of a SET_VRING_KICK, CALL or ERR, and its descriptor, -1 for none; the descriptor is the caller's."""
        if said.value & ~(wire.RING_NUMBER | wire.NO_DESCRIPTOR):
            raise ValueError(f"{said.value:#x}: a ring's number is in bits 0 to 7, and bit 8 says that no descriptor comes along")
        ring = self._ring(said.value & wire.RING_NUMBER)
        if said.value & wire.NO_DESCRIPTOR:
            return ring, -1
        if not message.fds:
            raise ValueError(f"ring {ring.number}: no descriptor comes along; bit 8 says so if none is meant")
        return ring, message.fds[0]

    def set_vring_kick(self, said: Record, message: Message) -> None:
        """Have the descriptor by which the guest kicks, and start the ring."""
        ring, fd = self._descriptor(said, message)
        if fd >= 0:
            try:
                with select.epoll() as probe:
                    probe.register(fd)
                os.set_blocking(fd, False)
            except OSError as error:
                raise ValueError(f"ring {ring.number}: its descriptor is none that can be waited for ({error.strerror})") from None
        if not ring.running:
            if not self.features:
                raise ValueError(f"ring {ring.number} is to start, and no features were agreed on")
            ring.start(self.packed, bool(self.features & features.INDIRECT_DESC), bool(self.features & features.EVENT_IDX), self._rule, self.area)
            self._keep_log()
        ring.polled = fd < 0
        ring.take("kick", fd)
        message.fds.clear()
        self._look_at(ring)

    def set_vring_call(self, said: Record, message: Message) -> None:
        """Have the descriptor that interrupts the guest."""
        self._take("call", said, message)

    def set_vring_err(self, said: Record, message: Message) -> None:
        """Have the descriptor that tells the front end of a broken ring."""
        self._take("err", said, message)

    def _take(self, what: str, said: Record, message: Message) -> None:
        ring, fd = self._descriptor(said, message)
        ring.take(what, fd)
        message.fds.clear()
