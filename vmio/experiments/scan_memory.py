"""The memory of a scan's guest, changed by its host while it runs: given back, added behind the end of its RAM, or asked for.

A guest answers each wish when it looks next, and may give less than it was asked for; the host asks on until the guest has what was
wanted, or gives no more.  What the host has not it does not give: the guest keeps what it has, and the scan goes on.
"""

from collections.abc import Callable, Sequence

from vmio.experiments.scan_job import START_NS
from vmio.machine.memory import OutOfMemory
from vmio.machine.probes import watch
from vmio.vmbus.balloon.dynamic import DynamicMemory
from vmio.vmbus.balloon.wire import Message

MIB_PAGES = 256


class Spare:
    """What a host has for the guests with these `memories`: so many MiB beside what they begin with, and what they give."""

    def __init__(self, mib: int, memories: Sequence[DynamicMemory]) -> None:
        self.memories = memories
        self.all = mib * MIB_PAGES + sum(memory.assigned for memory in memories)

    @property
    def mib(self) -> int:
        """MiB that may be given to somebody now."""
        return (self.all - sum(memory.assigned for memory in self.memories)) // MIB_PAGES


class Grower:
    """One guest's memory as its host changes it, of which `mib` MiB are for what it reads; `log(words)` is told what comes of it.

    `history` has (ns, MiB for what it reads) from each time on, `added` pages that it was given while it ran, `given` those that it gave.
    """

    def __init__(self, memory: DynamicMemory, mib: int, spare: Spare, log: Callable[[str], None]) -> None:
        self.memory, self.spare, self.log = memory, spare, log
        self.others = memory.assigned - mib * MIB_PAGES         # pages of drivers
        self.wanted = memory.assigned
        self.history = [(START_NS, mib)]
        self.added = self.given = 0
        watch(memory, "answered", self._answered)

    @property
    def mib(self) -> int:
        """MiB that the guest has now for what it reads."""
        return (self.memory.assigned - self.others) // MIB_PAGES

    def want(self, mib: int) -> None:
        """Let the guest have so many MiB for what it reads, as far as that can be."""
        self.wanted = self.others + mib * MIB_PAGES
        if self.memory.asked is None:       # else it has something to answer first, and is asked on then
            self._ask()

    def _ask(self) -> None:
        memory, more = self.memory, self.wanted - self.memory.assigned
        try:
            if more > self.spare.mib * MIB_PAGES:
                raise OutOfMemory(f"{more // MIB_PAGES} MiB more are wanted, and the host has {self.spare.mib} MiB for its guests")
            if more > 0 and memory.ballooned.total:
                memory.deflate(min(more, memory.ballooned.total))
            elif more > 0:
                memory.hot_add(more)
            elif more < 0:
                memory.inflate(-more)
        except (ValueError, OutOfMemory) as error:
            self.log(f"{memory.guest.name} keeps its {self.mib} MiB: {error}")

    def _answered(self, asked: Message, pages: int) -> None:
        """What was asked is done: go on until all is, or nothing came of it."""
        if asked is Message.BALLOON:
            self.given += pages
        else:
            self.added += pages
        self.history.append((self.memory.host.env.now, self.mib))
        if pages:
            self.log(f"{self.memory.guest.name} has {self.mib} MiB")
            self._ask()
        else:
            self.log(f"{self.memory.guest.name} keeps its {self.mib} MiB")
