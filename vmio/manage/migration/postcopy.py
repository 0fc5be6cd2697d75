"""Post-copy: the guest runs at the destination before all its pages are there, and each is fetched when it is first touched.

A vCPU that touches one waits: an EPT violation, a request to the source, the page, and what is on the link before it.  The
host and its devices find it missing in the same way, by the page table or by its address, and the page comes at once; that
their own work waits meanwhile is left out.  All other pages come meanwhile, in order.  Source: QEMU 7.2, docs/devel/migration.rst, "Postcopy".
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from vmio.hypervisor.exits import ExitReason
from vmio.hypervisor.faults import GuestFault
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link, LinkDown
from vmio.manage.migration.report import Report
from vmio.manage.migration.state import Key, page_of
from vmio.manage.migration.wire import Kind, Writer, page_bytes

BATCH = 16            # pages that are pushed at a time


class PostCopy:
    """Pages of `source` that `destination` still misses, over `link`; counts go into `report`.

    `now` says the time at which the destination's guests would have been had they not stood still, in ns.
    """

    def __init__(self, source: Any, destination: Destination, link: Link, writer: Writer, report: Report) -> None:
        self._source, self._to, self._link, self._writer, self._report = source, destination, link, writer, report
        self._machine = destination.machine
        self._way: dict[Key, int] = {}       # pages on their way -> when they are there, by the clock outside
        self._missing: set[Key] = set()
        self._order: list[Key] = []
        self._offset = 0                     # of the clock outside, over that of the guests
        self._stops: list[Callable[[], None]] = []
        self.lost: str | None = None

    def prepare(self, missing: list[Key]) -> None:
        """Hold these pages for missing, before the machine at the destination is restored."""
        self._missing = set(missing)
        self._order = sorted(self._missing, reverse=True)
        for number, each in enumerate(self._machine.guests):
            each.guest.slat.await_pages(partial(self._looked_up, number))

    def resumed(self, offset: int) -> None:
        """The guests run from now on; `offset` is how far their clock is behind that outside."""
        self._offset = offset
        memory = self._machine.host.memory
        self._stops = [watch(memory, "reading", self._read), watch(memory, "written", self._written)]
        for number, each in enumerate(self._machine.guests):
            for cpu in each.guest.vcpus:
                cpu.memory = Arriving(self, number, cpu, cpu.memory)

    def push(self) -> int | None:
        """Send the next pages that nobody has asked for, and return when they are there, by the guests' clock; None if there are none."""
        keys: list[Key] = []
        while self._order and len(keys) < BATCH:
            key = self._order.pop()
            if key in self._missing:
                keys.append(key)
        if not keys:
            return None
        at = self._send(keys, self._machine.host.env.now + self._offset)
        self._way |= dict.fromkeys(keys, at)
        return at - self._offset

    def arrived(self, until: int) -> None:
        """Put in place what was on its way until then, by the guests' clock."""
        for key in [key for key, at in self._way.items() if at <= until + self._offset]:
            self._place(key)

    def finish(self) -> None:
        """All are there: nobody is asked any more."""
        for stop in self._stops:
            stop()
        for each in self._machine.guests:
            each.guest.slat.await_pages(None)
            for cpu in each.guest.vcpus:
                if isinstance(cpu.memory, Arriving):
                    cpu.memory = cpu.memory.inner

    def wait_for(self, number: int, page: int, now: int) -> int | None:
        """Bring a page that a vCPU touches at `now`, its own time; returns how many ns that takes, or None if the page is there."""
        key = number, page
        if key not in self._missing:
            return None
        at = self._bring(key, now + self._offset)
        return max(0, at - self._offset - now)

    def _looked_up(self, number: int, address: int) -> None:
        self._for_host((number, address // PAGE))

    def _read(self, spa: int, length: int) -> None:
        for number, each in enumerate(self._machine.guests):
            for page in each.guest.backing.pages_at(spa, length):
                self._for_host((number, page))

    def _written(self, spa: int, length: int) -> None:
        """The host has written into a page that is not there: what it wrote stays, the rest of the page comes."""
        memory = self._machine.host.memory.bytes
        for number, each in enumerate(self._machine.guests):
            for page in each.guest.backing.pages_at(spa, length):
                if (number, page) in self._missing:
                    start = each.guest.backing.spa(page * PAGE)
                    low, high = max(spa, start), min(spa + length, start + PAGE)
                    new = memory[low:high]
                    self._for_host((number, page))
                    memory[low:high] = new

    def _for_host(self, key: Key) -> None:
        if key in self._missing:
            self._report.host_faults += 1
            self._bring(key, self._machine.host.env.now + self._offset)

    def _bring(self, key: Key, now: int) -> int:
        """Fetch a page, unless it is on its way, and put it in place; returns when it is there, by the clock outside."""
        at = self._way.get(key)
        if at is None:
            at = self._send([key], now + self._link.latency_ns)
        self._place(key)
        return at

    def _send(self, keys: list[Key], now: int) -> int:
        data = b"".join(page_bytes(*key, page_of(self._source, key) or bytes(PAGE)) for key in keys)
        record = self._writer.record(Kind.PAGES, data)
        try:
            self._to.receive(self._link.send(now, record))
        except LinkDown as down:
            self.lost = str(down)
            raise GuestFault(f"{self._machine.guests[keys[0][0]].name}: page {keys[0][1]:#x} is still at the source, and {down}") from down
        self._report.page_bytes += len(record)
        self._report.postcopy_pages += len(keys)
        return self._link.arrives_at

    def _place(self, key: Key) -> None:
        self._missing.discard(key)
        self._way.pop(key, None)
        backing = self._machine.guests[key[0]].guest.backing
        self._machine.host.memory.write(backing.spa(key[1] * PAGE), self._to.pages[key])

    def count(self, wait: int) -> None:
        """Note a vCPU's fault."""
        self._report.faults += 1
        self._report.fault_ns += wait


class Arriving:
    """The RAM of `cpu`'s guest while pages are still to come, as a vCPU reaches it: `inner` is what it will be afterwards."""

    def __init__(self, pages: PostCopy, number: int, cpu: Any, inner: Any) -> None:
        self._pages, self._number, self._cpu, self.inner = pages, number, cpu, inner

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`; `TranslationFault` where no RAM is."""
        self.touch(address, length, False)
        return self.inner.read(address, length)

    def write(self, address: int, data: Buffer) -> None:
        """Store `data` at `address`; `TranslationFault` where no RAM is."""
        self.touch(address, len(data), True)
        self.inner.write(address, data)

    def touch(self, address: int, length: int, is_write: bool) -> None:
        """Wait for each page of [address, address+length) that has not come: an EPT violation each."""
        cpu = self._cpu
        for page in range(address // PAGE, (address + length - 1) // PAGE + 1 if length else 0):
            wait = self._pages.wait_for(self._number, page, cpu.now)
            if wait is not None:
                self._pages.count(wait)
                row = cpu.table.priced(ExitReason.EPT_VIOLATION, "RAM at the source", cpu.costs.first_touch_ns, is_write)
                cpu.table.record(row, 0, address=page * PAGE)
                cpu.charge(row, wait)
