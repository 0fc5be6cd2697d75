"""The memory for UNMAP's parameter lists: one for each request that a ring may have under way."""

from vmio.drivers.scsi_probe import Identity
from vmio.drivers.vmbus import VmBusClient

LIST, PAGE = 32, 4096       # bytes of a list, and of a page


class UnmapLists:
    """The part of a queue that knows whether its units take UNMAP."""

    client: VmBusClient
    queue_depth: int
    identity: Identity
    _lists: int              # where they are; 0: nowhere yet

    def learn(self, identity: Identity) -> None:
        """Take over what the disk said of itself."""
        self.identity = identity
        self.make_lists(identity)

    def make_lists(self, identity: Identity) -> None:
        """Have memory for the lists of an UNMAP, if this unit, or another one on this ring, takes them."""
        if identity.max_unmapped and not self._lists:
            self._lists = self.client.pages.take(self._list_pages)

    @property
    def _list_pages(self) -> int:
        return -(-(self.queue_depth + 1) * LIST // PAGE)

    def give_back(self) -> None:
        """Let others have the lists' memory; the channel is closed."""
        if self._lists:
            self.client.pages.give_back(self._lists, self._list_pages)
            self._lists = 0
