"""The disk that a back end serves: `Blk` on a medium that takes no time, with what it has moved counted, and what the host can't do said."""

from collections.abc import Callable

from vmio.machine.media.medium import Medium
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.oracle.vhost_user.sharing.memory import GuestMemory
from vmio.virtio.blk import Blk, MediumStore
from vmio.virtio.blk_wire import BLK_SIZE, DISCARD, FLUSH, RO, SEG_MAX, WRITE_ZEROES
from vmio.virtio.queue import Chain

ENTRIES = 128                   # of a ring: what QEMU gives a disk, and what the longest request is made for


class CountingStore(MediumStore):
    """Counts the bytes of a medium that were read and written, and its flushes."""

    read_bytes = written_bytes = flushes = 0

    def begin(self, op: str, lba: int, sectors: int, chain: Chain, done: Callable[[bool], None]) -> None:
        """See `Store`."""
        def counted(good: bool) -> None:
            if good:
                self.read_bytes += SECTOR * sectors * (op == "read")
                self.written_bytes += SECTOR * sectors * (op == "write")
                self.flushes += op == "flush"
            done(good)
        super().begin(op, lba, sectors, chain, counted)


class Disk(Blk):
    """`medium` behind `queues` rings; `say` is told in a sentence what the host can't read or write."""

    store: CountingStore

    def __init__(self, medium: Medium, queues: int = 1, readonly: bool = False, say: Callable[[str], object] = print) -> None:
        store = CountingStore(medium)

        def refused(op: str, lba: int, error: Exception) -> None:
            say(f"{op} at sector {lba}: {error}")
        watch(store, "refused", refused)
        super().__init__(GuestMemory(), store, (ENTRIES,) * queues, medium.serial or "vmio",
                         SEG_MAX | BLK_SIZE | FLUSH | (RO if readonly else DISCARD | WRITE_ZEROES))
