"""How a guest becomes a confidential one, and the hypercall by which it lets its host see pages.

    isolate(guest)                     before it is enlightened; what the host and devices see is `guest.seen` and `guest.dma` from now on

HvCallModifySparseGpaPageHostVisibility (DBh) is a *rep* hypercall: one call does the same for each page number of a list, and its
result says for how many of them it was done.  The input of this and other hypercalls may lie in a private page: what runs inside the
guest's own protection, a paravisor (Linux's hv_ghcb_hypercall: the GHCB page), copies out the bytes of the call, and no others.
Sources: Linux arch/x86/hyperv/ivm.c (hv_mark_gpa_visibility), include/hyperv/hvgdk_mini.h (hv_gpa_range_for_visibility);
TLFS, "Hypercall Interface" (rep hypercalls) and "Feature and Interface Discovery" (CPUID 4000000Ch).
"""

from vmio.hypervisor.contracts import GuestCpu, Partition
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.isolation.boundary import BothSides, OwnMemory
from vmio.hypervisor.isolation.pages import ACCESS, PrivatePages
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, TranslationFault


def isolate(guest: Guest, boundary: int | None = None) -> PrivatePages:
    """Make all RAM of `guest` private, and give it the hypercall; returns the map of its pages, which is also `guest.isolation`.

    `boundary` is the number of the address bit above which it reaches what it shares (see `boundary.py`); None: it needs none.
    ValueError for a bit that no address has, or below which its RAM has no room, for a guest that is confidential already, or that
    knows its hypervisor: that one was told what it is.
    """
    if boundary is not None and not (12 <= boundary <= 51 and guest.ram <= 1 << boundary):
        raise ValueError(f"guest {guest.name}: boundary at bit {boundary}; 12 to 51, and above all of its {guest.ram:,} bytes of RAM")
    if guest.isolation is not None or guest.enlightened is not None:
        raise ValueError(f"guest {guest.name}: only a guest that has not begun yet can be made confidential, once")
    pages = guest.isolation = PrivatePages(guest)
    guest.seen = guest.dma = pages.seen
    if boundary is not None:
        pages.boundary = boundary
        guest.memory = OwnMemory(BothSides(pages, 1 << boundary))
        guest.pin_ram()                 # each vCPU reaches it like this; a confidential guest's pages are all there from the start
    guest.releases.append(lambda: pages.forget())
    guest.hypercalls[tlfs.MODIFY_VISIBILITY] = _modify_visibility
    return pages


def _modify_visibility(guest: Partition, cpu: GuestCpu, control: int, gpa: int, _output: int) -> int:
    """Return status and how many pages were done: all before the first that can't be."""
    count, start = control >> tlfs.REP_COUNT & 0xFFF, control >> tlfs.REP_START & 0xFFF
    if control & (tlfs.RESERVED_CONTROL | tlfs.SIZES_CONTROL & ~tlfs.REPS_CONTROL | tlfs.FAST) or not start < count:
        return tlfs.INVALID_INPUT
    size = tlfs.VISIBILITY_INPUT.size + 8 * count
    if gpa % 8 or gpa % PAGE + size > PAGE:
        return tlfs.INVALID_ALIGNMENT
    try:
        asked = tlfs.VISIBILITY_INPUT.parse(guest.memory.read(gpa, size))
    except TranslationFault:
        return tlfs.INVALID_ALIGNMENT
    access = ACCESS.get(asked.visibility)
    if asked.partition != tlfs.PARTITION_SELF or asked.reserved or access is None:
        return tlfs.INVALID_PARAMETER
    lent = set() if access == READ | WRITE else guest.lent_pages()
    for done, page in enumerate(asked.pages[start:count], start):
        status = _status(guest, page, lent)
        if status:
            return status | done << tlfs.REP_COUNT
        guest.isolation.change(page, access)  # type: ignore[union-attr]  # who isn't confidential hasn't this hypercall
    return tlfs.SUCCESS | count << tlfs.REP_COUNT


def _status(guest: Partition, page: int, lent: set[int]) -> int:
    """Can this page change hands?  Not one of the hypervisor's, nor one that the host uses: a GPADL is torn down first."""
    if guest.backing.spa(page * PAGE) is None or guest.overlaid(page * PAGE):
        return tlfs.INVALID_PARAMETER
    return tlfs.OPERATION_DENIED if page in lent else tlfs.SUCCESS
