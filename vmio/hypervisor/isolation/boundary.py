"""A confidential guest's two addresses for each page: below a boundary what the processor decrypts, above it what it leaves as it is.

    isolate(guest, boundary=39)         CPUID tells the guest: bit 39 of a guest-physical address is the boundary (vTOM, virtual top of memory)
    cpu.read(0x14_0000, 64)             page 140h as the guest's own: plain text while it is private, a fault once it is shared
    cpu.read(1 << 39 | 0x14_0000, 64)   the same page as everybody sees it: its bytes once it is shared, ciphertext before, and no write

So the address says which of the two a guest means, and its host can't make it take a shared page for a private one.  An operating system
reaches rings and bounce buffers above the boundary.  In messages and hypercalls a page has its number without that bit.
Sources: AMD64 Architecture Programmer's Manual vol. 2, 15.36.8 (virtual top of memory) and 15.36.10 (RMP checks); Linux
arch/x86/hyperv/ivm.c and include/asm-generic/mshyperv.h (shared_gpa_boundary).
"""

from vmio.hypervisor.isolation.pages import PageByPage, PrivatePages
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import AddressSpace, TranslationFault


class BothSides(PageByPage):
    """The translation of a guest's own accesses, `pages` being the map of its pages and `boundary` an address, a power of two."""

    def __init__(self, pages: PrivatePages, boundary: int) -> None:
        self.pages, self.boundary = pages, boundary

    def translate(self, address: int, access: int) -> int:
        """Return the SPA behind `address`; `TranslationFault` for a shared page below the boundary, and a private one above it."""
        if address >= self.boundary:
            return self.pages.translate(address - self.boundary, access)
        if address // PAGE in self.pages.access and not self.pages.guest.overlaid(address):
            raise TranslationFault(address, access, True)
        return self.pages.guest.slat.translate(address, access)


class OwnMemory(AddressSpace):
    """A confidential guest's memory as the guest reaches it, on both sides of the boundary."""

    __slots__ = ("sides",)

    def __init__(self, sides: BothSides) -> None:
        super().__init__(sides.pages.guest.host.memory, sides)
        self.sides = sides

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`; above the boundary what the host would find, so ciphertext where the page is private."""
        if address >= self.sides.boundary:
            return self.sides.pages.seen.read(address - self.sides.boundary, length)
        return super().read(address, length)
