"""The guest's side of virtio over PCI: find the structures, agree on features, set queues up, kick.

The accesses are those of Linux's drivers/virtio/virtio_pci_modern.c and virtio.c, in their order.
Source: VIRTIO 1.2, 3.1 "Device Initialization", 4.1.
"""

from vmio.devices.pci import header as h
from vmio.devices.pci.wire import MSIX, MSIX_ENABLE, MSIX_ENTRY, MSIX_ID
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.virtio import features as f
from vmio.virtio import pci_wire as p

ENABLE = 1 << 31              # of the address register at CF8h
POLLS, POLL_NS = 60_000, 1_000_000      # looks at the status after a reset, and the time between two of them
MESSAGES = 0xFEE0_0000        # where the local APIC of vCPU 0 takes messages
AT = {field.name: (field.offset, min(field.size, 4)) for field in p.COMMON_CONFIG.fields}


class PciTransport:
    """The device in `slot`, whose BARs firmware has put somewhere; its interrupts come as `vectors`, one for the configuration, then one a queue."""

    def __init__(self, cpu: Cpu, slot: int, vectors: list[int]) -> None:
        self.cpu, self.slot, self.vectors = cpu, slot, vectors
        self.places: dict[int, int] = {}      # {type of structure: its address}
        self.multiplier = 0
        self._doorbells: dict[int, int] = {}

    # -- configuration space -----------------------------------------------------------------

    def find(self) -> None:
        """Walk the list of capabilities: where the structures are, and the MSI-X table.  `DriverError` without what a driver needs."""
        at, seen = self._read(h.CAPABILITIES, 1), 0
        while at and seen < 48:
            id, following = self._read(at, 1), self._read(at + 1, 1)
            if id == p.VNDR:
                self._structure(at)
            elif id == MSIX_ID:
                self._msix(at)
            at, seen = following, seen + 1
        if not {p.COMMON, p.NOTIFY, p.ISR, p.DEVICE} <= self.places.keys():
            raise DriverError(f"virtio: slot {self.slot} has structures {sorted(self.places)}; common, notify, ISR and device are needed")

    def _structure(self, at: int) -> None:
        kind, bar, offset = (self._read(at + p.CAPABILITY.at(name)[0], p.CAPABILITY.at(name)[1]) for name in ("type", "bar", "offset"))
        if kind == p.WINDOW or kind in self.places or bar > 5:
            return
        self.places[kind] = self._bar(bar) + offset
        if kind == p.NOTIFY:
            self.multiplier = self._read(at + p.NOTIFY_CAPABILITY.at("multiplier")[0], 4)

    def _msix(self, at: int) -> None:
        """Let each vector be a message of its own, and switch them on."""
        table = self._read(at + MSIX.at("table")[0], 4)
        base = self._bar(table & 7) + (table & ~7)
        for entry, vector in enumerate(self.vectors):
            words = MSIX_ENTRY.pack(address=MESSAGES | self.cpu.index << 12, data=vector)
            for word in range(0, len(words), 4):
                self.cpu.store(base + MSIX_ENTRY.size * entry + word, 4, int.from_bytes(words[word:word + 4], "little"))
        self._select(at + 2)
        self.cpu.outw(0xCFC + (at + 2) % 4, MSIX_ENABLE)

    def _bar(self, index: int) -> int:
        low = self._read(h.BAR0 + 4 * index, 4)
        return (low & ~15) | (self._read(h.BAR0 + 4 * index + 4, 4) << 32 if low & 4 else 0)

    def _select(self, at: int) -> None:
        self.cpu.outl(0xCF8, ENABLE | self.slot << 11 | at & ~3)

    def _read(self, at: int, size: int) -> int:
        self._select(at)
        return {1: self.cpu.inb, 2: self.cpu.inw, 4: self.cpu.inl}[size](0xCFC + at % 4)

    # -- the common structure ------------------------------------------------------------------

    def get(self, name: str) -> int:
        """Return a register of the common structure."""
        offset, size = AT[name]
        return self.cpu.load(self.places[p.COMMON] + offset, size)

    def put(self, name: str, value: int) -> None:
        """Write a register of the common structure; one of 64 bits in halves, the low one first."""
        offset, size = AT[name]
        self.cpu.store(self.places[p.COMMON] + offset, size, value & (1 << 8 * size) - 1)
        if p.COMMON_CONFIG.by_name[name].size == 8:
            self.cpu.store(self.places[p.COMMON] + offset + 4, 4, value >> 32)

    def start(self, wanted: int) -> Steps[int]:
        """Reset, then agree on what is both offered and `wanted`.  Returns these features; `DriverError` if the device doesn't take them."""
        self.put("device_status", 0)
        for _ in range(POLLS):
            if not self.get("device_status"):
                break
            yield from self.cpu.hlt(POLL_NS)
        else:
            raise DriverTimeout("virtio: a reset that doesn't end")
        self.add_status(f.ACKNOWLEDGE)
        self.add_status(f.DRIVER)
        offered = 0
        for half in (0, 1):
            self.put("device_feature_select", half)
            offered |= self.get("device_feature") << 32 * half
        agreed = offered & wanted
        if not agreed & f.VERSION_1:
            raise DriverError(f"virtio: features {offered:#x} are offered, without VERSION_1")
        for half in (0, 1):
            self.put("driver_feature_select", half)
            self.put("driver_feature", agreed >> 32 * half & 0xFFFF_FFFF)
        self.add_status(f.FEATURES_OK)
        if not self.get("device_status") & f.FEATURES_OK:
            raise DriverError(f"virtio: the device does not take features {agreed:#x}")
        return agreed

    def add_status(self, bit: int) -> None:
        """Go a step on."""
        self.put("device_status", self.get("device_status") | bit)

    def set_vector(self, name: str, vector: int) -> None:
        """Give the configuration, or the queue that is selected, a vector; `DriverError` if the device has no such one."""
        self.put(name, vector)
        if self.get(name) != vector:
            raise DriverError(f"virtio: the device refuses vector {vector}")

    def queue_size(self, number: int) -> int:
        """Return how many entries a queue may have; `DriverError` for one that is not there, or is in use."""
        self.put("queue_select", number)
        size = self.get("queue_size")
        self.put("queue_select", number)
        if not size or self.get("queue_enable"):
            raise DriverError(f"virtio: queue {number} is not there, or in use")
        return size

    def set_queue(self, number: int, size: int, places: tuple[int, int, int], vector: int) -> None:
        """Say where a queue's parts lie, and by which vector it interrupts."""
        self.put("queue_select", number)
        for name, at in zip(("queue_desc", "queue_driver", "queue_device"), places):
            self.put(name, at)
        self.put("queue_select", number)
        self.put("queue_size", size)
        self.set_vector("queue_msix_vector", vector)
        self.put("queue_select", number)
        self._doorbells[number] = self.places[p.NOTIFY] + self.multiplier * self.get("queue_notify_off")

    def enable(self, number: int) -> None:
        """Let the device use a queue, as soon as the driver is ready."""
        self.put("queue_select", number)
        self.put("queue_enable", 1)

    def config(self, offset: int, size: int) -> int:
        """Return a field of the device's own configuration."""
        return self.cpu.load(self.places[p.DEVICE] + offset, size)

    def hear_changes(self) -> None:
        """Let changes of the device's configuration interrupt, by the first vector; after `start`, as a reset forgets it."""
        self.set_vector("config_msix_vector", 0)

    def set_config(self, offset: int, size: int, value: int) -> None:
        """Write a field of the device's own configuration."""
        self.cpu.store(self.places[p.DEVICE] + offset, size, value)

    def generation(self) -> int:
        """Return the number of the configuration: another one, and what was read meanwhile is read again."""
        return self.get("config_generation")

    def kick(self, number: int) -> None:
        """Tell the device that a queue has something: one store, the only exit of a request."""
        self.cpu.store(self._doorbells[number], 2, number)

    def interrupted(self) -> None:
        """A message says all that there is to say: no register is read."""
