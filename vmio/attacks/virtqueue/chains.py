"""Attacks by descriptors: where a chain leads, how long it is, what it is for."""

from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.virtqueue import naive
from vmio.attacks.virtqueue.catalogue import QueueAttack
from vmio.attacks.virtqueue.parts import DATA, NEIGHBOUR, RAM, READ_ONLY, STATUS, TABLES
from vmio.attacks.virtqueue.world import QueueWorld
from vmio.machine.contracts import Buffer, Memory
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR
from vmio.virtio import blk_wire as b
from vmio.virtio.queue.wire import DESCRIPTOR, INDIRECT, NEXT, WRITE

_FOLLOWS = {"split": "virtio.queue.split:SplitQueue._chain", "packed": "virtio.queue.packed:PackedQueue._next"}
_TABLE = {"split": "virtio.queue.split:SplitQueue._indirect", "packed": "virtio.queue.packed:PackedQueue._indirect"}
_FENCE = {"": "machine.pagetable:PageTable.translate"}
_BEHIND = "its copy is followed no further than the ring is long"


def loop(world: QueueWorld) -> None:
    """Split: two descriptors that name each other; packed: each of the ring has a next one."""
    if world.case.ring == "split":
        world.offer((DATA, 16, NEXT, 1), (DATA, 16, NEXT, 0))
    else:
        world.offer(*[(DATA, 16, NEXT)] * 8)


