"""What each message of a front end does: it changes what is agreed on, or leads to what does more, or is refused.

Every handler checks before it changes anything, and raises ValueError, one sentence, for what it refuses.
Source: QEMU, docs/interop/vhost-user.rst, "Front-end message types".
"""

from collections.abc import Callable
from typing import NamedTuple

from vmio.machine.contracts import Record
from vmio.machine.layout import Layout
from vmio.oracle.vhost_user import wire
from vmio.oracle.vhost_user.ring import Ring
from vmio.oracle.vhost_user.ring_answers import RingAnswers, Rule as EventRule
from vmio.oracle.vhost_user.stream import Message
from vmio.oracle.vhost_user.wire import Protocol, Request
from vmio.virtio import features
from vmio.virtio.device import VirtioDevice

RING_FEATURES = features.INDIRECT_DESC | features.EVENT_IDX | features.VERSION_1 | features.RING_PACKED | wire.PROTOCOL_FEATURES | wire.LOG_ALL


class Rule(NamedTuple):
    """How a message looks, and what answers it: payload, at most so many descriptors, the protocol feature that it belongs to."""

    handler: Callable[["Answers", Record, Message], bytes | None]
    payload: Layout | None = None
    fds: int = 0
    needs: Protocol = Protocol(0)


class Answers(RingAnswers):
    """All that is agreed on in a conversation, and `to(message)`, which finds who answers."""

    def __init__(self, device: VirtioDevice, say: Callable[[str], object], look_at: Callable[[Ring], None], rule: EventRule) -> None:
        super().__init__(device, say, look_at, rule)
        self.offered = device.features | RING_FEATURES
        self.protocols = int(sum(Protocol)) & ~(Protocol.INFLIGHT_SHMFD if device.lent else 0)      # a chain that is lent is not under way
        self.status = 0
        self.protocol = 0

    def to(self, message: Message) -> bytes | None:
        """Do what `message` says; return the payload of its reply, None where it has none of its own.  ValueError: refused."""
        rule = RULES.get(message.request)
        if rule is None:
            raise ValueError(f"it is not known here; known are {', '.join(f'{number} {Request(number).name}' for number in RULES)}")
        if int(rule.needs) & ~self.protocol:
            raise ValueError(f"it belongs to the protocol feature {rule.needs.name}, which was not agreed on")
        if len(message.fds) > rule.fds:
            raise ValueError(f"{len(message.fds)} descriptors come with it; at most {rule.fds} may")
        said = None
        if rule.payload is None:
            if message.payload:
                raise ValueError(f"it has {len(message.payload)} bytes; none are allowed")
        else:
            said = rule.payload.parse(message.payload)
            if len(message.payload) != rule.payload.size and rule.payload not in (wire.TABLE, wire.CONFIG, wire.INFLIGHT):
                raise ValueError(f"it has {len(message.payload)} bytes; {rule.payload.size} are needed")
        return rule.handler(self, said, message)

    def get_features(self, said: Record, message: Message) -> bytes:
        """Reply with what is offered."""
        return wire.NUMBER.pack(value=self.offered)

    def set_features(self, said: Record, message: Message) -> None:
        """Agree on features."""
        unknown = said.value & ~self.offered
        if unknown:
            raise ValueError(f"features {said.value:#x}: {unknown:#x} of them were not offered, {self.offered:#x} were")
        self.features = said.value
        self.device.agreed = said.value & self.device.features | said.value & RING_FEATURES & ~(wire.PROTOCOL_FEATURES | wire.LOG_ALL)
        self._keep_log()
        if not said.value & wire.PROTOCOL_FEATURES:
            for ring in self.rings:
                ring.enable(True)

    def get_protocol_features(self, said: Record, message: Message) -> bytes:
        """Reply with the protocol features that are offered."""
        return wire.NUMBER.pack(value=self.protocols)

    def set_protocol_features(self, said: Record, message: Message) -> None:
        """Agree on protocol features."""
        if said.value & ~self.protocols:
            raise ValueError(f"protocol features {said.value:#x}: {said.value & ~self.protocols:#x} of them were not offered, {self.protocols:#x} were")
        self.protocol = said.value

    def get_queue_num(self, said: Record, message: Message) -> bytes:
        """Reply with the number of rings; a network card's are counted in pairs, as QEMU's net/vhost-user.c does."""
        return wire.NUMBER.pack(value=len(self.device.lent) or len(self.rings))

    def nothing(self, said: Record, message: Message) -> None:
        """Note that there is somebody, and that is all."""

    def reset(self, said: Record, message: Message) -> None:
        """Stop all rings, and forget what was agreed with the driver."""
        self._stop_all()
        for ring in self.rings:
            ring.base = 0

    def _stop_all(self) -> None:
        for ring in self.rings:
            ring.stop()
            ring.enable(False)
        self.device.ended()
        self.status = 0

    def set_status(self, said: Record, message: Message) -> None:
        """Keep the device's status; 0 stops all rings.  Where each was is not forgotten: QEMU 7.2 asks for it behind that, when it moves its guest."""
        if not said.value:
            self._stop_all()
        self.status = said.value & 0xFF

    def get_status(self, said: Record, message: Message) -> bytes:
        """Reply with the status."""
        return wire.NUMBER.pack(value=self.status)

    def get_config(self, said: Record, message: Message) -> bytes:
        """Reply with a part of the configuration; behind its end are zeros."""
        self._whole(said)
        found = self.device.config()[said.offset:said.offset + said.size]
        return wire.CONFIG.pack(offset=said.offset, size=said.size, flags=said.flags, payload=found.ljust(said.size, b"\0"))

    def set_config(self, said: Record, message: Message) -> None:
        """Change a part of the configuration: nothing is offered by which a driver could."""
        self._whole(said)
        raise ValueError(f"configuration: {said.size} bytes at {said.offset} can't be written; drivers may only read it")

    def _whole(self, said: Record) -> None:
        if said.size != len(said.payload) or said.offset + said.size > wire.MAX_CONFIG:
            raise ValueError(f"configuration: {said.size} bytes at {said.offset}, and {len(said.payload)} come along; "
                             f"both must be equal, and end at {wire.MAX_CONFIG} or before")


