"""A guest that encrypts its own disk: what Linux's dm-crypt is, between the guest's block layer and any `DiskDriver`.

    disk = CryptDisk(cpu, disk, xts(key), buffers, size, rate)
    disk.submit("write", lba, sectors, gpa, tag)       the ciphertext goes out of a buffer; what is at gpa stays as it is
    disk.submit("read", lba, sectors, gpa, tag)        the ciphertext comes to gpa, and is decrypted there before `reap` tells

So the other side, whoever that is, never has the plain text in its hands.  It is still in the guest's RAM.
Source: Linux drivers/md/dm-crypt.c (crypt_convert, kcryptd).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vmio.drivers.contracts import DiskDriver, Reaped
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Buffer, Tag
from vmio.machine.media.encrypted import Cipher

SECTOR = 512


class Asked(NamedTuple):
    """A request of the owner's; `buffer` is where its ciphertext is, if it writes."""

    op: str
    lba: int
    sectors: int
    gpa: int
    tag: Tag
    buffer: int


class CryptDisk:
    """A `DiskDriver` over another: `buffers` are guest-physical addresses of `size` bytes each, the cipher takes a second for `rate` bytes.

    A request that is larger than a buffer is a ValueError; one for which none is free waits, and all behind it.
    """

    def __init__(self, cpu: Cpu, disk: DiskDriver, cipher: Cipher, buffers: Sequence[int], size: int, rate: int) -> None:
        self.cpu, self.disk, self.cipher, self.size, self.rate = cpu, disk, cipher, size, rate
        self.crypt_ns = 0           # the guest's time for it so far
        self.polled = disk.polled   # whether nobody interrupts
        self._free = list(buffers)
        self._waiting: list[Asked] = []

    @property
    def discards(self) -> bool:
        """Never: holes in a disk of noise would tell which sectors are in use (dm-crypt's default, too)."""
        return False

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag) -> None:
        """Accept a "read", "write" or "flush"; data is at `gpa`, contiguous.  ValueError for another, or one that no buffer can take."""
        if op not in ("read", "write", "flush"):
            raise ValueError(f"{op}: an encrypted disk takes read, write and flush")
        if op == "write" and sectors * SECTOR > self.size:
            raise ValueError(f"write of {sectors} sectors: the buffers of the encryption hold {self.size // SECTOR}")
        self._waiting.append(Asked(op, lba, sectors, gpa, tag, 0))
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            asked = self._waiting[0]
            if asked.op == "write":
                if not self._free:
                    return
                asked = asked._replace(buffer=self._free.pop())
                plain = self.cpu.read(asked.gpa, asked.sectors * SECTOR)
                self.cpu.write(asked.buffer, self._convert(asked, plain, self.cipher.encrypt))
            del self._waiting[0]
            self.disk.submit(asked.op, asked.lba, asked.sectors, asked.buffer or asked.gpa, asked)

    def flush_ring(self) -> None:
        """Let the other side see what was submitted."""
        self.disk.flush_ring()

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Wait until there is something to reap, or until the time is `until` (ns)."""
        yield from self.disk.wait(until)

    def reap(self) -> list[Reaped]:
        """Return what has completed since the last call; what was read is plain text by then, unless the disk had an error."""
        over: list[Reaped] = []
        for asked, error in self.disk.reap():
            if asked.buffer:
                self._free.append(asked.buffer)
            elif asked.op == "read" and error is None:
                found = self.cpu.read(asked.gpa, asked.sectors * SECTOR)
                self.cpu.write(asked.gpa, self._convert(asked, found, self.cipher.decrypt))
            over.append((asked.tag, error))
        self._pass_on()
        return over

    def _convert(self, asked: Asked, data: Buffer, one: Callable[[int, Buffer], bytes]) -> bytes:
        """Each sector by its number, in the guest's own time."""
        ns = len(data) * 1_000_000_000 // self.rate
        self.cpu.compute(ns)
        self.crypt_ns += ns
        return b"".join(one(asked.lba + n, data[n * SECTOR:(n + 1) * SECTOR]) for n in range(asked.sectors))
