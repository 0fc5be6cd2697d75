"""How far a guest's bus driver trusts its host: a plain guest's as far as it must, a confidential one's not at all.

    trust = own(cpu, isolation, page)        isolation: what CPUID says of this guest, 0 for a plain one
    trust.lends(handle, pages)               before the host is told of a GPADL
    trust.has_back(handle)                   when the host has let go of it

Linux: drivers/hv/connection.c (vmbus_connect: the oldest version), channel_mgmt.c (vmbus_is_valid_offer), channel.c
(__vmbus_establish_gpadl, vmbus_teardown_gpadl: set_memory_decrypted and _encrypted).
"""

from collections.abc import Sequence

from vmio.drivers.confidential.offers import ALLOWED, LEAST_VMBUS
from vmio.drivers.confidential.sharing import Sharing
from vmio.drivers.errors import DriverError
from vmio.hypervisor.contracts import Cpu
from vmio.machine.contracts import Record
from vmio.vmbus.bus import messages as m


class Trusting:
    """A plain guest's: whatever the host offers is taken, and it can reach all memory anyway."""

    confidential = False
    refused_offers = 0

    def takes(self, offer: Record) -> bool:
        """Return whether a device is taken at all."""
        return True

    def check_version(self, version: int) -> None:
        """`DriverError` for a version of VMBus that is too old."""

    def lends(self, handle: int, pages: Sequence[int]) -> None:
        """The host shall use these pages, under this handle; 0: for ever."""

    def has_back(self, handle: int) -> None:
        """The host uses them no more."""

    def has_all_back(self) -> None:
        """The host uses nothing any more, but for ever."""


class Hardened(Trusting):
    """A confidential guest's: pages are shared one by one, and devices are taken only if their class is in `allowed`."""

    confidential = True

    def __init__(self, cpu: Cpu, page: int) -> None:
        self.sharing = Sharing(cpu, page)
        self.allowed = ALLOWED
        self._lent: dict[int, Sequence[int]] = {}

    def takes(self, offer: Record) -> bool:
        """Return whether a device is taken: one of a kind whose driver is hardened, or a socket of the guest's own asking."""
        good = offer.interface_type in self.allowed or bool(offer.flags & m.HVSOCK)
        self.refused_offers += not good
        return good

    def check_version(self, version: int) -> None:
        """`DriverError` for one that is older than a confidential guest takes."""
        if version < LEAST_VMBUS:
            raise DriverError(f"VMBus: version {m.version_text(version)}; a confidential guest takes {m.version_text(LEAST_VMBUS)} or newer")

    def lends(self, handle: int, pages: Sequence[int]) -> None:
        """Share the pages; they are cleared."""
        self.sharing.share(pages)
        if handle:
            self._lent[handle] = pages

    def has_back(self, handle: int) -> None:
        """Have them private again, and cleared."""
        self.sharing.keep(self._lent.pop(handle, ()))

    def has_all_back(self) -> None:
        """The same of all that have a handle."""
        for handle in list(self._lent):
            self.has_back(handle)


def own(cpu: Cpu, isolation: int, page: int) -> Trusting:
    """Return the trust that suits a guest of this kind of isolation; `page` is for its hypercalls."""
    return Hardened(cpu, page) if isolation else Trusting()
