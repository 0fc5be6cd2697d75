"""Dynamic memory, the host's half: it hears how much memory a guest needs, and takes pages from it, gives them back, or adds more.

    memory = DynamicMemory(host, guest)
    memory.offer(VmbusServer(guest))
    memory.inflate(512)         ask for 2 MiB; the guest chooses the pages
    memory.deflate(512)         give as many back; the host chooses
    memory.hot_add(512)         2 MiB behind the end of its RAM

One thing at a time is asked (`asked`), as the guest's driver can do no more.  A page that the guest gives leaves its SLAT table and is
the host's again at once, so nobody has to believe that the guest keeps its word.  How much a guest gets is decided elsewhere.

Whatever a guest sends is checked on a copy, all of a message before any of it is done.  What no honest guest sends is a `RingCorrupt`:
it ends the channel, the guest goes on with the memory that it has, and what it gave stays with the host.
Public source: Linux drivers/hv/hv_balloon.c (the guest that we serve); what a host does is not published beside that.
"""

from collections import Counter
from collections.abc import Callable

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.given import GivenPages
from vmio.hypervisor.guest import MOST_RAM, Guest
from vmio.machine.contracts import Record
from vmio.machine.memory import PAGE
from vmio.machine.pageruns import PageRuns
from vmio.vmbus.balloon import wire as w
from vmio.vmbus.balloon.wire import Message
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.messages import MEMORY_CLASS
from vmio.vmbus.bus.packets import Packet, RingCorrupt

VERSION, CAPABILITIES, READY, REFUSED = "version", "capabilities", "ready", "refused"
# state -> what may come in it
DUE = {VERSION: (Message.VERSION_REQUEST,), CAPABILITIES: (Message.CAPABILITIES,), REFUSED: (),
       READY: (Message.STATUS_REPORT, Message.BALLOON_RESPONSE, Message.UNBALLOON_RESPONSE, Message.HOT_ADD_RESPONSE)}


