"""SET FEATURES and GET FEATURES: what the host may tune.

Source: NVMe 1.4, 5.13 and 5.21.  None is saveable.  Where the answer is not in
the specification (defaults, which may be changed) it is QEMU 7.2's.
"""

from vmio.hardware.nvme import identify as nvme_identify
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.queues import Request
from vmio.hardware.nvme.wire import (
    COMMAND_SET_REJECTED,
    DNR,
    EVENT_SMART,
    EVERY_NAMESPACE,
    INVALID_FIELD,
    INVALID_NAMESPACE,
    NAMESPACES,
    NOT_CHANGEABLE,
    NOT_NAMESPACE_SPECIFIC,
    NOT_SAVEABLE,
    SEQUENCE_ERROR,
    TEMPERATURE_THRESHOLD,
    Failed,
)
from vmio.machine.contracts import State

(ARBITRATION, POWER, TEMPERATURE, ERROR_RECOVERY, WRITE_CACHE, QUEUES, COALESCING, VECTOR, ATOMICITY, EVENTS,
 TIMESTAMP, HOST_BEHAVIOR, COMMAND_SET) = 1, 2, 4, 5, 6, 7, 8, 9, 0xA, 0xB, 0xE, 0x16, 0x19
CHANGEABLE, BY_NAMESPACE = 4, 2
CAPABILITIES = dict.fromkeys((ARBITRATION, POWER, COALESCING, VECTOR, ATOMICITY), 0)
CAPABILITIES |= dict.fromkeys((TEMPERATURE, WRITE_CACHE, QUEUES, EVENTS, TIMESTAMP, HOST_BEHAVIOR, COMMAND_SET),
                              CHANGEABLE)
CAPABILITIES[ERROR_RECOVERY] = CHANGEABLE | BY_NAMESPACE
DEFAULTS = {ARBITRATION: 7}                  # no limit to a burst
CURRENT, CAPABILITY = 0, 3                   # select, dword 10 bits 10:8
OVER, UNDER = 0, 1                           # temperature threshold kinds, dword 11 bits 21:20
HOST_BEHAVIOR_BYTES = 512


