"""The double fetch in slow motion: every access to one word of the ring while the attack of the catalogue runs.

The word is the number of the page that a read's data shall go to.  Who writes and who
fetches it, and what the host then does with it, is written down as it happens in the
machine of the catalogue (`rings.py`): nothing here is a script.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

from vmio.attacks.catalogue import find
from vmio.attacks.defence import without
from vmio.attacks.split import SplitWorld
from vmio.attacks.talker import Talker
from vmio.attacks.verdict import Outcome
from vmio.attacks.world import BUFFER, CANARY, NEIGHBOUR_RAM, OWN_DISK
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.probes import watch
from vmio.machine.window import Window
from vmio.vmbus.bus.ring import DATA, WRITE
from vmio.vmbus.storage.srb import Srb

ID, WORD = "ring-double-fetch", 32      # the word's place in the record: after descriptor, header, and the range's length
GUEST, OTHER, HOST, DISK = "guest", "guest's 2nd vCPU", "host", "disk"


class Access(NamedTuple):
    """At `ns`, `who` `does` ("stores", "fetches", "checks", "orders" or "moves") `what`; then the ring says `word`, and
    the host goes by `held` (each None: nothing yet)."""

    ns: int
    who: str
    does: str
    what: str
    word: int | None
    held: int | None
    harm: bool = False      # the neighbour's canary is gone


class Seen:
    """A `Window` that tells `seen(value, bytes)` when the word at `place` is read or written, by the methods that rings use."""

    def __init__(self, window: Window, place: int, seen: Callable[[int, int], None]) -> None:
        self._window, self._place, self._seen = window, place, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._window, name)

    def read(self, offset: int, length: int) -> bytes:
        """As `Window.read`."""
        data = self._window.read(offset, length)
        self._look(offset, data)
        return data

    def write(self, offset: int, data: bytes) -> None:
        """As `Window.write`."""
        self._window.write(offset, data)
        self._look(offset, data)

    def _look(self, offset: int, data: bytes) -> None:
        at = self._place - offset
        if 0 <= at <= len(data) - 8:
            self._seen(int.from_bytes(data[at:at + 8], "little"), len(data))


class WatchedWorld(SplitWorld):
    """The world of split drivers with a `log` of what happens to the page number in the attack's request."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Access] = []
        self.word: int | None = None
        self.kept: int | None = None
        watch(self.physical.slices[0], "served", self._served)

    def whose(self, page: int) -> str:
        """Return whose the page with this number is, counted from where the guest's RAM begins."""
        if page < self.attacker.ram >> 12:
            return "its own"
        spa = self.attacker.ram_spa(0) + (page << 12)
        return "the neighbour's" if 0 <= spa - self.neighbour.ram_spa(0) < self.neighbour.ram else "the host's"

    def note(self, who: str, does: str, what: str, harm: bool = False) -> None:
        """Write down what just happened."""
        self.log.append(Access(self.host.env.now, who, does, what, self.word, self.kept, harm))

    def talk(self, cpu: VCpu, **options: Any) -> Steps[Talker]:
        """As `SplitWorld.talk`; from here on the word is watched from both sides."""
        talker = yield from super().talk(cpu, **options)
        place = DATA + talker.out.load32(WRITE) + WORD
        reader = self.vsp.worker.end.incoming
        reader.memory = Seen(reader.memory, place, self._fetched)
        talker.out = talker.end.outgoing.memory = Seen(talker.out, place, self._stored)
        return talker

    def _stored(self, page: int, length: int) -> None:
        self.word = page
        if length > 8:
            self.note(GUEST, "stores", f"asks for a read into page {page:,}, {self.whose(page)}")
        else:
            self.note(OTHER, "stores", f"writes {page:,} over it, {self.whose(page)}")

    def _fetched(self, page: int, length: int) -> None:
        again = " again" if any(one.does == "fetches" for one in self.log) else ""
        self.kept = page
        self.note(HOST, "fetches", f"fetches the page number{again}: {page:,}")

    def _served(self, span: tuple[int, int]) -> None:
        if self.log and self.log[-1].does == "orders":
            theirs = self.neighbour.memory.read(CANARY, len(NEIGHBOUR_RAM)) != NEIGHBOUR_RAM
            own = self.attacker.memory.read(BUFFER, len(OWN_DISK)) == OWN_DISK
            self.note(DISK, "moves", "has written over the neighbour's canary" if theirs else "has filled the guest's own buffer" if own
                      else "has written elsewhere", theirs)

    @contextmanager
    def watched(self, off: AbstractContextManager[Any]) -> Iterator[None]:
        """While this is open, without a defence if `off` takes one, the host's check and its order to the disk are written down."""
        def pages(srb: Srb, length: int, access: int) -> list[int] | None:
            found = checks(srb, length, access)
            if srb.vsp is self.vsp:
                self.note(HOST, "checks", f"checks page {srb.ranges[0].pages[0]:,}: {'allowed' if found else 'refused'}")
            return found

        def submit(guest: str, op: str, lba: int, sectors: int, spas: Sequence[int], done: Callable[[int], None]) -> None:
            page = spas[0] - self.attacker.ram_spa(0) >> 12
            self.note(DISK, "orders", f"is told to write to page {page:,}, {self.whose(page)}")
            submits(guest, op, lba, sectors, spas, done)
        with without(Srb, "_pages", pages) as checks, off, without(self.physical.slices[0], "submit", submit) as submits:
            yield


def watched(copy_first: bool) -> tuple[list[Access], Outcome]:
    """Run the attack on a host that copies first, or on one that fetches twice; return what happened, in order, and what came of it."""
    attack, world = find(ID), WatchedWorld()
    world.at_rest()
    with world.watched(nullcontext() if copy_first else attack.off(world)):
        outcome = world.attacked_by(attack.program)
    return world.log, outcome
