"""What a virtio disk stores in on this host: a guest's slice of the physical disk, which moves data straight to and from the guest's pages.

Pages that don't lie as a disk needs them (whole ones, but for the first one's beginning and the
last one's end; from a multiple of 4 on) go by pages of the host's own, which takes the time of a copy.
"""

from collections.abc import Callable, Iterator, Sequence

from vmio.host.physical import Slice
from vmio.hypervisor.contracts import Root, Steps
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.inflight import InFlight
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.machine.storage import SECTOR
from vmio.virtio.blk import MAX_DATA
from vmio.virtio.blk_wire import HEADER
from vmio.virtio.queue.chain import Chain, Piece, cut
from vmio.vmbus.storage.bounce import BouncePages

Done = Callable[[bool], None]


class SliceStore:
    """The `Store` of a guest's virtio disk; `backend` is its slice."""

    def __init__(self, host: Root, guest: Guest, backend: Slice) -> None:
        self.host, self.guest, self.backend = host, guest, backend
        self.under_way = InFlight(host.env)          # chains whose pages the backend may touch
        self.bounce = BouncePages(host.memory, MAX_DATA // PAGE)
        self.bounced = 0
        guest.vetoes.insert(0, self._destroyed)
        guest.lent.append(self._lent)
        guest.releases.append(self.bounce.release)

    @property
    def sectors(self) -> int:
        """How large the slice is."""
        return self.backend.sectors

    def begin(self, op: str, lba: int, sectors: int, chain: Chain, done: Done) -> None:
        """See `Store`."""
        self.under_way.begin(chain)

        def over(status: int) -> None:
            if self.under_way.ended(chain):
                done(not status)
        if op not in ("read", "write"):
            self._submit("flush" if op == "flush" else "zero", lba, sectors, (), over)
            return
        length = sectors * SECTOR
        pieces = cut(chain.writable, 0, length) if op == "read" else cut(chain.readable, HEADER.size, length)
        pages = self._pages(pieces, WRITE if op == "read" else READ)
        if pages is None:
            chain.queue.fail(f"data that is no RAM of the guest's, in {', '.join(f'{address:#x}' for address, _ in pieces[:4])}")
            over(1)
        elif pages:
            self._submit(op, lba, sectors, pages, over)
        else:
            self._by_bounce(op, lba, sectors, chain, over)

    def _submit(self, op: str, lba: int, sectors: int, pages: Sequence[int], over: Callable[[int], None]) -> None:
        try:
            self.backend.submit(self.guest.name, op, lba, sectors, pages, over)
        except ValueError:
            over(1)                # what the backend doesn't take has failed

    def _pages(self, pieces: Sequence[Piece], access: int) -> list[int] | None:
        """The SPAs of the pieces' pages, none if a disk can't reach them as they lie; None unless all are the guest's own RAM."""
        translate, ram_spa, fits, end = self.guest.slat.translate, self.guest.backing.spa, True, PAGE
        found: list[int] = []
        try:
            for address, length in pieces:
                fits = fits and end == PAGE and (not found or not address % PAGE)
                while length:
                    spa = translate(address, access)
                    if spa != ram_spa(address):
                        return None          # a page of the hypervisor's lies over it
                    found.append(spa)
                    step = min(PAGE - address % PAGE, length)
                    end = address % PAGE + step
                    address, length = address + step, length - step
        except TranslationFault:
            return None
        return found if fits and not found[0] & 3 else []

    def _by_bounce(self, op: str, lba: int, sectors: int, chain: Chain, over: Callable[[int], None]) -> None:
        memory, length = self.host.memory, sectors * SECTOR

        def taken(pages: list[int]) -> None:
            self.bounced += 1

            def moved(status: int) -> None:
                self.bounce.give_back(pages)
                over(status)

            def read(status: int) -> None:
                if status:
                    moved(status)
                else:
                    self.host.process(self.guest, self._copy(length, give))

            def give() -> None:
                data = b"".join([memory.read(page, min(PAGE, length - n * PAGE)) for n, page in enumerate(pages)])
                moved(0 if chain.store(0, data) else 1)

            def fetch() -> None:
                data = chain.fetch(HEADER.size, length)
                if data is None:
                    moved(1)
                    return
                for n, page in enumerate(pages):
                    memory.write(page, data[n * PAGE:(n + 1) * PAGE])
                self._submit(op, lba, sectors, pages, moved)
            if op == "read":
                self._submit(op, lba, sectors, pages, read)
            else:
                self.host.process(self.guest, self._copy(length, fetch))
        if not self.bounce.take(-(-length // PAGE), taken):
            over(1)

    def _copy(self, length: int, then: Callable[[], None]) -> Steps[None]:
        """It takes a core as long as a copy takes."""
        yield from self.host.cores.work(self.host.costs.copy_ns(length))
        then()

    def _lent(self) -> Iterator[int]:
        """The pages of the chains at the backend, which knows them by their places in the host's memory."""
        return (page for chain in self.under_way for address, length in (*chain.readable, *chain.writable)
                for page in range(address // PAGE, (address + length - 1) // PAGE + 1))

    def _destroyed(self) -> None:
        """The guest's memory is about to go; a disk that still writes to it would hit whoever gets it next."""
        if self.under_way:
            raise RuntimeError(f"{self.guest.name}: {len(self.under_way)} requests still use its memory; "
                               "reset the guest and let them come back first")
