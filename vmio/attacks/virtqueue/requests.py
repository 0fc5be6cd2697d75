"""Attacks by what a request says: a disk's sectors, a card's frames and commands."""

from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.virtqueue import naive_devices as naive
from vmio.attacks.virtqueue.catalogue import QueueAttack
from vmio.attacks.virtqueue.parts import DATA, RAM, SECTORS, STATUS, UNTOUCHED
from vmio.attacks.virtqueue.world import QueueWorld
from vmio.machine.storage import SECTOR
from vmio.virtio import blk_wire as b
from vmio.virtio import net_wire as n
from vmio.virtio.net import CONTROL
from vmio.virtio.queue.wire import NEXT, WRITE

_BLK, _NET = ("blk",), ("net",)
BUFFER = 0x1_1000         # pages behind the one that may only be read


def read_past_the_end(world: QueueWorld) -> None:
    """Read the sector behind the disk's last: the neighbour's first."""
    world.offer(world.header(b.IN, SECTORS), (BUFFER, SECTOR, WRITE | NEXT), (STATUS, 1, WRITE))


def write_past_the_end(world: QueueWorld) -> None:
    """Write two sectors, the disk's last and the neighbour's first."""
    world.offer(world.header(b.OUT, SECTORS - 1), (BUFFER, 2 * SECTOR, NEXT), (STATUS, 1, WRITE))


def sector_wraps(world: QueueWorld) -> None:
    """Read eight sectors from the eighth before 2^64 on: in 64 bits they end at 0."""
    world.offer(world.header(b.IN, (1 << 64) - 8), (BUFFER, 8 * SECTOR, WRITE | NEXT), (STATUS, 1, WRITE))


def range_past_the_end(world: QueueWorld) -> None:
    """Let sectors be thrown away that begin on the disk and end on the neighbour's."""
    head = world.header(b.DISCARD_REQUEST)
    world.memory.write(DATA + 16, b.RANGE.pack(sector=SECTORS - 4, sectors=8))
    world.offer(head, (DATA + 16, b.RANGE.size, NEXT), (STATUS, 1, WRITE))


def short_header(world: QueueWorld) -> None:
    """A frame of four bytes, where a header has twelve, in the guest's last ones."""
    world.offer((RAM - 4, 4, 0))


def long_frame(world: QueueWorld) -> None:
    """A frame of 60,000 bytes."""
    world.offer(world.header(), (BUFFER, 60_000, 0))


def short_buffer(world: QueueWorld) -> None:
    """Lend the guest's last 16 bytes for a frame of 1,512."""
    world.receive_into((RAM - 16, 16, WRITE))


def _command(world: QueueWorld, data: bytes) -> None:
    """One of the card's commands, with a place for its answer."""
    world.memory.write(BUFFER, data)
    world.memory.write(STATUS, bytes([UNTOUCHED]))
    world.offer((BUFFER, len(data), NEXT), (STATUS, 1, WRITE), number=CONTROL)


def table_count(world: QueueWorld) -> None:
    """A table of 4,294,967,295 addresses in ten bytes."""
    _command(world, n.COMMAND.pack(kind=n.ADDRESSES, command=n.TABLE_SET) + b"\xff" * 10)


def vlan_beyond(world: QueueWorld) -> None:
    """VLAN 65,535 of 4,096."""
    _command(world, n.COMMAND.pack(kind=n.VLAN, command=n.VLAN_ADD) + b"\xff\xff")


_SECTORS = {"": "virtio.blk:Blk._begin"}
ATTACKS = [
    QueueAttack("disk-read-past-the-end", "Read behind the disk's last sector", "a request lies on the disk", "5.2.6", read_past_the_end, _SECTORS,
                "first sector and number are compared with the disk's size", naive.any_sector, REJECT, FAIL, devices=_BLK),
    QueueAttack("disk-write-past-the-end", "Write behind the disk's last sector", "a request lies on the disk", "5.2.6", write_past_the_end, _SECTORS,
                "first sector and number are compared with the disk's size", naive.any_sector, REJECT, FAIL, devices=_BLK),
    QueueAttack("disk-sector-wraps", "A first sector that wraps", "a request lies on the disk", "5.2.6", sector_wraps, _SECTORS,
                "the sum is as wide as it gets", naive.any_sector, REJECT, FAIL, devices=_BLK),
    QueueAttack("disk-discard-past-the-end", "Discard behind the disk's last sector", "a range lies on the disk", "5.2.6.2", range_past_the_end,
                {"": "virtio.blk:Blk._answer_range"}, "first sector and number are compared with the disk's size", naive.any_sector, REJECT, FAIL,
                devices=_BLK),
    QueueAttack("card-short-header", "A frame that is shorter than its header", "a frame has a header of 12 bytes", "5.1.6.2", short_header,
                {"": "virtio.net:Net._transmit"}, "the chain's length is compared with the header's", naive.header_is_there, REJECT, FAIL,
                devices=_NET),
    QueueAttack("card-long-frame", "A frame of 60,000 bytes", "a frame is no longer than the wire takes", "5.1.6.2", long_frame,
                {"": "virtio.net:Net._send"}, "its length is compared, and it is dropped", naive.any_frame, REJECT, WEDGED, devices=_NET),
    QueueAttack("card-short-buffer", "A buffer that is shorter than the frame that comes", "a frame is no longer than its buffer", "5.1.6.3",
                short_buffer, {"": "virtio.net:Net._chains"}, "what is lent is compared with the frame", naive.large_enough, REJECT, FAIL, devices=_NET),
    QueueAttack("card-table-count", "A table of addresses that are not there", "a table has as many as it says", "5.1.6.5.2", table_count,
                {"": "virtio.net_filter:Filter._set_table"}, "the number is compared with the bytes", naive.any_count, REJECT, WEDGED, devices=_NET),
    QueueAttack("card-vlan-beyond", "A VLAN that does not exist", "a VLAN has 12 bits", "5.1.6.5.3", vlan_beyond,
                {"": "virtio.net_filter:Filter.command"}, "it is compared with 4,096", naive.any_vlan, REJECT, FAIL, devices=_NET),
]
