"""What two guests' worlds are put together from: where things lie, a disk's share of a medium, a device that is brought up, an honest request."""

from collections.abc import Iterable
from typing import NamedTuple

from vmio.attacks.defence import Watchdog
from vmio.attacks.virtqueue.doors import Door
from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import AddressSpace
from vmio.machine.storage import SECTOR, Image
from vmio.virtio import blk_wire as b
from vmio.virtio import features as f
from vmio.virtio import net_wire as n
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue import PackedDriver, SplitDriver
from vmio.virtio.queue.driver import DriverQueue

SIZE = 8                                    # entries of each queue
PARTS = 3 * PAGE                            # of each queue: descriptors, the driver's area, the device's, a page for each
TABLES, DATA, STATUS, READ_ONLY, RAM = 0x9000, 0xE000, 0xF000, 0x1_0000, 0x2_0000
NEIGHBOUR = RAM + 2 * PAGE + 0x1_0000       # here lies the neighbour's secret, for who goes on counting
SECTORS = 64                                # of each disk
UNTOUCHED = 0xFF                            # a status that no device writes


class Case(NamedTuple):
    """A form of queue, a device, a transport."""

    ring: str
    device: str
    transport: str = "pci"


class Share:
    """Sectors of a medium from `first` on; as with a partition, who asks must know where it ends."""

    def __init__(self, medium: Image, first: int) -> None:
        self.medium, self.first, self.sectors, self.name = medium, first, SECTORS, "share"

    def read(self, lba: int, count: int = 1) -> Sectors:
        """See `SectorStore`; a sum of 64 bits wraps."""
        return self.medium.read(self._at(lba), count)

    def write(self, lba: int, data: Buffer) -> None:
        """See `SectorStore`."""
        self.medium.write(self._at(lba), data)

    def discard(self, lba: int, count: int) -> None:
        """See `SectorStore`."""
        self.medium.discard(self._at(lba), count)

    def _at(self, lba: int) -> int:
        return self.first + lba & (1 << 64) - 1

    def flush(self) -> None:
        """See `SectorStore`."""

    def persist(self, lba: int, count: int) -> None:
        """See `SectorStore`."""


class Counted:
    """Memory of a device whose accesses a watchdog counts: a device that goes round in a loop is stopped."""

    def __init__(self, memory: AddressSpace) -> None:
        self.memory, self.dog = memory, Watchdog()

    def read(self, address: int, length: int) -> bytes:
        """See `Memory`."""
        self.dog.tick()
        return self.memory.read(address, length)

    def write(self, address: int, data: Buffer) -> None:
        """See `Memory`."""
        self.dog.tick()
        self.memory.write(address, data)


def start(door: Door, device: VirtioDevice, memory: AddressSpace, ring: str, numbers: Iterable[int],
          elsewhere: dict[int, dict[str, int]] | None = None) -> list[DriverQueue]:
    """Bring a device up as a driver does (VIRTIO 1.2, 3.1.1), and return its queues' driver's halves."""
    door.put("status", 0)
    door.put("status", f.ACKNOWLEDGE)
    door.put("status", f.ACKNOWLEDGE | f.DRIVER)
    agreed = f.VERSION_1 | f.INDIRECT_DESC | f.RING_PACKED * (ring == "packed") | device.features & n.CTRL_VQ * (device.type == n.TYPE)
    for half in (0, 1):
        door.put("half", half)
        door.put("features", agreed >> 32 * half)
    door.put("status", f.ACKNOWLEDGE | f.DRIVER | f.FEATURES_OK)
    memory.write(0, bytes(TABLES))
    queues: list[DriverQueue] = []
    for number in numbers:
        door.put("select", number)
        at = {"descriptors": PARTS * number, "driver": PARTS * number + PAGE, "device": PARTS * number + 2 * PAGE}
        queues.append((PackedDriver if ring == "packed" else SplitDriver)(memory, SIZE, *at.values()))
        for what, address in {**at, **(elsewhere or {}).get(number, {})}.items():
            door.put(what, address)
        door.put("enable", 1)
    door.put("status", f.ACKNOWLEDGE | f.DRIVER | f.FEATURES_OK | f.DRIVER_OK)
    return queues


def read_sector(door: Door, driver: DriverQueue, memory: AddressSpace, sector: int) -> bytes | None:
    """Return what an honest read of one sector brings; None if it is not answered, or badly."""
    memory.write(DATA, b.HEADER.pack(type=b.IN, sector=sector))
    memory.write(STATUS, bytes([UNTOUCHED]))
    driver.add([(DATA, b.HEADER.size)], [(DATA + PAGE // 2, SECTOR), (STATUS, 1)], sector)
    driver.publish()
    door.kick(0)
    if driver.reap() is None or memory.read(STATUS, 1) != bytes([b.OK]):
        return None
    return memory.read(DATA + PAGE // 2, SECTOR)