class DynamicMemory(BusDevice):
    """The memory of `guest`, which may be told that it will never have more than `maximum` pages.  `versions`: what the host speaks.

    `state` is how far the start-up is; `report` the last STATUS_REPORT, or None; `ballooned` what the guest gave and the host has.
    """

    POINTS = {"ready": "() the guest's driver is up: it may be asked",
              "reported": "(record) a status report has come", "answered": "(message, pages) what was asked is done, as far as it goes"}
    ready: Callable[[], None] | None = None
    reported: Callable[[Record], None] | None = None
    answered: Callable[[Message, int], None] | None = None
    class_id = MEMORY_CLASS
    guest: Guest

    def __init__(self, host: Root, guest: Guest, number: int = 1, maximum: int | None = None,
                 versions: tuple[int, ...] = w.LINUX_VERSIONS) -> None:
        super().__init__(host, guest, b"vmio-memory".ljust(14, b"\0") + number.to_bytes(2, "little"))
        self.maximum, self.versions = maximum, versions
        self.ballooned = GivenPages(host, guest)
        self.heard: Counter[str] = Counter()
        self.corrupt = 0
        self._begin()
        if guest.enlightened is not None:
            guest.enlightened.on_reset.append(self.ballooned.back_all)

    def _begin(self) -> None:
        """What begins anew with each opening.  The pages that the guest gave are the host's all the same."""
        self.state, self.version, self.capabilities = VERSION, 0, 0
        self.report: Record | None = None
        self.reported_at = 0
        self.asked: Message | None = None       # what the guest has not answered so far,
        self.wanted = self.got = 0              # for how many pages, and how many came
        self.adding = 0                         # guest-physical: where the hot add begins
        self.region_end = 0                     # guest-physical: of the region for hot add that this driver has prepared
        self.can_add = True                     # until it says that it can't

    def opened(self, end: ChannelEnd) -> None:
        """The guest's driver is there: it speaks first."""
        self._begin()
        super().opened(end)

    def closed(self) -> Event | None:
        """The guest's driver has gone."""
        self.state, self.asked, self.guest.memory_asked = VERSION, None, ""
        return super().closed()

    def failed(self, error: Exception) -> None:
        """Count it, and have the bus close the channel."""
        self.corrupt += 1
        super().failed(error)

    @property
    def assigned(self) -> int:
        """How many pages the guest has now."""
        return self.guest.backing.bytes // PAGE

    # What the host asks.  Each is a ValueError, one sentence, if it can't be asked now; then nothing has happened.

    def inflate(self, pages: int) -> None:
        """Ask the guest for pages; it may give fewer.  A multiple of 512, since Linux looks for 2 MiB at a time."""
        self._may_ask(w.BALLOONS, "gives no memory")
        if pages < 1 or pages % w.LARGE or pages > self.assigned:
            raise ValueError(f"guest {self.guest.name}: {pages} pages asked; a multiple of {w.LARGE}, at most the {self.assigned} that it has")
        self.guest.check_takeable()
        self._ask(Message.BALLOON, pages, w.BALLOON.pack(pages=pages))

    def deflate(self, pages: int) -> None:
        """Give pages back, the lowest that the guest gave; `OutOfMemory` if the host has no frames for them."""
        self._may_ask(w.BALLOONS, "takes no memory back")
        if not 1 <= pages <= self.ballooned.total:
            raise ValueError(f"guest {self.guest.name}: {pages} pages to give back; it gave {self.ballooned.total}")
        ranges = PageRuns(self.ballooned.runs).take(pages)
        self.ballooned.back(ranges)
        self.asked, self.wanted, self.got = Message.UNBALLOON, pages, pages     # it gives nothing, so nobody has to wait for it
        for at in range(0, len(ranges), w.MOST_RANGES):
            part = ranges[at:at + w.MOST_RANGES]
            self.post(w.with_ranges(w.UNBALLOON, part, more=int(at + len(part) < len(ranges)), count=len(part)))

    def hot_add(self, pages: int) -> None:
        """Give the guest more than it began with, behind the end of its RAM; `OutOfMemory` if the host has no frames for that.

        A multiple of 2 MiB, at most `addable`.  The guest has to prepare a whole region of the size that it wants (Linux: 128 MiB); it is told
        of one when the last one is used up, and may use of it what it is given.
        """
        self._may_ask(w.HOT_ADDS, "can't be given more than it began with")
        if not self.can_add:
            raise ValueError(f"guest {self.guest.name}: can't be given more than it began with: it has said so")
        if pages < 1 or pages % w.LARGE or pages > self.addable:
            raise ValueError(f"guest {self.guest.name}: {pages} pages to add; a multiple of {w.LARGE}, at most {self.addable} at once")
        at, region = self._next_place()
        self.guest.grow(at, pages * PAGE)
        self.adding, self.region_end = at, region
        new = [w.pack_range(at // PAGE, (region - at) // PAGE)] if at % self._region == 0 else []
        self._ask(Message.HOT_ADD, pages, w.HOT_ADD.pack(size=w.HOT_ADD.size + 8 * len(new), range=w.pack_range(at // PAGE, pages), region=new))

    @property
    def addable(self) -> int:
        """How many pages may be added at once: to the end of the region that the guest has prepared, or would prepare next; 0 at the end of all."""
        at, region = self._next_place()
        return (region - at) // PAGE if region <= MOST_RAM else 0

    @property
    def _region(self) -> int:
        return w.hot_add_alignment(self.capabilities) * PAGE

    def _next_place(self) -> tuple[int, int]:
        """(guest-physical address, end of its region) of what is added next."""
        if self.guest.ram < self.region_end:
            return self.guest.ram, self.region_end
        at = -(-self.guest.ram // self._region) * self._region
        return at, at + self._region

    def _may_ask(self, capability: int, what: str) -> None:
        name = self.guest.name
        if self.state != READY:
            raise ValueError(f"guest {name}: {what}: its driver for dynamic memory is not up ({self.state})")
        if not self.capabilities & capability:
            raise ValueError(f"guest {name}: {what}: its driver has not this capability")
        if self.asked is not None:
            raise ValueError(f"guest {name}: {what} now: it has not answered {self.asked.name} yet")

    def _ask(self, message: Message, pages: int, payload: bytes) -> None:
        self.asked, self.wanted, self.got = message, pages, 0
        self.guest.memory_asked = f"{pages} pages" if message is not Message.HOT_ADD else "an answer to a hot add"
        self.post(payload)

    # What the guest says.

    def packet(self, request: Answerable, packet: Packet) -> None:
        """One message, which has no completion."""
        request.end()
        try:
            record = w.parse(packet.payload)
        except ValueError as error:
            raise RingCorrupt(f"dynamic memory: {error}") from None
        if record.type not in DUE[self.state]:
            raise RingCorrupt(f"dynamic memory: {w.NAMES[record.type]} while its state is {self.state}")
        self.heard[w.NAMES[record.type]] += 1
        self._ANSWERS[record.type](self, record)

    def _version(self, record: Record) -> None:
        good = record.version in self.versions
        self.post(w.VERSION_RESPONSE.pack(transaction=record.transaction, accepted=int(good)))
        if good:
            self.version, self.state = record.version, CAPABILITIES
        elif record.last & w.FLAG:
            self.state = REFUSED

    def _capable(self, record: Record) -> None:
        self.capabilities = record.capabilities
        self.post(w.CAPABILITIES_RESPONSE.pack(transaction=record.transaction, accepted=w.ACCEPTED))
        self.state = READY
        if self.maximum is not None and self.version >= w.V1_0:
            self.post(w.INFO.pack(kind=w.MAX_PAGE_COUNT, value=self.maximum))
        if self.ready is not None:
            self.ready()

    def _status(self, record: Record) -> None:
        self.report, self.reported_at = record, self.host.env.now
        if self.reported is not None:
            self.reported(record)

    def _gives(self, record: Record) -> None:
        """A part of what the guest gives: looked through as a whole, then taken."""
        if self.asked is not Message.BALLOON:
            raise RingCorrupt("dynamic memory: BALLOON_RESPONSE that nobody waits for")
        try:
            ranges = w.ranges_of(record.ranges, record.counts >> 1)
            self._check_wanted(self.ballooned.check(ranges))
        except ValueError as error:
            raise RingCorrupt(f"dynamic memory: {error}") from None
        for first, count in ranges:
            self.ballooned.give(first, count)
            self.got += count
        if not record.counts & w.MORE:
            self._done()

    def _check_wanted(self, pages: int) -> None:
        """ValueError if these pages are more than were asked for."""
        if self.got + pages > self.wanted:
            raise ValueError(f"{self.got + pages} pages given, {self.wanted} were asked for")

    def _took(self, record: Record) -> None:
        if self.asked is not Message.UNBALLOON:
            raise RingCorrupt("dynamic memory: UNBALLOON_RESPONSE that nobody waits for")
        self._done()

    def _added(self, record: Record) -> None:
        """So many pages of what was added are the guest's; the host has the others back."""
        if self.asked is not Message.HOT_ADD or record.pages > self.wanted:
            raise RingCorrupt(f"dynamic memory: HOT_ADD_RESPONSE of {record.pages} pages that nobody waits for")
        self.got = record.pages
        if record.pages < self.wanted:
            self.can_add = not record.pages and not record.result
            first, count = self.adding // PAGE + record.pages, self.wanted - record.pages
            if any(first <= page < first + count for page in self.guest.used_pages()):
                raise RingCorrupt("dynamic memory: the guest uses memory that it says it could not add")
            self.ballooned.unmap(first, count)
            if not record.pages and self.adding % self._region == 0:
                self.region_end = 0         # it has not prepared this region: what comes next needs one of its own
        self._done()

    def _done(self) -> None:
        asked, self.asked, self.guest.memory_asked = self.asked, None, ""
        if self.answered is not None and asked is not None:
            self.answered(asked, self.got)

    _ANSWERS = {Message.VERSION_REQUEST: _version, Message.CAPABILITIES: _capable, Message.STATUS_REPORT: _status,
                Message.BALLOON_RESPONSE: _gives, Message.UNBALLOON_RESPONSE: _took, Message.HOT_ADD_RESPONSE: _added}
