"""Attacks of a hostile host by what its device answers: numbers that nobody lent, lengths, an index; and drivers that believe it."""

from collections.abc import Iterator
from contextlib import contextmanager

from vmio.attacks.defence import Watchdog, without
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.virtqueue.catalogue import QueueAttack
from vmio.attacks.virtqueue.driver_world import DriverWorld
from vmio.drivers.virtio_net import HEADER, VirtioNet
from vmio.machine.contracts import Tag
from vmio.virtio.queue.chain import Chain
from vmio.virtio.queue.driver import DriverQueue
from vmio.virtio.queue.split_driver import SplitDriver
from vmio.virtio.queue.wire import USED_ELEMENT, USED_RING

NOBODYS, FURTHER = 0x7777, 0x1000       # a chain's number; entries
_IDX = USED_RING.by_name["idx"].offset
_BACK = {"": "virtio.queue.driver:DriverQueue._back"}


def _answer(world: DriverWorld, number: int, written: int) -> None:
    """Say that a chain is done."""
    world.queue._use(Chain(world.queue, number), written)
    world.interrupt()


def unknown(world: DriverWorld) -> None:
    """Answer a chain whose number is far behind the ring."""
    _answer(world, NOBODYS, 1)


def twice(world: DriverWorld) -> None:
    """Give the next answer two times."""
    queue = world.queue

    def use(chain: Chain, written: int) -> None:
        delattr(queue, "_use")
        queue._use(chain, written)
        queue._use(chain, written)
    setattr(queue, "_use", use)  # noqa: B010  of this one queue, whose class has it


def too_long(world: DriverWorld) -> None:
    """Say that a frame goes on behind its buffer, as far as the guest's secret."""
    chain = world.queue.take()
    assert chain is not None
    address, _ = chain.writable[0]
    _answer(world, chain.id, world.secret + 2000 - address)


def index_jumps(world: DriverWorld) -> None:
    """Say that 4,096 chains are done, by the index alone: what stands there is of before."""
    queue = world.queue
    queue.memory.write(queue.device + _IDX, (queue.position[1] + FURTHER & 0xFFFF).to_bytes(2, "little"))
    world.interrupt()


# Drivers that believe the device.

@contextmanager
def numbers_are_pointers(world: DriverWorld) -> Iterator[None]:
    """A chain's number is where its token lies, also when it is free again: nobody wipes it."""
    dog = Watchdog()

    def back(self: DriverQueue, id: int, written: int | None) -> tuple[Tag, int]:
        dog.tick()
        token, slots, space = self.waiting[id]
        self.free += slots
        return token, space if written is None else written

    with without(DriverQueue, "_back", back), any_index(world):
        yield


@contextmanager
def lengths_are_true(_world: DriverWorld) -> Iterator[None]:
    """As many bytes are taken as the device says that it wrote."""
    def back(self: DriverQueue, id: int, written: int | None) -> tuple[Tag, int]:
        token, _ = real(self, id, None)
        return token, written or 0

    def came(self: VirtioNet, at: int, written: int) -> None:
        self._received.append(self.cpu.read(at + HEADER, written - HEADER))
        self._lend(at)
    with without(DriverQueue, "_back", back) as real, without(VirtioNet, "_came", came):
        yield


@contextmanager
def any_index(_world: DriverWorld) -> Iterator[None]:
    """Elements are read until the driver's index is the device's."""
    def reap(self: SplitDriver) -> tuple[Tag, int] | None:
        index = int.from_bytes(self.memory.read(self.device + _IDX, 2), "little")
        if index == self._seen:
            return None
        head, written = USED_ELEMENT.struct.unpack(self.memory.read(self.device + USED_RING.size + 8 * (self._seen % self.size), 8))
        self._seen = self._seen + 1 & 0xFFFF
        answer = self._back(head, written)
        self._free += self._chains.pop(head, [])
        return answer
    with without(SplitDriver, "_reap", reap):
        yield


ATTACKS = [
    QueueAttack("answer-unknown", "An answer to a chain that nobody lent", "the device gives back what it was lent", "2.7.8, 2.8.12", unknown, _BACK,
                "its number is looked up among those that are lent", numbers_are_pointers, REJECT, WEDGED, devices=("blk",), world=DriverWorld),
    QueueAttack("answer-twice", "The same answer again", "the device gives back what it was lent", "2.7.8, 2.8.12", twice,
                {"split": "virtio.queue.split_driver:SplitDriver._reap", **_BACK}, "what came back is no longer lent, nor counted", numbers_are_pointers, REJECT, FAIL, devices=("blk",), world=DriverWorld),
    QueueAttack("answer-too-long", "A frame that goes on behind its buffer", "the device writes no more than it was lent", "2.7.8, 2.8.12", too_long,
                _BACK, "the length is compared with what was lent", lengths_are_true, REJECT, FAIL, rings=("split",), devices=("net",),
                world=DriverWorld),
    QueueAttack("answer-index-jumps", "An index that is further than what is lent", "the index counts the chains that came back", "2.7.8", index_jumps,
                {"": "virtio.queue.split_driver:SplitDriver._reap"}, "the difference is compared with how many are lent", any_index, REJECT, FAIL,
                rings=("split",), devices=("blk",), world=DriverWorld),
]
