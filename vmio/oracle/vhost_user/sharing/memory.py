"""A guest's memory as its front end shares it: up to eight regions, each part of a file.

Every region has three addresses (vhost-user.rst, "Memory regions description"): where the guest sees it, where the front end's own
process sees it, and where it begins in its file.  Descriptors hold the guest's addresses; where a ring lies is said in the front
end's, and translated once.  What is written can be noted, a bit for each page of 4 KiB, for a front end that moves its guest meanwhile.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vmio.machine.contracts import Buffer, Record
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.oracle.vhost_user.sharing.file import SharedFile
from vmio.oracle.vhost_user.wire import LOG_PAGE, MAX_REGIONS

ADDRESSES = 1 << 64


@dataclass(frozen=True)
class Region:
    """`file.size` bytes of memory: the guest's address of the first, the front end's own, and where they are."""

    guest: int
    user: int
    file: SharedFile

    @property
    def end(self) -> int:
        """The guest's address behind the last byte."""
        return self.guest + self.file.size

    @classmethod
    def shared(cls, said: Record, fd: int) -> "Region":
        """Return the region that a message describes; `fd` is this region's from now on.  ValueError for one that can't be."""
        what = f"memory region at {said.guest:#x}"
        file = SharedFile(fd, said.offset, said.size, what)
        if max(said.guest, said.user) + said.size > ADDRESSES:
            file.close()
            raise ValueError(f"{what}: {said.size:#x} bytes lead beyond the last address of 64 bits")
        return cls(said.guest, said.user, file)


class GuestMemory:
    """The regions of one guest; `Memory` as devices see it, by guest addresses."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.written: Callable[[int, int], None] | None = None      # (address, length) of each write, while a log is kept

    def replace(self, regions: Iterable[Region]) -> None:
        """Have these regions in place of all that were there.  ValueError, with nothing changed, if some overlap or they are too many."""
        new = sorted(regions, key=lambda region: region.guest)
        try:
            _check(new)
        except ValueError:
            for region in new:
                if region not in self.regions:
                    region.file.close()
            raise
        old, self.regions = self.regions, new
        for region in old:
            if region not in new:
                region.file.close()

    def add(self, region: Region) -> None:
        """Have one more region.  ValueError if it overlaps another or is too many."""
        self.replace([*self.regions, region])

    def remove(self, guest: int, user: int, size: int) -> None:
        """Let go of one region.  ValueError if there is none with these addresses and this size."""
        kept = [region for region in self.regions if (region.guest, region.user, region.file.size) != (guest, user, size)]
        if len(kept) == len(self.regions):
            raise ValueError(f"there is no memory region of {size:#x} bytes at {guest:#x}, front-end address {user:#x}; nothing is removed")
        self.replace(kept)

    def close(self) -> None:
        """Let go of all regions."""
        self.replace(())

    def guest_address(self, user: int, length: int) -> int:
        """Return the guest's address of `length` bytes that the front end has at `user`.  ValueError if they are not in one region."""
        for region in self.regions:
            if region.user <= user and user + length <= region.user + region.file.size:
                return region.guest + user - region.user
        raise ValueError(f"{length:#x} bytes at front-end address {user:#x} are in no memory region")

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from the guest's `address`.  TranslationFault for what is in no region, or not there any more."""
        parts = self._parts(address, length, READ)
        try:
            if len(parts) == 1:
                file, at, size = parts[0]
                return file.read(at, size)
            return b"".join(file.read(at, size) for file, at, size in parts)
        except EOFError:
            raise TranslationFault(address, READ, False) from None

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` at the guest's `address`, and note it.  TranslationFault for what is in no region, or not there any more."""
        self.store(address, data)
        if self.written is not None:
            self.written(address, len(data))

    def store(self, address: int, data: Buffer) -> None:
        """Store `data` as `write` does, and note nothing."""
        parts, done = self._parts(address, len(data), WRITE), 0
        try:
            for file, at, size in parts:
                file.write(at, data[done:done + size] if len(parts) > 1 else data)
                done += size
        except EOFError:
            raise TranslationFault(address, WRITE, False) from None

    def _parts(self, address: int, length: int, access: int) -> list[tuple[SharedFile, int, int]]:
        """(file, place there, bytes) of a range, which may go on from one region into the next."""
        parts, at = [], address
        for region in self.regions:
            if region.guest <= at < region.end:
                size = min(region.end, address + length) - at
                parts.append((region.file, at - region.guest, size))
                at += size
                if at == address + length:
                    return parts
        if not length:
            return []
        raise TranslationFault(at, access, False)


def _check(regions: list[Region]) -> None:
    """ValueError if regions, by their guest addresses, are too many or overlap."""
    if len(regions) > MAX_REGIONS:
        raise ValueError(f"{len(regions)} memory regions; there may be {MAX_REGIONS}")
    for one, other in zip(regions, regions[1:]):
        if other.guest < one.end:
            raise ValueError(f"memory regions overlap: one ends at {one.end:#x}, the next begins at {other.guest:#x}")


class DirtyLog:
    """A bit for each page of 4 KiB, set when it is written: page n is bit n mod 8 of byte n / 8."""

    def __init__(self, file: SharedFile) -> None:
        self.file = file

    def note(self, address: int, length: int) -> None:
        """Set the bits of `length` bytes at the guest's `address`; what the log has no bit for is not noted.

        The front end takes bits away meanwhile, whole bytes at a time.  It may get one that it has just taken a second time, and sends
        a page in vain; it never misses one, for nobody else takes any.
        """
        if not length:
            return
        for page in range(address // LOG_PAGE, (address + length - 1) // LOG_PAGE + 1):
            at, bit = divmod(page, 8)
            if at >= self.file.size:
                return
            try:
                self.file.write(at, bytes([self.file.read(at, 1)[0] | 1 << bit]))
            except EOFError:
                return

    def close(self) -> None:
        """Let go of it."""
        self.file.close()
