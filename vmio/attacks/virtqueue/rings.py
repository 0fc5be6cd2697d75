"""Attacks by the rings themselves: indices, how many chains there are, and where the rings lie."""

from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.virtqueue import naive
from vmio.attacks.virtqueue.catalogue import QueueAttack
from vmio.attacks.virtqueue.parts import DATA, NEIGHBOUR, SIZE, STATUS, TABLES
from vmio.attacks.virtqueue.world import QueueWorld
from vmio.virtio import blk_wire as b
from vmio.virtio.queue.wire import INDIRECT, WRITE

TURNS = 5             # of the ring, without an answer
_FENCE = {"": "machine.pagetable:PageTable.translate"}


def index_jumps(world: QueueWorld) -> None:
    """One request, and an index that says 65,535."""
    if world.case.device == "blk":
        world.offer(world.header(b.FLUSH_REQUEST), (STATUS, 1, WRITE), index=0xFFFF)
    else:
        world.offer(world.header()[:2] + (0,), index=0xFFFF)


def lend_again(world: QueueWorld) -> None:
    """The whole ring is made available, and again before anything has come back; the disk takes its time."""
    world.pending = []
    world.rows(TABLES, world.header(b.FLUSH_REQUEST), (STATUS, 1, WRITE))
    for turn in range(1, TURNS + 1):
        world.offer(*[(TABLES, 32, INDIRECT)] * SIZE, index=turn if world.case.ring == "packed" else turn * SIZE)


def _request(world: QueueWorld) -> None:
    """One that an honest driver would make."""
    world.send_from(DATA + 0x800)


def answers_elsewhere(world: QueueWorld) -> None:
    """Let the device answer into the neighbour's memory."""
    world.up(device=NEIGHBOUR)
    _request(world)


def descriptors_elsewhere(world: QueueWorld) -> None:
    """Let the device look for descriptors in the neighbour's memory."""
    world.up(descriptors=NEIGHBOUR)
    _request(world)


ATTACKS = [
    QueueAttack("ring-index-jumps", "An index that is 65,535 further", "the index is at most one turn ahead", "2.7.6.1", index_jumps,
                {"": "virtio.queue.split:SplitQueue._index"}, "the difference is compared with the size", naive.any_index, REJECT, WEDGED,
                rings=("split",)),
    QueueAttack("ring-lent-again", "The whole ring again, before anything came back", "what was not used can't be available again", "2.7.13, 2.8.21",
                lend_again, {"split": "virtio.queue.split:SplitQueue._next", "packed": "virtio.queue.packed:PackedQueue._next"},
                "what is in flight is counted", naive.any_number, REJECT, WEDGED, devices=("blk",)),
    QueueAttack("ring-answers-elsewhere", "Answers into the neighbour's memory", "a queue's parts are the guest's memory", "2.7, 2.8", answers_elsewhere,
                _FENCE, "the device reaches memory by the guest's page table", naive.by_pointer, REJECT, FAIL, transports=("pci", "mmio")),
    QueueAttack("ring-descriptors-elsewhere", "Descriptors in the neighbour's memory", "a queue's parts are the guest's memory", "2.7, 2.8",
                descriptors_elsewhere, _FENCE, "the device reaches memory by the guest's page table", naive.by_pointer, REJECT, FAIL,
                transports=("pci", "mmio")),
]
