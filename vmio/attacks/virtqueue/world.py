"""Two guests on one host, each with a virtio device; what is not the attacker's is full of canaries, and the neighbour's disk must go on.

What lies where, by the attacker's own addresses.  Its table of pages ends at `RAM`; a device that went on by itself would meet:

    -1000h  the host's page     0  queues, tables, data     10000h  a page that it may only read
    RAM  the host's pages       `NEIGHBOUR`  the neighbour's RAM

The attacker's sectors lie between those of the neighbour.  `act(world)` is the whole attack; time stands still here.
"""

from collections.abc import Callable

from vmio.attacks.defence import Stuck
from vmio.attacks.places import touches
from vmio.attacks.verdict import REJECT, Outcome, judge
from vmio.attacks.virtqueue.doors import DOORS, Door
from vmio.attacks.virtqueue.parts import (
    DATA, PARTS, RAM, READ_ONLY, SECTORS, SIZE, STATUS, UNTOUCHED, Case, Counted, Share, read_sector, start)
from vmio.attacks.world import HOST, NEIGHBOUR_DISK, NEIGHBOUR_RAM, OWN_DISK, pages_of
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.net.cable import Cable
from vmio.machine.pagetable import READ, WRITE, AddressSpace, PageTable
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR, Image
from vmio.virtio import blk_wire as b
from vmio.virtio import features as f
from vmio.virtio import net_wire as n
from vmio.virtio.blk import FEATURES, Blk, MediumStore
from vmio.virtio.device import VirtioDevice
from vmio.virtio.net import FEATURES as NET_FEATURES
from vmio.virtio.net import RECEIVE, TRANSMIT, Net
from vmio.virtio.queue import wire as q
from vmio.virtio.queue.chain import Chain
from vmio.virtio.queue.driver import DriverQueue

MAC, FAR = b"\x52\x54\0\x12\x34\x56", b"\x52\x54\0\x12\x34\x57"
SHARED = b"all may read it."


