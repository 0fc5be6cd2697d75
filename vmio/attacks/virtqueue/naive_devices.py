"""A disk, a card and a transport that trust the driver: as in `naive.py`, for requests and registers instead of rings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vmio.attacks.defence import Watchdog, without
from vmio.attacks.virtqueue.doors import PARTS
from vmio.attacks.virtqueue.naive import ENDLESS, Pointer
from vmio.attacks.virtqueue.world import QueueWorld
from vmio.machine.net import frames
from vmio.machine.storage import SECTOR
from vmio.virtio import blk_wire as b
from vmio.virtio import net_wire as n
from vmio.virtio.blk import Blk
from vmio.virtio.device import VirtioDevice
from vmio.virtio.mmio import VirtioMmio
from vmio.virtio.net import RECEIVE, TRANSMIT, Net
from vmio.virtio.net_filter import Filter
from vmio.virtio.pci_common import CommonConfig
from vmio.virtio.queue.chain import Chain
from vmio.virtio.queue.split import SplitQueue

_U64 = (1 << 64) - 1


@contextmanager
def any_sector(world: QueueWorld) -> Iterator[None]:
    """The first sector and their number are added in 64 bits, and what the sum is not larger than is on the disk; a range is not looked at."""
    def begin(self: Blk, op: str, lba: int, length: int, chain: Chain, done: Callable[[bool], None]) -> None:
        if self is not world.device:
            real(self, op, lba, length, chain, done)
        elif lba + length // SECTOR & _U64 <= 2 * self.store.sectors:       # of the medium behind it
            self._go(op, lba, length // SECTOR, chain, done)
        else:
            done(False)

    def answer_range(self: Blk, number: int, chain: Chain, op: str, done: Callable[[bool], None]) -> None:
        data = chain.fetch(b.HEADER.size, b.RANGE.size)
        if self is not world.device or data is None:
            ranges(self, number, chain, op, done)
            return
        lba, sectors, _ = b.RANGE.struct.unpack(data)
        self._go(op, lba, sectors, chain, done)
    with without(Blk, "_begin", begin) as real, without(Blk, "_answer_range", answer_range) as ranges:
        yield


@contextmanager
def header_is_there(world: QueueWorld) -> Iterator[None]:
    """A frame is as long as its buffer, less the header, in 32 bits; of a longer one as much goes as fits."""
    pointer = Pointer(world)

    def transmit(self: Net, chain: Chain) -> None:
        if self is not world.device:
            real(self, chain)
            return
        address, size = chain.readable[0]
        length = min(size - n.HEADER.size & 0xFFFF_FFFF, frames.MAX)
        self._send(pointer.read(address + n.HEADER.size, length))
        self.done(TRANSMIT, chain, 0)
    with without(Net, "_transmit", transmit) as real:
        yield


@contextmanager
def any_frame(world: QueueWorld) -> Iterator[None]:
    """What the guest calls a frame goes onto the wire."""
    def transmit(self: Net, chain: Chain) -> None:
        if self is not world.device or self.port is None:
            real(self, chain)
            return
        data = chain.fetch(n.HEADER.size, chain.size)
        if data is not None:
            self.port.send(data)
        self.done(TRANSMIT, chain, 0)
    with without(Net, "_transmit", transmit) as real:
        yield


@contextmanager
def large_enough(world: QueueWorld) -> Iterator[None]:
    """The next buffer takes the frame, whatever its size."""
    pointer = Pointer(world)

    def receive(self: Net, frame: bytes) -> bool:
        if self is not world.device:
            return real(self, frame)
        queue = self.queues[RECEIVE]
        chain = queue.take()
        if chain is None:
            return False
        pointer.write(chain.writable[0][0], bytes(n.HEADER.size) + frame)
        queue.put(chain, n.HEADER.size + len(frame))
        return True
    with without(Net, "_receive", receive) as real:
        yield


@contextmanager
def any_count(_world: QueueWorld) -> Iterator[None]:
    """A table of addresses has as many as it says."""
    dog = Watchdog(ENDLESS)

    def set_table(self: Filter, data: bytes) -> bool:
        for at in range(int.from_bytes(data[:4], "little")):
            dog.tick()
            self.addresses.add(data[4 + frames.ADDRESS * at:][:frames.ADDRESS])
        return True
    with without(Filter, "_set_table", set_table):
        yield


@contextmanager
def any_vlan(world: QueueWorld) -> Iterator[None]:
    """Which VLANs are wanted is a bit each, 4,096 of them, in the host's memory."""
    def command(self: Filter, data: bytes) -> bool:
        kind, number = data[0], int.from_bytes(data[2:4], "little")
        if kind != n.VLAN:
            return real(self, data)
        at = world.bounce + number // 8
        world.host.write(at, bytes([world.host.bytes[at] | 1 << number % 8]))
        return True
    with without(Filter, "command", command) as real:
        yield


