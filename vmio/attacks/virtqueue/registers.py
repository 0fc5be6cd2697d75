"""Attacks by a transport's registers: queues that move, grow, or are not there; kicks too early; the configuration's end."""

from vmio.attacks.verdict import FAIL, PASS, REJECT, WEDGED
from vmio.attacks.virtqueue import naive_devices as naive
from vmio.attacks.virtqueue.catalogue import TRANSPORTS, QueueAttack
from vmio.attacks.virtqueue.parts import DATA, NEIGHBOUR, STATUS, TABLES
from vmio.attacks.virtqueue.world import QueueWorld
from vmio.devices.pci.wire import MSIX_ENABLE
from vmio.virtio import blk_wire as b
from vmio.virtio.pci import MSIX_AT
from vmio.virtio.pci_wire import NO_VECTOR
from vmio.virtio.queue.wire import INDIRECT, WRITE

NOT_THERE, LARGE, MANY, ODD = 77, 64, 40, 6          # a queue; entries of one, and chains in it; entries
_WRITES = {"pci": "virtio.pci_common:CommonConfig.write", "mmio": "virtio.mmio:VirtioMmio.write"}


def moved(world: QueueWorld) -> None:
    """While the device is at work, its answers are to go to the neighbour's memory."""
    world.door.put("select", world.number)
    world.door.put("device", NEIGHBOUR)
    if world.device.setups[world.number].device != NEIGHBOUR:
        world.told("the address stays as it was")
    world.send_from(DATA + 0x800)


def larger(world: QueueWorld) -> None:
    """A queue of 64 entries, where the device offers 8: as many chains would be in flight."""
    world.up(size=LARGE)
    world.door.put("select", world.number)
    if world.door.get("size") != LARGE:
        world.told(f"the queue's size stays {world.door.get('size')}")
    world.pending = []
    world.rows(TABLES, world.header(b.FLUSH_REQUEST), (STATUS, 1, WRITE))
    world.offer(*[(TABLES, 32, INDIRECT)] * MANY, index=1 if world.case.ring == "packed" else MANY)


def odd_size(world: QueueWorld) -> None:
    """A split queue of six entries."""
    world.up(size=ODD)


def not_there(world: QueueWorld) -> None:
    """Set up and enable queue 77, and kick it."""
    world.door.put("select", NOT_THERE)
    for what, value in (("size", 8), ("device", NEIGHBOUR), ("enable", 1)):
        world.door.put(what, value)
    world.door.kick(NOT_THERE)


def too_early(world: QueueWorld) -> None:
    """Reset the device, and kick it before it was told that a driver is there."""
    world.door.put("status", 0)
    world.send_from(DATA + 0x800)


def config_end(world: QueueWorld) -> None:
    """Read on behind the device's configuration, four bytes at a time."""
    for offset in range(0, 512, 4):
        world.loot += world.door.config(offset, 4).to_bytes(4, "little")
    if set(world.loot[len(world.device.config()) + 3:]) == {0xFF}:
        world.told("all ones, as where nobody answers")


def vector(world: QueueWorld) -> None:
    """Give the queue vector 500 of a table of a few, and let it interrupt."""
    function = world.door.function
    assert function is not None
    function.write(MSIX_AT + 2, 2, MSIX_ENABLE)
    world.door.put("select", world.number)
    world.door.put("vector", 500)
    if world.door.get("vector") == NO_VECTOR:
        world.told("vector refused")
    world.send_from(DATA + 0x800)


ATTACKS = [
    QueueAttack("queue-moved", "A ring that moves under way", "a queue that is enabled stays where it is", "4.1.4.3.2, 4.2.2.2", moved, _WRITES,
                "the registers of an enabled queue are read-only", naive.moves, REJECT, FAIL, transports=TRANSPORTS),
    QueueAttack("queue-larger", "A queue that is larger than offered", "a queue has at most the entries that were offered", "4.1.4.3.2", larger, _WRITES,
                "the size is compared with what was offered", naive.any_size, REJECT, WEDGED, devices=("blk",)),
    QueueAttack("queue-odd-size", "A split queue of six entries", "a split queue's size is a power of two", "2.7", odd_size,
                {"": "virtio.device:VirtioDevice._start"}, "a queue that can't be made breaks its device", naive.queue_is_made, REJECT, WEDGED,
                rings=("split",), transports=TRANSPORTS),
    QueueAttack("queue-not-there", "Enable and kick a queue that is not there", "a queue of size 0 is none", "4.1.4.3.1, 4.2.2.2", not_there,
                {"": "virtio.device:VirtioDevice.enable"}, "its number is compared with how many there are", naive.queue_is_there, PASS, WEDGED,
                transports=TRANSPORTS),
    QueueAttack("kick-too-early", "Kick before the driver is ready", "before DRIVER_OK a device takes nothing", "2.1.2", too_early,
                {"": "virtio.device:VirtioDevice.kick"}, "a queue that does not run has nobody who hears", naive.queue_is_there, PASS, WEDGED,
                transports=TRANSPORTS),
    QueueAttack("config-end", "Read behind the configuration", "a driver reads fields that are there", "2.5", config_end,
                {"": "virtio.device:VirtioDevice.read_config"}, "what does not lie in it whole reads as ones", naive.config_is_a_structure, REJECT, FAIL,
                transports=TRANSPORTS),
    QueueAttack("vector-beyond", "An interrupt vector that is not there", "a vector that can't be had reads back as none", "4.1.5.1.2.1", vector,
                {"": "virtio.pci_common:CommonConfig._set_vector"}, "it is compared with the table's size", naive.any_vector, REJECT, WEDGED),
]
