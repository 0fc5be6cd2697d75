"""Memory of the guest's that both halves share: the receive buffer and the send buffer, each cut into sections, and pages lent once.

The guest may write any of it at any time: what is read is a private copy.
"""

from collections import deque
from collections.abc import Sequence

from vmio.hypervisor.guest import Guest
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, TranslationFault
from vmio.machine.window import Window
from vmio.vmbus.bus.gpadl import Gpadl, GpadlRefused
from vmio.vmbus.bus.packets import GpaRange, RingCorrupt
from vmio.vmbus.bus.server import VmbusServer

SEND_SECTION = 6144        # bytes; the host chooses it (OpenVMM vm/devices/net/netvsp/src/lib.rs)
CONTROL_SECTIONS = 16      # of the receive buffer, the first ones: for what is no frame
MAX_SECTIONS = 0x4000


class SharedBuffer:
    """The pages of `gpadl` as sections of `section_bytes`; a section may cross pages."""

    def __init__(self, guest: Guest, gpadl: Gpadl, section_bytes: int) -> None:
        pages = gpadl.whole_pages or ()
        self.gpadl, self.section_bytes = gpadl, section_bytes
        self.window = Window(guest.seen, pages)
        self.sections = min(self.window.size // section_bytes, MAX_SECTIONS)

    def read(self, section: int, length: int) -> bytes:
        """Return a copy of the first `length` bytes of a section; `RingCorrupt` if there is no such section, or so much in it."""
        if not (section < self.sections and length <= self.section_bytes):
            raise RingCorrupt(f"{length} bytes of section {section}: there are {self.sections} of {self.section_bytes} bytes")
        return self.window.read(section * self.section_bytes, length)


class ReceiveBuffer(SharedBuffer):
    """The receive buffer: the host fills a free section, the guest gives it back."""

    def __init__(self, guest: Guest, gpadl: Gpadl, section_bytes: int) -> None:
        super().__init__(guest, gpadl, section_bytes)
        self.free_control = deque(range(min(CONTROL_SECTIONS, self.sections)))
        self.free = deque(range(len(self.free_control), self.sections))

    def put(self, message: bytes, control: bool = False) -> int | None:
        """Write a message of at most a section into a free one and return which; None if none is free."""
        free = self.free_control if control else self.free
        if not free:
            return None
        section = free.popleft()
        self.window.write(section * self.section_bytes, message)
        return section

    def give_back(self, section: int) -> None:
        """It may be filled again."""
        (self.free_control if section < CONTROL_SECTIONS else self.free).append(section)


def shared(server: VmbusServer, relid: int, handle: int) -> Gpadl | None:
    """Return the GPADL with this handle if it is the channel's own, complete, and whole pages that are the guest's now; else None."""
    gpadl = server.gpadls.by_handle.get(handle)
    if gpadl is None or gpadl.relid != relid or gpadl.whole_pages is None:
        return None
    try:
        server.gpadls.check(gpadl.whole_pages)     # the guest may have laid an overlay over one since
    except GpadlRefused:
        return None
    return gpadl


def lent(guest: Guest, ranges: Sequence[GpaRange], most: int) -> bytes | None:
    """Return a copy of what lies in pages that the guest lends for one request; None unless all are its own RAM, and at most `most` bytes."""
    if sum(each.byte_count for each in ranges) > most:
        return None
    translate, ram_spa, memory = guest.seen.table.translate, guest.backing.spa, guest.host.memory
    spans = []
    try:
        for count, offset, pages in ranges:
            for number in pages:
                spa, step = translate(number << 12, READ), min(PAGE - offset, count)
                if spa != ram_spa(number << 12):
                    return None          # a page of the hypervisor's lies over it
                spans.append((spa + offset, step))
                count, offset = count - step, 0
    except TranslationFault:
        return None
    return b"".join([memory.read(spa, step) for spa, step in spans])
