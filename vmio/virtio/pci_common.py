"""The common configuration structure of a virtio device on PCI: what its driver sets up by, register by register.

Source: VIRTIO 1.2, 4.1.4.3 "Common configuration structure layout".
"""

from collections.abc import Callable
from typing import TypeAlias

from vmio.machine.contracts import State
from vmio.virtio import pci_wire as p
from vmio.virtio.device import Setup, VirtioDevice

ADDRESSES = {"queue_desc": "descriptors", "queue_driver": "driver", "queue_device": "device"}
Place: TypeAlias = tuple[str, int]        # (field, bit of its value)


def _places() -> dict[int, Place]:
    """{offset: (field, first bit)}: a field is accessed whole, those of 64 bits in halves."""
    places: dict[int, Place] = {field.offset: (field.name, 0) for field in p.COMMON_CONFIG.fields}
    return places | {field.offset + 4: (field.name, 32) for field in p.COMMON_CONFIG.fields if field.size == 8}


PLACES = _places()


class CommonConfig:
    """The registers of `device`; there are `vectors` for interrupts, and `vector` has the one of each queue (None: of the
    configuration).  `on_reset()` is told when the driver resets the device."""

    def __init__(self, device: VirtioDevice, vectors: int, on_reset: Callable[[], None]) -> None:
        self.device, self.vectors, self.on_reset = device, vectors, on_reset
        self.reset()

    def reset(self) -> None:
        """As after a reset of the device."""
        self.device_select = self.driver_select = self.select = 0
        self.vector: dict[int | None, int] = {}

    @property
    def _setup(self) -> Setup:
        """The queue that is selected; one that is not there reads as of size 0, and forgets what is written."""
        return self.device.setups[self.select] if self.select < len(self.device.setups) else Setup(0)

    def read(self, offset: int, size: int) -> int:
        """Return a register, or the half of one of 64 bits; what lies between them is 0."""
        name, shift = PLACES.get(offset, ("", 0))
        device, setup = self.device, self._setup
        if name == "device_feature":
            value = device.features >> 32 * self.device_select if self.device_select < 2 else 0
        elif name == "driver_feature":
            value = device.agreed >> 32 * self.driver_select if self.driver_select < 2 else 0
        elif name == "device_status":
            value = device.read_status()
        elif name in ADDRESSES:
            value = getattr(setup, ADDRESSES[name]) >> shift
        else:
            value = {"device_feature_select": self.device_select, "driver_feature_select": self.driver_select,
                     "config_msix_vector": self.vector.get(None, p.NO_VECTOR), "num_queues": len(device.setups),
                     "config_generation": device.generation, "queue_select": self.select, "queue_size": setup.size,
                     "queue_msix_vector": self.vector.get(self.select, p.NO_VECTOR), "queue_enable": int(setup.enabled),
                     "queue_notify_off": self.select if setup.max_size else 0}.get(name, 0)
        return value & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register; those that only the device writes stay as they are."""
        name, shift = PLACES.get(offset, ("", 0))
        device, setup = self.device, self._setup
        if name == "device_feature_select":
            self.device_select = value
        elif name == "driver_feature_select":
            self.driver_select = value
        elif name == "driver_feature" and self.driver_select < 2:
            at = 32 * self.driver_select
            device.agree(device.agreed & ~(0xFFFF_FFFF << at) | (value & 0xFFFF_FFFF) << at)
        elif name == "device_status":
            if not value & 0xFF:
                self.reset()
                self.on_reset()
            device.write_status(value & 0xFF)
        elif name == "queue_select":
            self.select = value & 0xFFFF
        elif name == "config_msix_vector":
            self._set_vector(None, value)
        elif name == "queue_msix_vector":
            if setup.max_size:
                self._set_vector(self.select, value)
        elif setup.enabled:
            if name == "queue_reset" and value == 1:
                device.reset_queue(self.select)
        elif name == "queue_size":
            if 0 < value <= setup.max_size:
                setup.size = value
        elif name in ADDRESSES:
            field, keep = ADDRESSES[name], 0xFFFF_FFFF << (32 - shift)
            setattr(setup, field, getattr(setup, field) & keep | (value & 0xFFFF_FFFF) << shift)
        elif name == "queue_enable" and value == 1:
            device.enable(self.select)

    def _set_vector(self, which: int | None, value: int) -> None:
        """A vector that is not there is refused: it reads back as none (4.1.5.1.2)."""
        self.vector[which] = value if value < self.vectors else p.NO_VECTOR

    def save(self) -> State:
        """Return what the driver has written, beside what the device itself knows."""
        return {"selects": [self.device_select, self.driver_select, self.select],
                "vectors": [[-1 if which is None else which, vector] for which, vector in self.vector.items()]}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.device_select, self.driver_select, self.select = state["selects"]
        self.vector = {None if which < 0 else which: vector for which, vector in state["vectors"]}