_STATE, _NUMBER = wire.STATE, wire.NUMBER
RULES: dict[int, Rule] = {
    Request.GET_FEATURES: Rule(Answers.get_features),
    Request.SET_FEATURES: Rule(Answers.set_features, _NUMBER),
    Request.SET_OWNER: Rule(Answers.nothing),
    Request.RESET_OWNER: Rule(Answers.reset),
    Request.SET_MEM_TABLE: Rule(Answers.set_mem_table, wire.TABLE, wire.MAX_REGIONS),
    Request.SET_LOG_BASE: Rule(Answers.set_log_base, wire.LOG, 1, Protocol.LOG_SHMFD),
    Request.SET_LOG_FD: Rule(Answers.nothing, None, 1),
    Request.SET_VRING_NUM: Rule(Answers.set_vring_num, _STATE),
    Request.SET_VRING_ADDR: Rule(Answers.set_vring_addr, wire.ADDRESSES),
    Request.SET_VRING_BASE: Rule(Answers.set_vring_base, _STATE),
    Request.GET_VRING_BASE: Rule(Answers.get_vring_base, _STATE),
    Request.SET_VRING_KICK: Rule(Answers.set_vring_kick, _NUMBER, 1),
    Request.SET_VRING_CALL: Rule(Answers.set_vring_call, _NUMBER, 1),
    Request.SET_VRING_ERR: Rule(Answers.set_vring_err, _NUMBER, 1),
    Request.GET_PROTOCOL_FEATURES: Rule(Answers.get_protocol_features),
    Request.SET_PROTOCOL_FEATURES: Rule(Answers.set_protocol_features, _NUMBER),
    Request.GET_QUEUE_NUM: Rule(Answers.get_queue_num),
    Request.SET_VRING_ENABLE: Rule(Answers.set_vring_enable, _STATE),
    Request.GET_CONFIG: Rule(Answers.get_config, wire.CONFIG, 0, Protocol.CONFIG),
    Request.SET_CONFIG: Rule(Answers.set_config, wire.CONFIG, 0, Protocol.CONFIG),
    Request.GET_INFLIGHT_FD: Rule(Answers.get_inflight_fd, wire.INFLIGHT, 0, Protocol.INFLIGHT_SHMFD),
    Request.SET_INFLIGHT_FD: Rule(Answers.set_inflight_fd, wire.INFLIGHT, 1, Protocol.INFLIGHT_SHMFD),
    Request.RESET_DEVICE: Rule(Answers.reset, None, 0, Protocol.RESET_DEVICE),
    Request.GET_MAX_MEM_SLOTS: Rule(Answers.get_max_mem_slots, None, 0, Protocol.CONFIGURE_MEM_SLOTS),
    Request.ADD_MEM_REG: Rule(Answers.add_mem_reg, wire.ONE_REGION, 1, Protocol.CONFIGURE_MEM_SLOTS),
    Request.REM_MEM_REG: Rule(Answers.rem_mem_reg, wire.ONE_REGION, 1, Protocol.CONFIGURE_MEM_SLOTS),
    Request.SET_STATUS: Rule(Answers.set_status, _NUMBER, 0, Protocol.STATUS),
    Request.GET_STATUS: Rule(Answers.get_status, None, 0, Protocol.STATUS),
}
