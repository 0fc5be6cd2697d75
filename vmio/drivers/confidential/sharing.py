"""A confidential guest's own say over its pages: which of them the host may see.

    sharing = Sharing(cpu, pages.take())
    sharing.share(range(0x140, 0x150))          they are zeroed *afterwards*: what was in them is noise by now
    sharing.keep(range(0x140, 0x150))           private again, and zeroed again

Linux: arch/x86/hyperv/ivm.c (hv_vtom_set_host_visibility, in batches of as many page numbers as one page holds), and who calls it:
drivers/hv/channel.c (__vmbus_establish_gpadl), hyperv_vmbus.h.
"""

from collections.abc import Sequence

from vmio.drivers.errors import DriverError
from vmio.drivers.pages import PAGE
from vmio.hypervisor.contracts import Cpu
from vmio.hypervisor.hyperv import tlfs

PRIVATE, SHARED = 0, 3
ZEROS = bytes(PAGE)


class Sharing:
    """The hypercall's user on `cpu`; `page` is a page for its input, which stays private.  `calls` counts, `shared` has the page numbers.

    `alias` is what is added to the address of a shared page to reach it: 0, or where the boundary is that CPUID tells of.
    """

    def __init__(self, cpu: Cpu, page: int) -> None:
        self.cpu, self._input = cpu, page
        about = cpu.cpuid(tlfs.ISOLATION_LEAF)[1]
        self.alias = 1 << (about >> tlfs.BOUNDARY_SHIFT & 0x3F) if about & tlfs.BOUNDARY_ACTIVE else 0
        self.shared: set[int] = set()
        self.calls = 0

    def share(self, pages: Sequence[int]) -> None:
        """Let the host read and write these pages (their numbers), and clear them.  `DriverError` if the hypervisor refuses."""
        self._change([page for page in pages if page not in self.shared], SHARED)
        self.shared.update(pages)

    def keep(self, pages: Sequence[int]) -> None:
        """Have these pages for ourselves again, cleared.  `DriverError` if the hypervisor refuses: then the host uses them still."""
        self._change([page for page in pages if page in self.shared], PRIVATE)
        self.shared.difference_update(pages)

    def _change(self, pages: Sequence[int], visibility: int) -> None:
        for at in range(0, len(pages), tlfs.MOST_PAGES):
            batch = pages[at:at + tlfs.MOST_PAGES]
            self.cpu.write(self._input, tlfs.VISIBILITY_INPUT.pack(visibility=visibility, pages=batch))
            result = self.cpu.hypercall(tlfs.MODIFY_VISIBILITY | len(batch) << tlfs.REP_COUNT, self._input)
            self.calls += 1
            status, done = result & 0xFFFF, result >> tlfs.REP_COUNT & 0xFFF
            if status:
                raise DriverError(f"page {batch[done]:#x}: visibility {visibility} is refused, status {status:#x} "
                                  f"{tlfs.STATUS_NAMES.get(status, '')}")
            for page in batch:
                self.cpu.write(page * PAGE + (self.alias if visibility else 0), ZEROS)
