"""Attacks on what a guest leaves behind: in bounce buffers, on a disk, in a page that it shares, in memory, and in a device that it gives back."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from vmio.attacks.defence import without
from vmio.attacks.hostile_host.catalogue import HostAttack
from vmio.attacks.hostile_host.leftover_world import LeftoverWorld
from vmio.attacks.verdict import FAIL, PASS
from vmio.hardware.tdisp.interface import Interface
from vmio.hardware.tdisp.wire import State
from vmio.hypervisor.isolation.pages import PrivatePages
from vmio.machine.memory import PAGE, HostMemory

SWIOTLB, CRYPT = "Linux kernel/dma/swiotlb.c (swiotlb_release_slots)", "Linux drivers/md/dm-crypt.c (kcryptd)"
_ENCRYPTS = "the guest encrypts what it gives to its disk"
_KEY = "AMD64 Architecture Programmer's Manual vol. 2, 15.34"


def pool(world: LeftoverWorld) -> None:
    """No request is under way, and nobody has wiped the slots."""
    def look() -> None:
        slots = world.planned.platform.pool
        assert slots is not None and not slots.used
        world.loot += world.guest.seen.read(slots.at, slots.size)
    world.later = look


def disk(world: LeftoverWorld) -> None:
    """The disk stays with the host, and goes to whom it likes."""
    world.later = lambda: world.loot.extend(world.image.read(0, world.image.sectors))


def shared_page(world: LeftoverWorld) -> None:
    """Read a page in the very moment in which it becomes visible, before the guest can clear it."""
    def changed(page: int, access: int) -> None:
        if access:
            world.loot += world.guest.seen.read(page * PAGE, PAGE)
    assert world.guest.isolation is not None
    world.guest.isolation.changed = changed


def memory(world: LeftoverWorld) -> None:
    """End the guest, don't scrub its memory, and read what the next guest would find."""
    def look() -> None:
        runs, env = world.guest.backing.runs(), world.host.env
        world.guest.enlightened.reset()
        env.run(until=env.now + 50_000)     # its disk is done with its memory
        with without(HostMemory, "free", lambda self, spa, pages: self._give(spa, spa + pages * PAGE)):
            world.guest.destroy()
        for _, spa, length in runs:
            world.loot += world.host.memory.read(spa, length)
    world.later = look


def device(world: LeftoverWorld) -> None:
    """Whose device it is now can have all of its buffer by DMA."""
    world.later = lambda: world.loot.extend(world.edu.function.device.buffer)


@contextmanager
def in_clear(world: LeftoverWorld) -> Iterator[None]:
    """The guest's disk is not encrypted."""
    world.encrypts = False
    yield


def _stopped(interface: Interface) -> None:
    interface.state = State.CONFIG_UNLOCKED


_attack = partial(HostAttack, on_verdict=PASS, off_verdict=FAIL, world=LeftoverWorld)
ATTACKS = [
    _attack("leftover-pool", "Look at bounce buffers that are free again", "what went through a shared page stays there until it is overwritten", SWIOTLB,
            "disk", pool, "drivers.crypt:CryptDisk.submit", _ENCRYPTS, in_clear),
    _attack("leftover-disk", "Keep the disk of a guest that is gone", "who has the disk has its bytes", CRYPT, "disk", disk,
            "drivers.crypt:CryptDisk.submit", _ENCRYPTS, in_clear),
    _attack("leftover-page", "Read a page as soon as it is shared", "a page that changes hands brings nothing along", _KEY, "memory", shared_page,
            "hypervisor.isolation.pages:PrivatePages._change_hands", "in the chips it was ciphertext before",
            lambda world: without(PrivatePages, "_change_hands", lambda self, spa, one: None)),
    _attack("leftover-memory", "Read the memory of a guest that is gone, not scrubbed", "a guest's key ends with it", _KEY, "memory", memory,
            "hypervisor.isolation.pages:PrivatePages.forget", "without the key it is noise", lambda world: without(PrivatePages, "forget", lambda self: None)),
    _attack("leftover-device", "Read the buffer of a device that the guest gave back", "STOP clears what was the guest's",
            "PCI-SIG, TDISP (STOP_INTERFACE_REQUEST)", "own device", device, "hardware.tdisp.interface:Interface._stop", "the device clears itself",
            lambda world: without(Interface, "_stop", _stopped)),
]