def next_outside(world: QueueWorld) -> None:
    """A next descriptor that is so far behind the table that it is the neighbour's."""
    world.offer((DATA, 16, NEXT, (NEIGHBOUR - 3 * PAGE * world.number) // DESCRIPTOR.size))


def head_outside(world: QueueWorld) -> None:
    """A chain that begins behind the table, where the neighbour's memory is."""
    world.offer((DATA, 16, 0), head=(NEIGHBOUR - 3 * PAGE * world.number) // DESCRIPTOR.size)


def read_outside(world: QueueWorld) -> None:
    """Let the device fetch the neighbour's bytes: they go to the attacker's disk, or onto the wire."""
    world.send_from(NEIGHBOUR)


def write_outside(world: QueueWorld) -> None:
    """Let the device write into the neighbour's memory."""
    world.receive_into((NEIGHBOUR, 2048 if world.case.device == "net" else SECTOR, WRITE))


def over_the_end(world: QueueWorld) -> None:
    """A buffer that begins in the guest's last bytes and ends in the host's page."""
    world.send_from(RAM - 256)


def address_wraps(world: QueueWorld) -> None:
    """A buffer that begins at the end of all addresses: with its length it wraps to a small one."""
    world.send_from((1 << 64) - 256)


def read_only(world: QueueWorld) -> None:
    """Let the device write into a page that this guest may only read."""
    world.receive_into((READ_ONLY, 2048 if world.case.device == "net" else SECTOR, WRITE))


def length_overflows(world: QueueWorld) -> None:
    """Lengths whose sum, in 32 bits, is small: 2^32 bytes more than a sector, or than a short frame."""
    head, huge = world.header(b.OUT), 0xFFFF_FF00
    status = [(STATUS, 1, WRITE)] if world.case.device == "blk" else []
    pieces = [head, (RAM - PAGE, huge, NEXT), (DATA, (1 << 32) + SECTOR - huge, NEXT * bool(status)), *status]
    world.offer(*pieces)


def no_bytes(world: QueueWorld) -> None:
    """A place for the status that has no bytes, at the beginning of memory."""
    world.offer(world.header(b.FLUSH_REQUEST), (0, 0, WRITE))


def wrong_direction(world: QueueWorld) -> None:
    """A buffer for what the device writes, in a page that may only be read, and said to be for reading."""
    world.receive_into((READ_ONLY, 2048 if world.case.device == "net" else SECTOR, 0))


def wrong_order(world: QueueWorld) -> None:
    """Behind a buffer that the device writes one that it reads, where it will write again if it only counts."""
    if world.case.device == "blk":
        world.offer(world.header(b.IN), (DATA + PAGE // 2, SECTOR, WRITE | NEXT), (READ_ONLY, 1, 0))
    else:
        world.receive_into((DATA + PAGE // 2, 12, WRITE), (READ_ONLY, 2048, 0))


def table_in_table(world: QueueWorld) -> None:
    """An indirect table whose only descriptor is again a table: itself."""
    world.rows(TABLES, (TABLES, 16, INDIRECT))
    world.offer((TABLES, 16, INDIRECT))


def table_and_next(world: QueueWorld) -> None:
    """An indirect table that has a next descriptor: the same again; a packed ring is full of such."""
    world.rows(TABLES, (DATA, 16, 0))
    world.offer(*[(TABLES, 16, INDIRECT | NEXT, 0)] * (8 if world.case.ring == "packed" else 1))


def table_outside(world: QueueWorld) -> None:
    """An indirect table that is the neighbour's memory."""
    world.offer((NEIGHBOUR, 16, INDIRECT))


def table_too_long(world: QueueWorld) -> None:
    """A table with more pieces than a chain may have, all of one byte."""
    count = 1040
    world.rows(TABLES, *[(DATA, 1, NEXT * (i + 1 < count)) for i in range(count)])
    world.offer((TABLES, 16 * count, INDIRECT))


class _Flipping:
    """Memory that another vCPU of the guest writes `data` to as soon as the device has read the byte at `at`."""

    def __init__(self, memory: Memory, at: int, data: bytes) -> None:
        self.memory, self.at, self.data = memory, at, data

    def read(self, address: int, length: int) -> bytes:
        """See `Memory`."""
        found = self.memory.read(address, length)
        if address <= self.at < address + length:
            self.memory.write(self.at, self.data)
        return found

    def write(self, address: int, data: Buffer) -> None:
        """See `Memory`."""
        self.memory.write(address, data)


def changed_after_the_check(world: QueueWorld) -> None:
    """A good descriptor whose address is another one as soon as it was read: the neighbour's."""
    second = 3 * PAGE * world.number + DESCRIPTOR.size
    memory = world.device.memory
    world.device.memory = _Flipping(memory, second, NEIGHBOUR.to_bytes(8, "little"))
    world.send_from(DATA + PAGE // 2)
    world.device.memory = memory


ATTACKS = [
    QueueAttack("chain-loop", "A chain that goes round in a loop", "a chain is no longer than the queue", "2.7.5.2, 2.8.17", loop, _FOLLOWS,
                _BEHIND, naive.any_chain, REJECT, WEDGED, transports=("pci", "mmio")),
    QueueAttack("chain-next-outside", "A next descriptor behind the table", "next is below the queue's size", "2.7.5", next_outside, _FOLLOWS,
                "it is compared with the size", naive.any_chain, REJECT, FAIL, rings=("split",)),
    QueueAttack("chain-head-outside", "A first descriptor behind the table", "the available ring holds indices of the table", "2.7.6", head_outside,
                _FOLLOWS, "it is compared with the size", naive.any_chain, REJECT, FAIL, rings=("split",)),
    QueueAttack("buffer-read-outside", "Read a buffer that is the neighbour's", "a buffer is the guest's memory", "2.7.5, 2.8.4", read_outside,
                _FENCE, "the device reaches memory by the guest's page table", naive.by_pointer, REJECT, FAIL, transports=("pci", "mmio")),
    QueueAttack("buffer-write-outside", "Write a buffer that is the neighbour's", "a buffer is the guest's memory", "2.7.5, 2.8.4", write_outside,
                _FENCE, "the device reaches memory by the guest's page table", naive.by_pointer, REJECT, FAIL, transports=("pci", "mmio")),
    QueueAttack("buffer-over-the-end", "A buffer that ends behind the guest's memory", "a buffer is the guest's memory", "2.7.5, 2.8.4",
                over_the_end, _FENCE, "each page of it is translated", naive.by_pointer, REJECT, FAIL),
    QueueAttack("buffer-wraps", "A buffer at the end of all addresses", "a buffer is the guest's memory", "2.7.5, 2.8.4", address_wraps, _FENCE,
                "each page of it is translated", naive.by_pointer, REJECT, FAIL),
    QueueAttack("buffer-read-only", "Write where the guest itself may only read", "a device may do to memory what its guest may", "2.7.5.1, 2.8.3",
                read_only, _FENCE, "the page table has permissions", naive.by_pointer, REJECT, FAIL),
    QueueAttack("chain-length-overflows", "Lengths whose sum wraps", "a chain has no more than 2^32 bytes", "2.7.5.2, 2.8.4", length_overflows,
                {"": "virtio.queue.chain:Chain.check"}, "the sum is compared, and is as wide as it gets", naive.any_length, REJECT, FAIL),
    QueueAttack("buffer-no-bytes", "A place for the status without a byte", "the status has a byte", "5.2.6", no_bytes,
                {"": "virtio.queue.chain:Chain.add"}, "a descriptor of no bytes is refused", naive.last_byte_of, REJECT, FAIL, devices=("blk",)),
    QueueAttack("direction-wrong", "A buffer for the device's answer without WRITE", "a device writes no buffer that is for reading",
                "2.7.5.1, 2.8.3", wrong_direction, {"": "virtio.queue.chain:Chain.add"}, "the flag, not the place, says what it is for",
                naive.any_direction, REJECT, FAIL),
    QueueAttack("direction-order", "Readable behind writable", "what the device reads comes first", "2.7.4.2, 2.8.17", wrong_order,
                {"": "virtio.queue.chain:Chain.add"}, "such a chain breaks the queue", naive.any_direction, REJECT, FAIL),
    QueueAttack("table-in-table", "An indirect table inside an indirect table", "a table has no tables in it", "2.7.5.3.1, 2.8.19",
                table_in_table, _TABLE, "the flag is refused inside", naive.any_chain, REJECT, WEDGED),
    QueueAttack("table-and-next", "An indirect table that has a next descriptor", "INDIRECT and NEXT exclude each other", "2.7.5.3.1, 2.8.19",
                table_and_next, _TABLE, "both flags together are refused", naive.any_chain, REJECT, WEDGED),
    QueueAttack("table-outside", "An indirect table that is the neighbour's", "a table is the guest's memory", "2.7.5.3, 2.8.7", table_outside,
                {"": "virtio.queue.chain:table"}, "the device reaches memory by the guest's page table", naive.any_chain, REJECT, FAIL),
    QueueAttack("table-too-long", "An indirect table of 1,040 pieces", "a chain has no more pieces than the device takes", "2.7.5.3.1, 2.8.19",
                table_too_long, {"": "virtio.queue.chain:table"}, "the table's length is compared before it is read", naive.any_chain, REJECT, WEDGED),
    QueueAttack("chain-double-fetch", "An address that changes after it was checked", "what the guest may change is read once",
                "2.7.13, 2.8.21", changed_after_the_check, {"split": _FOLLOWS["split"], "packed": _FOLLOWS["packed"]},
                "all is decoded from a private copy", naive.fetched_again, PASS, FAIL),
]