class Features:
    """The current values; a controller reset leaves them alone, a reset of the device does not."""

    FIELDS = ("over", "under", "error_recovery", "write_cache", "events", "timestamp", "timestamp_set_ms")

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.reset()

    def reset(self) -> None:
        """Power-on values."""
        self.over, self.under = nvme_identify.WARNING_K, 0
        self.error_recovery, self.write_cache, self.events = 0, 1, 0
        self.timestamp = self.timestamp_set_ms = 0
        self.host_behavior = bytes(HOST_BEHAVIOR_BYTES)

    def start(self) -> None:
        """CC.EN was set: the timestamp counts from 0 (5.21.1.14)."""
        self.timestamp, self.timestamp_set_ms = 0, self._ms()

    def too_hot_or_cold(self) -> bool:
        """Is the temperature beyond a threshold?"""
        return not self.under < nvme_identify.NOW_K < self.over

    def get(self, request: Request, nsid: int, dword10: int, dword11: int) -> int:
        """GET FEATURES: the 32-bit result.  Timestamp and host behaviour go to memory."""
        feature, select = dword10 & 0xFF, dword10 >> 8 & 7
        capabilities = CAPABILITIES.get(feature)
        if capabilities is None:
            raise Failed(INVALID_FIELD | DNR)
        if capabilities & BY_NAMESPACE:
            _one_namespace(nsid)
        if select == CAPABILITY:
            return capabilities
        if select == CURRENT or select > CAPABILITY:
            if feature == TEMPERATURE:
                return self._threshold(dword11)
            if feature == TIMESTAMP:
                self.controller.to_host(request, self._timestamp().to_bytes(8, "little"))
                return 0
            if feature == HOST_BEHAVIOR:
                self.controller.to_host(request, self.host_behavior)
                return 0
            current = {ERROR_RECOVERY: self.error_recovery, WRITE_CACHE: self.write_cache, EVENTS: self.events}
            if feature in current:
                return current[feature]
        return self._default(feature, dword11)

    def _default(self, feature: int, dword11: int) -> int:
        """Defaults, and the features that have no other value."""
        if feature == TEMPERATURE:
            return nvme_identify.WARNING_K if not dword11 >> 16 & 0x3F else 0
        if feature == QUEUES:
            return self._queues()
        if feature == VECTOR:
            vector = dword11 & 0xFFFF
            if vector > self.controller.queue_pairs:
                raise Failed(INVALID_FIELD | DNR)
            return vector | (vector == 0) << 16       # the admin queue's is never coalesced
        return DEFAULTS.get(feature, 0)

    def _queues(self) -> int:
        most = self.controller.queue_pairs - 1
        return most << 16 | most

    def _threshold(self, dword11: int) -> int:
        if dword11 >> 16 & 0xF:
            return 0                                  # only the composite temperature exists
        kind = dword11 >> 20 & 3
        if kind > UNDER:
            raise Failed(INVALID_FIELD | DNR)
        return self.under if kind == UNDER else self.over

    def set(self, request: Request, nsid: int, dword10: int, dword11: int) -> int:
        """SET FEATURES: the 32-bit result."""
        feature = dword10 & 0xFF
        if dword10 >> 31:
            raise Failed(NOT_SAVEABLE | DNR)
        capabilities = CAPABILITIES.get(feature)
        if capabilities is None:
            raise Failed(INVALID_FIELD | DNR)
        if capabilities & BY_NAMESPACE:
            if nsid != EVERY_NAMESPACE:
                _one_namespace(nsid)
        elif nsid and nsid != EVERY_NAMESPACE:
            raise Failed((NOT_NAMESPACE_SPECIFIC if nsid <= NAMESPACES else INVALID_NAMESPACE) | DNR)
        if not capabilities & CHANGEABLE:
            raise Failed(NOT_CHANGEABLE | DNR)
        return self._set(request, feature, dword11)

    def _set(self, request: Request, feature: int, dword11: int) -> int:
        if feature == TEMPERATURE:
            self._set_threshold(dword11)
        elif feature == ERROR_RECOVERY:
            self.error_recovery = dword11
        elif feature == WRITE_CACHE:
            if not dword11 & 1 and self.write_cache:
                self.controller.change(self.controller.image.flush)
            self.write_cache = dword11 & 1
        elif feature == QUEUES:
            if self.controller.queues_created:
                raise Failed(SEQUENCE_ERROR | DNR)
            if dword11 & 0xFFFF == 0xFFFF or dword11 >> 16 == 0xFFFF:
                raise Failed(INVALID_FIELD | DNR)
            return self._queues()
        elif feature == EVENTS:
            self.events = dword11
        elif feature == TIMESTAMP:
            self.timestamp = int.from_bytes(self.controller.from_host(request, 8), "little")
            self.timestamp_set_ms = self._ms()
        elif feature == HOST_BEHAVIOR:
            self.host_behavior = self.controller.from_host(request, HOST_BEHAVIOR_BYTES)
        elif dword11 & 0x1FF:                         # COMMAND_SET: there is one combination, number 0
            raise Failed(COMMAND_SET_REJECTED | DNR)
        return 0

    def _set_threshold(self, dword11: int) -> None:
        if dword11 >> 16 & 0xF:
            return
        kind = dword11 >> 20 & 3
        if kind > UNDER:
            raise Failed(INVALID_FIELD | DNR)
        if kind == UNDER:
            self.under = dword11 & 0xFFFF
        else:
            self.over = dword11 & 0xFFFF
        if self.too_hot_or_cold() and self.events & 2:
            self.controller.events.add(EVENT_SMART, TEMPERATURE_THRESHOLD, 2)

    def _ms(self) -> int:
        return self.controller.clock.now // 1_000_000

    def _timestamp(self) -> int:
        """Milliseconds since 1970 if the host said what it is, else since CC.EN (5.21.1.14, figure 327)."""
        counted = (self.timestamp + self._ms() - self.timestamp_set_ms) & (1 << 48) - 1
        return counted | bool(self.timestamp) << 49

    def save(self) -> State:
        """Return the values as plain data."""
        return {name: getattr(self, name) for name in self.FIELDS} | {"host_behavior": self.host_behavior.hex()}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        for name in self.FIELDS:
            setattr(self, name, state[name])
        self.host_behavior = bytes.fromhex(state["host_behavior"])


def _one_namespace(nsid: int) -> None:
    if not 1 <= nsid <= NAMESPACES:
        raise Failed(INVALID_NAMESPACE | DNR)
    if nsid != 1:
        raise Failed(INVALID_FIELD | DNR)
