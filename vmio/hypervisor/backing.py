"""RAM that the host backs page by page, as a vCPU reaches it: the first touch of a page is an EPT violation.

Only a guest's own accesses count.  What the host's software or a device reads and
writes for it comes to the page by the host's own page tables; the processor finds out
with the guest's first touch.  Pages are 4 KiB: a host that backs with larger ones has
fewer of these exits.
"""

from vmio.hypervisor.contracts import GuestCpu
from vmio.hypervisor.exits import ExitReason
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE


class DemandRam:
    """The RAM of `cpu`'s guest as an `AddressSpace` has it: `read` and `write`, behind the exits of first touches."""

    def __init__(self, cpu: GuestCpu) -> None:
        self._cpu, self._guest = cpu, cpu.guest

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`; `TranslationFault` where no RAM is."""
        self.touch(address, length, False)
        return self._guest.memory.read(address, length)

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` at `address`; `TranslationFault` where no RAM is."""
        self.touch(address, len(data), True)
        self._guest.memory.write(address, data)

    def touch(self, address: int, length: int, is_write: bool) -> None:
        """Count an exit for each page of [address, address+length) that the guest has not touched so far."""
        backing = self._guest.backing
        if address // PAGE in backing.touched and address % PAGE + length <= PAGE:
            return                  # nearly always
        last = min(address + length, self._guest.ram) - 1
        for page in range(address // PAGE, last // PAGE + 1 if length else 0):
            gpa = page * PAGE
            if page not in backing.touched and backing.spa(gpa) is not None and not self._guest.overlaid(gpa):
                backing.touched.add(page)
                self._fault(gpa, is_write)

    def _fault(self, gpa: int, is_write: bool) -> None:
        cpu = self._cpu
        row = cpu.table.priced(ExitReason.EPT_VIOLATION, "RAM", cpu.costs.first_touch_ns, is_write)
        cpu.table.record(row, 0, address=gpa)
        cpu.charge(row)