# Registers.

@contextmanager
def moves(world: QueueWorld) -> Iterator[None]:
    """A queue's address may be written at any time, and is looked at only when the queue begins; then it is a pointer."""
    def written(registers: CommonConfig | VirtioMmio) -> None:
        setup, queue = registers._setup, world.device.queues.get(registers.select)
        if registers.device is world.device and queue is not None:
            queue.descriptors, queue.driver, queue.device = setup.descriptors, setup.driver, setup.device
            queue.memory = Pointer(world)

    def unlocked(registers: CommonConfig | VirtioMmio, offset: int, write: Callable[[], None]) -> None:
        setup, places = registers._setup, {world.door.at[part][0] + half for part in PARTS for half in (0, 4)}
        enabled = setup.enabled
        setup.enabled = enabled and offset not in places
        write()
        setup.enabled = setup.enabled or enabled
        if offset in places and enabled:
            written(registers)

    def common(self: CommonConfig, offset: int, size: int, value: int) -> None:
        unlocked(self, offset, lambda: real_common(self, offset, size, value))

    def mmio(self: VirtioMmio, offset: int, size: int, value: int) -> None:
        unlocked(self, offset, lambda: real_mmio(self, offset, size, value))
    with without(CommonConfig, "write", common) as real_common, without(VirtioMmio, "write", mmio) as real_mmio:
        yield


@contextmanager
def any_size(world: QueueWorld) -> Iterator[None]:
    """A queue has as many entries as the driver says."""
    def write(self: CommonConfig, offset: int, size: int, value: int) -> None:
        if self.device is world.device and offset == world.door.at["size"][0]:
            self._setup.size = value
        else:
            real(self, offset, size, value)
    with without(CommonConfig, "write", write) as real:
        yield


@contextmanager
def queue_is_made(world: QueueWorld) -> Iterator[None]:
    """Nobody asks what happens when a queue can't be made."""
    def start(self: VirtioDevice, number: int) -> None:
        if self is world.device:
            SplitQueue(self.memory, self.setups[number].size, 0, 0, 0)
        real(self, number)
    with without(VirtioDevice, "_start", start) as real:
        yield


@contextmanager
def queue_is_there(world: QueueWorld) -> Iterator[None]:
    """Each queue that is named exists, and is ready."""
    def enable(self: VirtioDevice, number: int) -> None:
        self.setups[number].enabled = True

    def kick(self: VirtioDevice, number: int) -> None:
        self.servers[number].kicked()
    with without(world.device, "enable", enable.__get__(world.device)), without(world.device, "kick", kick.__get__(world.device)):
        yield


@contextmanager
def config_is_a_structure(world: QueueWorld) -> Iterator[None]:
    """The configuration is read by its offset in the host's memory; what lies behind it is the host's."""
    def read_config(self: VirtioDevice, offset: int, size: int) -> int:
        if self is not world.device:
            return real(self, offset, size)
        return int.from_bytes(world.host.read(world.above - len(self.config()) + offset, size), "little")
    with without(VirtioDevice, "read_config", read_config) as real:
        yield


@contextmanager
def any_vector(world: QueueWorld) -> Iterator[None]:
    """A queue interrupts by the vector that it was given."""
    def set_vector(self: CommonConfig, which: int | None, value: int) -> None:
        self.vector[which] = value
    with without(CommonConfig, "_set_vector", set_vector):
        yield