class QueueWorld:
    """`device` is the attacker's, `door` its registers, `memory` what its page table lets it reach."""

    def __init__(self, case: Case) -> None:
        self.case, self.host = case, HostMemory(1 << 19)
        self.below, self.base = self.host.allocate(1), self.host.allocate(RAM // PAGE)
        self.above, theirs = self.host.allocate(2), self.host.allocate(RAM // PAGE)
        self.bounce = self.host.allocate(1)         # where the host copies a request together, and a page of its own behind it
        behind = self.host.allocate(1)
        self.memory, self.their_memory = self._space(self.base, read_only=True), self._space(theirs)
        self.medium = Image(bytearray(pages_of(NEIGHBOUR_DISK, SECTORS * SECTOR) + pages_of(OWN_DISK, SECTORS * SECTOR)
                                      + pages_of(NEIGHBOUR_DISK, SECTORS * SECTOR)))
        self.canaries: dict[str, list[tuple[int, bytes]]] = {}
        for name, spa, data in (("host's page", self.below, pages_of(HOST, PAGE)), ("host's page", self.above, pages_of(HOST, 2 * PAGE)),
                                ("host's page", behind, pages_of(HOST, PAGE)), ("host's memory", self.base + READ_ONLY, pages_of(SHARED, PAGE)),
                                ("neighbour's RAM", theirs + 0x1_0000, pages_of(NEIGHBOUR_RAM, RAM - 0x1_0000))):
            self.host.write(spa, data)
            self.canaries.setdefault(name, []).append((spa, data))
        self.pending: list[Callable[[], None]] | None = None     # completions that the disk keeps for itself; None: it keeps none
        self.wire, self.cable = bytearray(), Cable()             # what the attacker's card has sent
        self.loot = bytearray()                                  # what the attacker has read out of registers
        self.refusals: dict[str, int] = {}
        self.most_chains = self.most_pieces = 0
        self._looked_at: list[int] = []                          # SPAs that the host has read by itself, while the attack goes on
        self.device = self._device()
        self.door: Door = DOORS[case.transport](self.device, Counted(self.memory))
        watch(self.device, "failed", lambda why: self.told(f"NEEDS_RESET: {why}"))
        self._neighbour = Blk(self.their_memory, MediumStore(Share(self.medium, 2 * SECTORS)), (SIZE,), features=FEATURES | f.RING_PACKED)
        self._theirs = DOORS[case.transport](self._neighbour, self.their_memory)
        self._driver = start(self._theirs, self._neighbour, self.their_memory, case.ring, (0,))[0]
        self.up()

    def _space(self, spa: int, read_only: bool = False) -> AddressSpace:
        table = PageTable(self.host)
        for at in range(0, RAM, PAGE):
            table.map(at, spa + at, PAGE, READ if read_only and at == READ_ONLY else READ | WRITE)
        return AddressSpace(self.host, table)

    def _device(self) -> VirtioDevice:
        if self.case.device == "blk":
            return Blk(self.memory, MediumStore(Share(self.medium, SECTORS), self._served), (SIZE,), "ATTACKER", FEATURES | f.RING_PACKED)
        card = Net(self.memory, MAC, (SIZE, SIZE, SIZE), NET_FEATURES & ~n.MRG_RXBUF | f.RING_PACKED)
        card.plug_in(self.cable.ends[0])
        self.cable.ends[1].connect(self)
        return card

    def _served(self, _op: str, _sectors: int, done: Callable[[], None]) -> None:
        if self.pending is None:
            done()
        else:
            self.pending.append(done)

    # The cable's other end: the network.

    def receive(self, frame: bytes) -> bool:
        """See `Station`."""
        self.wire += frame
        return True

    def link_changed(self, up: bool) -> None:
        """See `Station`."""

    # What an attack does.

    @property
    def number(self) -> int:
        """The queue that takes what the guest wants done."""
        return TRANSMIT if self.case.device == "net" else 0

    def up(self, **elsewhere: int) -> list[DriverQueue]:
        """Reset the device and bring it up as an honest driver would, but for the addresses of the queue's parts in `elsewhere`."""
        queues = start(self.door, self.device, self.memory, self.case.ring, range(len(self.device.setups)), {self.number: elsewhere})
        for queue in self.device.queues.values():
            watch(queue, "taken", self._taken)
        return queues

    def _taken(self, chain: Chain) -> None:
        pieces = len(chain.readable) + len(chain.writable)
        self.most_pieces = max(self.most_pieces, pieces)
        self.most_chains = max(self.most_chains, *(queue.in_flight for queue in self.device.queues.values()))

    def rows(self, at: int, *rows: tuple[int, ...]) -> None:
        """Write descriptors (address, bytes, flags[, next]) from `at` on; without a next, the following one, where NEXT is set."""
        for i, (address, length, flags, *following) in enumerate(rows):
            after = following[0] if following else i + 1 if flags & q.NEXT else 0
            packed = q.PACKED.struct.pack(address, length, 0, flags) if self.case.ring == "packed" else q.DESCRIPTOR.struct.pack(
                address, length, flags, after)
            self.memory.write(at + 16 * i, packed)

    def offer(self, *rows: tuple[int, ...], number: int | None = None, index: int = 1, head: int = 0, kick: bool = True) -> None:
        """Write a chain into the ring's first places, make it available, and kick.  `index`: the driver's, in a split ring; the turn, in a packed one."""
        number = self.number if number is None else number
        ring = PARTS * number
        if self.case.ring == "packed":
            turn = q.AVAIL if index % 2 else q.USED      # `index` is the turn of the ring
            rows = tuple((address, length, flags | turn) for address, length, flags, *_ in rows)
        self.rows(ring, *rows)
        if self.case.ring == "split":
            heads = [head] * SIZE
            self.memory.write(ring + PAGE, q.AVAILABLE.pack(idx=index & 0xFFFF) + b"".join(one.to_bytes(2, "little") for one in heads))
        if kick:
            self.door.kick(number)

    def header(self, kind: int = b.IN, sector: int = 0) -> tuple[int, int, int]:
        """Write what a request begins with, a disk's or a frame's, and return its descriptor, which has a next one."""
        data = b.HEADER.pack(type=kind, sector=sector) if self.case.device == "blk" else bytes(n.HEADER.size)
        self.memory.write(DATA, data)
        self.memory.write(STATUS, bytes([UNTOUCHED]))
        return DATA, len(data), q.NEXT

    def send_from(self, address: int, length: int = SECTOR) -> None:
        """Let the device read a buffer: a disk stores it, a card sends it."""
        if self.case.device == "blk":
            self.offer(self.header(b.OUT), (address, length, q.NEXT), (STATUS, 1, q.WRITE))
        else:
            self.offer(self.header(), (address, length, 0))

    def receive_into(self, *pieces: tuple[int, int, int]) -> None:
        """Let the device write into (address, bytes, flags): a disk's sector, or a frame that comes."""
        if self.case.device == "blk":
            linked = [(address, length, flags | q.NEXT) for address, length, flags in pieces]
            self.offer(self.header(b.IN), *linked, (STATUS, 1, q.WRITE))
        else:
            linked = [(address, length, flags | q.NEXT * (i + 1 < len(pieces))) for i, (address, length, flags) in enumerate(pieces)]
            self.offer(*linked, number=RECEIVE, kick=False)
            self.cable.ends[1].send(MAC + FAR + bytes(1500))

    def told(self, what: str) -> None:
        """The attacker got this answer."""
        self.refusals[what] = self.refusals.get(what, 0) + 1

    def look(self) -> None:
        """Read the status that a disk has written, or an answer to a command of a card's: something else than "good" is a refusal."""
        status = self.memory.read(STATUS, 1)[0]
        if status in (b.IOERR, b.UNSUPP):
            self.told(f"status {status}")
        if isinstance(self.device, Net) and self.device.dropped:
            self.told("frame dropped")

    # Running and judging.

    def run(self, act: "Callable[[QueueWorld], object]") -> Outcome:
        """Return the `Outcome` of an attack between two requests of the neighbour's."""
        stopped, down = None, []
        end = watch(self.host, "reading", lambda spa, length: self._looked_at.extend((spa, spa + length - 1)))
        try:
            self._honest()
            act(self)
            self.look()
            self._honest()
        except Stuck as error:
            stopped, down = f"the watchdog stopped the host: {error}", ["host's itself", "neighbour's requests"]
        except _Unanswered as error:
            stopped, down = str(error), ["neighbour's requests"]
        except Exception as error:  # noqa: BLE001  whatever it is: it has left the host
            stopped, down = f"{type(error).__name__} left the host", ["host's itself", "neighbour's requests"]
        end()
        held = {"chains in flight": (self.most_chains, SIZE), "pieces of one chain": (self.most_pieces, 1024)}
        changed, leaked = self._changed(), self._leaked()
        outcome = judge(stopped, held, None, changed, leaked, self.refusals)
        evidence = "; ".join(self.refusals) if outcome.verdict == REJECT else outcome.evidence
        return outcome._replace(evidence=evidence, touched=touches(changed, leaked, down, False, held), refused=dict(self.refusals))

    def comes_back(self) -> bool:
        """Return whether the device serves an honest request after a reset, as a guest that has rebooted would make it."""
        if self.pending:
            for done in self.pending:
                done()
        self.pending = None
        driver = self.up()[self.number]
        if self.case.device == "blk":
            return read_sector(self.door, driver, self.memory, 3) == pages_of(OWN_DISK, SECTOR)
        del self.wire[:]
        self.memory.write(DATA, bytes(n.HEADER.size) + FAR + MAC + bytes(60))
        driver.add([(DATA, n.HEADER.size + 72)], [], "honest")
        driver.publish()
        self.door.kick(TRANSMIT)
        return driver.reap() is not None and len(self.wire) == 72

    def _honest(self) -> None:
        """The neighbour reads a sector, and looks whether it is its own."""
        if read_sector(self._theirs, self._driver, self.their_memory, 5) != pages_of(NEIGHBOUR_DISK, SECTOR):
            raise _Unanswered("the neighbour's request was not answered, or with something else")

    def _changed(self) -> list[str]:
        """Names of what is no longer as it was."""
        changed = [name for name, pages in self.canaries.items() if any(self.host.read(spa, len(data)) != data for spa, data in pages)]
        disk = self.medium.read(0, SECTORS), self.medium.read(2 * SECTORS, SECTORS)
        return changed + ["neighbour's disk"] * any(part != pages_of(NEIGHBOUR_DISK, SECTORS * SECTOR) for part in disk)

    def _leaked(self) -> list[str]:
        """Whose bytes the attacker has, or its device has taken for the attacker's."""
        has = self.host.read(self.base, RAM), self.medium.read(SECTORS, SECTORS), self.wire, self.loot
        leaked = [name for name, marker in (("neighbour's RAM", NEIGHBOUR_RAM), ("neighbour's disk", NEIGHBOUR_DISK), ("host's page", HOST))
                  if any(marker in data for data in has)]
        seen = [name for name, pages in self.canaries.items() if name != "host's memory"
                and any(spa <= at < spa + len(data) for spa, data in pages for at in self._looked_at)]
        return list(dict.fromkeys(leaked + seen))


class _Unanswered(Exception):
    """An honest request of the neighbour's."""
