"""Pages that a guest has given to its host while it runs: out of its second-level page table, and the host's at once.

Nobody has to believe that the guest keeps its word: a page that is not in its table is none that it can touch.  Which protocol the guest
has said it by is the business of a balloon device (`vmio/vmbus/balloon/`, `vmio/virtio/balloon.py`).
"""

from collections.abc import Iterable, Sequence

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.pageruns import PageRuns

SPARE = 2           # pages for tables, put aside so that a page can be taken when the host has no other: what comes free is at least as much


class GivenPages(PageRuns):
    """The pages of `guest`, by their numbers, that the host has.  While they are, an access of the guest's to one is a fault of the guest's own."""

    def __init__(self, host: Root, guest: Guest) -> None:
        super().__init__()
        self.host, self.guest = host, guest
        self.spare = [host.memory.allocate(1) for _ in range(SPARE)]
        guest.gave_away = self._gone
        guest.releases.append(self._release)

    def _gone(self, gpa: int) -> bool:
        return self.overlaps(gpa // PAGE, 1)

    def _release(self) -> None:
        """The guest is gone."""
        for spa in self.spare:
            self.host.memory.free(spa, 1)
        self.spare = []

    def check(self, ranges: Iterable[tuple[int, int]]) -> int:
        """Return how many pages these (first, count) are; ValueError unless the guest has each, once, and nobody uses it."""
        guest, given = self.guest, PageRuns()
        guest.check_takeable()
        for first, count in ranges:
            given.add(first, count)
            if sum(size for _, _, size in guest.backing.runs(first * PAGE, count * PAGE)) != count * PAGE:
                raise ValueError(f"pages {first:#x}, {count} of them, given: the guest has not all of these")
        for page in guest.used_pages():
            if given.overlaps(page, 1):
                raise ValueError(f"page {page:#x} given: it is in use, lent to the host or under a page of the hypervisor's")
        return given.total

    def give(self, first: int, count: int) -> None:
        """Have pages that the guest gives and that were checked."""
        self.unmap(first, count)
        self.add(first, count)

    def unmap(self, first: int, count: int) -> None:
        """Take pages out of the guest's table; what is spare is there to split a large page with."""
        memory = self.host.memory
        for spa in self.spare:
            memory.free(spa, 1)
        self.guest.backing.remove(first * PAGE, count * PAGE)
        self.spare = [memory.allocate(1) for _ in range(SPARE)]

    def back(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Let the guest have these pages again, zeroed, all of them or none; `OutOfMemory` if the host has no frames for them."""
        given: list[tuple[int, int]] = []
        try:
            for first, count in ranges:
                self.guest.give_ram(first * PAGE, count * PAGE)
                given.append((first, count))
        except OutOfMemory:
            for first, count in given:
                self.guest.backing.remove(first * PAGE, count * PAGE)
            raise
        for first, count in ranges:
            self.remove(first, count)

    def restore(self, runs: Iterable[tuple[int, int]], spare: Sequence[int]) -> None:
        """Take back `runs` and `spare` of a checkpoint, after the guest's memory; `CheckpointRefused` for pages that the guest has and has given at once."""
        PageRuns.__init__(self, runs)
        self.spare = list(spare)
        for first, count in self.runs:
            if self.guest.backing.runs(first * PAGE, count * PAGE):
                raise CheckpointRefused(f"checkpoint, memory given: pages {first:#x}, {count} of them: given to the host, and the guest has some")

    def back_all(self) -> None:
        """The guest begins anew, and believes to have all its memory: it gets what the host has left of it."""
        for first, count in self.runs:
            try:
                self.back([(first, count)])
            except OutOfMemory:
                return
