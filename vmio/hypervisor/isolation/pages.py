"""A confidential guest's RAM, page by page: private to the guest at first, visible to the host where the guest has said so.

    pages = PrivatePages(guest)
    pages.change(0x140, READ | WRITE)          the guest lets the host have page 140h
    pages.seen.read(0x14_0000, 64)             what the host's software and devices find there: these bytes
    pages.seen.read(0x15_0000, 64)             ... and in a private page: ciphertext
    pages.seen.write(0x15_0000, b"...")        TranslationFault, and `refused` grows

Modelled is AMD's SEV-SNP: the memory controller encrypts a private page with a key that only the processor has, and a table of
owners (the RMP) makes it refuse whoever else writes there.  (The older SEV without SNP would let the write through, and the guest
would read noise.)  A page that changes hands keeps its bytes as they lie in the memory chips, so its old content is noise for its
new owner, and nobody learns anything; a page of zeros stays one, which saves time and tells no secret.

AMD's controller adds a value that depends on the address to each 16 bytes; here it is AES-XTS with the page's number in the host's
memory, as near as a published standard comes.  What is left out is said in docs/differences.md, "Confidential guests".
Sources: AMD64 Architecture Programmer's Manual vol. 2 (24593), 15.34 (SEV) and 15.36 (SEV-SNP: 15.36.3, the RMP; 15.36.10, RMP checks).
"""

from collections.abc import Callable
from hashlib import sha512

from vmio.hypervisor.contracts import Partition
from vmio.machine.contracts import Buffer
from vmio.machine.media.encrypted import xts
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, AddressSpace, TranslationFault

NOTHING = bytes(PAGE)
ACCESS = {0: 0, 1: READ, 3: READ | WRITE}          # what the host may do, by the visibility that a guest asks for
NAMES = {0: "private", READ: "read-only", READ | WRITE: "shared"}


class PageByPage:
    """A translation that decides page by page."""

    def translate(self, address: int, access: int) -> int:
        """Return the SPA behind `address`; `TranslationFault` for what may not be reached so."""
        raise NotImplementedError

    def spans(self, address: int, length: int, access: int) -> list[tuple[int, int]]:
        """Return [(SPA, bytes), ...] covering the range, page by page; faults at the first page that may not be reached so."""
        spans, end = [], address + length
        while address < end:
            step = min(PAGE - address % PAGE, end - address)
            spans.append((self.translate(address, access), step))
            address += step
        return spans


class PrivatePages(PageByPage):
    """Who may do what with each page of `guest`'s RAM.  `private_reads` and `refused` count the host's reads and writes of private pages."""

    POINTS = {"changed": "(page number, access) when the guest has changed what the host may do with a page: 0, READ, or READ | WRITE"}
    changed: Callable[[int, int], None] | None = None
    boundary: int | None = None         # the number of an address bit, see `boundary.py`

    def __init__(self, guest: Partition) -> None:
        self.guest = guest
        self.access: dict[int, int] = {}       # page number -> READ, or READ | WRITE; what is not there is private
        self.private_reads = self.refused = 0
        self._cipher = xts(sha512(f"memory of {guest.name}".encode()).digest())    # of the processor's, made anew with each guest
        self.seen = SeenMemory(self)

    def may(self, page: int, access: int) -> bool:
        """Return whether the host may do `access` with a page; one of the hypervisor's own over it is not the guest's to hide."""
        return self.access.get(page, 0) & access == access or self.guest.overlaid(page * PAGE)

    def change(self, page: int, access: int) -> None:
        """Let the host do `access` (0, READ, or READ | WRITE) with a page from now on.  ValueError where no RAM is."""
        before, spa = self.access.get(page, 0), self.guest.ram_spa(page * PAGE)
        if access:
            self.access[page] = access
        else:
            self.access.pop(page, None)
        if bool(before) != bool(access):
            self._change_hands(spa, self._cipher.encrypt if access else self._cipher.decrypt)
        if self.changed is not None and before != access:
            self.changed(page, access)

    def forget(self) -> None:
        """The guest is gone, and its key with it: where it had private pages, noise is left in the memory chips, scrubbed or not."""
        for gpa, spa, length in self.guest.backing.runs():
            for at in range(0, length, PAGE):
                if not self.access.get((gpa + at) // PAGE):
                    self._change_hands(spa + at, self._cipher.encrypt)

    def _change_hands(self, spa: int, one: Callable[[int, Buffer], bytes]) -> None:
        memory = self.guest.host.memory
        held = memory.read(spa, PAGE)
        if held != NOTHING:
            memory.write(spa, one(spa // PAGE, held))

    def ciphertext(self, page: int) -> bytes:
        """Return what lies in the memory chips where the guest has a private page."""
        spa = self.guest.ram_spa(page * PAGE)
        return self._cipher.encrypt(spa // PAGE, self.guest.host.memory.read(spa, PAGE))

    def translate(self, address: int, access: int) -> int:
        """Return the SPA behind `address` for the host's software or a device; `TranslationFault` for what they may not."""
        if not self.may(address // PAGE, access):
            if access & WRITE:
                self.refused += 1
            raise TranslationFault(address, access, True)
        return self.guest.slat.translate(address, access)


class SeenMemory(AddressSpace):
    """A confidential guest's memory as all others see it, the host's software and its devices: `pages` says what they may."""

    __slots__ = ("pages",)

    def __init__(self, pages: PrivatePages) -> None:
        super().__init__(pages.guest.host.memory, pages)
        self.pages = pages

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`, ciphertext where the page is private; `TranslationFault` where no RAM is."""
        parts, end, pages = [], address + length, self.pages
        while address < end:
            step, page = min(PAGE - address % PAGE, end - address), address // PAGE
            if pages.may(page, READ):
                parts.append(super().read(address, step))
            elif pages.guest.backing.spa(address) is None:
                raise TranslationFault(address, READ, False)
            else:
                pages.private_reads += 1
                parts.append(pages.ciphertext(page)[address % PAGE:address % PAGE + step])
            address += step
        return b"".join(parts)
