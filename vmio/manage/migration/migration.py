"""The source's side of a migration: rounds while the guest runs, the stop, and the hand-over.

    moved = Migration(machine, run, Destination(other, (guest, program)), Link(125_000_000), rule("qemu"))
    report = moved.go()
    moved.run.to_the_end()             # at the destination, or at the source if the report says so

Round 1 sends all pages; each further one those that the dirty log has of the time of the one before.  When the rule says
so the guest stands still, the rest and the machine's state go, and the destination goes on where the source stopped.  Until the
destination has said that it runs nothing is given up: whatever goes wrong before, the source goes on.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection
from typing import Any

from vmio.hypervisor.dirty import DirtyLog
from vmio.hypervisor.runs import Run
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.memory import PAGE
from vmio.manage.migration import report as r
from vmio.manage.migration import wire
from vmio.manage.migration.destination import Destination
from vmio.manage.migration.link import Link, LinkDown
from vmio.manage.migration.postcopy import PostCopy
from vmio.manage.migration.report import Report, Round
from vmio.manage.migration.rules import Progress, Rule, Throttle
from vmio.manage.migration.state import Key, disk_digests, memory_digest, page_of, present, split
from vmio.manage.migration.wire import ZEROS, Kind, StreamRefused

BATCH = 16            # pages in a record
TRIES, TRY_NS = 100, 10_000     # how often, and when again, a machine is asked for its state
PATIENCE = 60         # rounds after which a migration that its rule would never end is cancelled


class Migration:
    """A move of `machine`, whose `run` is under way, to `destination` over `link`.

    `throttle` holds vCPUs back that dirty too much; after `postcopy_after` rounds the guest is moved before its pages are.
    `without` are ways that the dirty log leaves out (`vmio.hypervisor.dirty.WAYS`): what is lost then is the lesson.
    After `patience` rounds it is cancelled; `log(guest, without)` makes another dirty log.  ValueError for limits that contradict each other.
    """

    def __init__(self, machine: Any, run: Run, destination: Destination, link: Link, rule: Rule, throttle: Throttle | None = None,
                 postcopy_after: int | None = None, without: Collection[str] = (), patience: int = PATIENCE,
                 log: Callable[[Any, Collection[str]], DirtyLog] = DirtyLog) -> None:
        if patience < 1:
            raise ValueError(f"migration: patience of {patience} rounds; at least 1")
        if postcopy_after is not None and not 1 <= postcopy_after <= patience:
            raise ValueError(f"migration: post-copy after {postcopy_after} rounds, and none after {patience}; 1 to {patience}")
        self.machine, self.run, self.destination, self.link = machine, run, destination, link
        self.rule, self.throttle, self.postcopy_after, self.patience = rule, throttle, postcopy_after, patience
        self._without, self._log = without, log
        self._writer = wire.Writer()
        self._now = machine.host.env.now
        self._logs: list[DirtyLog] = []
        self._todo: list[Key] = []           # pages to be sent, in that order
        self._last: Key = (-1, 0)            # the one that went last
        self._ran: dict[Any, int] = {}       # vCPU -> up to when it has been throttled
        self.report = Report(began_ns=self._now)

    def go(self) -> Report:
        """Move the guests, and return what was counted; `run` is then the run that goes on.

        The report says what stopped a migration that did not come to its end.
        """
        report = self.report
        try:
            for each in self.machine.guests:
                each.guest.check_movable("live migration")
            self._logs = [self._log(each.guest, self._without) for each in self.machine.guests]
            self._send(Kind.HELLO, wire.hello([(each.name, each.guest.ram) for each in self.machine.guests]))
            if self._rounds():
                self._hand_over()
        except LinkDown as down:
            report.status, report.reason = r.FAILED, f"{down}; the guest goes on at the source"
        except (StreamRefused, CheckpointRefused) as refused:
            report.status, report.reason = r.REFUSED, f"{refused}; the guest goes on at the source"
        except ValueError as refused:
            report.status, report.reason = r.REFUSED, str(refused)
        finally:
            for log in self._logs:
                log.stop()
        report.bytes = self.link.sent
        report.ended_ns = max(self._now, report.ended_ns)
        return report

    # Rounds, while the guest runs.

    def _rounds(self) -> bool:
        """Send rounds until the guest is to be stopped; False if it never is."""
        report, self._todo = self.report, present(self.machine)
        enough = self.rule.enough(self.link.bandwidth)
        memory = sum(each.guest.ram for each in self.machine.guests)
        for number in range(1, self.patience + 1):
            began, before, pages, zeros = self._now, self.link.sent, 0, 0
            self._send(Kind.ROUND, wire.ROUND.pack(number=number, pages=len(self._todo)))
            while self._todo and len(self._todo) * PAGE > enough:
                sent, blank = self._send_pages()
                pages, zeros = pages + sent, zeros + blank
                self._let_run(self.link.free_at)
            by, dirtied = self._read_log()
            percent = self.throttle.percent if self.throttle else 0
            report.rounds.append(Round(number, began, self._now, pages, zeros, self.link.sent - before, len(self._todo), by, percent))
            why = self.rule.stop(Progress(number, len(self._todo) * PAGE, report.page_bytes, memory, self.link.bandwidth))
            if why is None and number == self.postcopy_after:
                why = f"post-copy after {number} rounds"
            if why is not None:
                report.reason = why
                return True
            if self.throttle is not None:
                self.throttle.heed(dirtied * PAGE, pages * PAGE)
        report.status, report.reason = r.CANCELLED, f"it does not converge: {len(self._todo):,} pages remain after {self.patience} rounds"
        return False

    def _read_log(self) -> tuple[dict[str, int], int]:
        """Add what is dirty to what is to be sent; returns the pages that each way has dirtied, and all together."""
        by: dict[str, int] = {}
        found = []
        for number, log in enumerate(self._logs):
            for way, pages in log.by.items():
                by[way] = by.get(way, 0) + len(pages)
            found += [(number, page) for page in log.take()]
        keys = sorted({*self._todo, *found})
        at = bisect_right(keys, self._last)            # as QEMU goes: on from the last page, and round (migration/ram.c, find_dirty_block)
        self._todo = keys[at:] + keys[:at]
        return by, len(found)

    def _send_pages(self) -> tuple[int, int]:
        """Send the next pages as they are now; returns how many, and how many of them were zeros."""
        keys, self._todo = self._todo[:BATCH], self._todo[BATCH:]
        self._last = keys[-1]
        data = [(key, page_of(self.machine, key)) for key in keys]
        there = [(key, page) for key, page in data if page is not None]      # what was taken from the guest is no page any more
        zeros = sum(page == ZEROS for _, page in there)
        self.report.page_bytes += self._send(Kind.PAGES, b"".join(wire.page_bytes(*key, page) for key, page in there))
        self.report.zero_pages += zeros
        return len(there), zeros

    def _send(self, kind: Kind, payload: bytes) -> int:
        """Send a record and return its bytes; the destination hears it at once, its time passes on the link."""
        record = self._writer.record(kind, payload)
        self.destination.receive(self.link.send(self._now, record))
        return len(record)

    def _let_run(self, until: int) -> None:
        """Let the guests run until then; if their programs have ended, time passes without them."""
        env = self.machine.host.env
        while env.now < until and self.run.step(until - env.now):
            self._hold_back()
        self._now = max(until, env.now)

    def _hold_back(self) -> None:
        """Let vCPUs stand still for their share of the time that they have run since we last looked."""
        if self.throttle is None or not self.throttle.percent:
            return
        percent = self.throttle.percent
        for each in self.machine.guests:
            for cpu in each.guest.vcpus:
                ran = cpu.now - self._ran.get(cpu, cpu.now)
                cpu.hold(max(0, ran) * percent // (100 - percent))
                self._ran[cpu] = cpu.now

    # The guest stands still.

    def _hand_over(self) -> None:
        report, machine = self.report, self.machine
        later = report.reason.startswith("post-copy")
        state = self._saved()
        report.stopped_ns, stopped = self._now, machine.host.env.now
        memory, disks = memory_digest(machine), disk_digests(machine)
        report.last_pages = len(self._todo)
        if later:
            self._send(Kind.MISSING, b"".join(wire.WORD.pack(wire.word(*key)) for key in self._todo))
        while self._todo and not later:
            self._send_pages()
        rest, model = split(state)
        report.state_bytes, report.model_bytes = self._send(Kind.STATE, rest), self._beside(Kind.MODEL, model)
        end = self._writer.end()
        self.destination.receive(self.link.send(self._now, end))
        rising = PostCopy(machine, self.destination, self.link, self._writer, report)
        run = self.destination.resume(rising.prepare)
        resumed = self.link.arrives_at
        report.downtime_ns, self.run = resumed - report.stopped_ns, run
        report.status, self._now = r.COMPLETED, resumed
        there = self.destination.machine
        if later:
            self._fetch(rising, resumed - stopped)
        report.disks = disks, disk_digests(there) if not later else disks
        report.memory = memory, self._arrived_digest() if later else memory_digest(there)

    def _saved(self) -> State:
        """The machine's state: at once, or a little later if something is under way that can't be saved, as a frame in a card."""
        for _ in range(TRIES):
            try:
                return self.machine.save()
            except CheckpointRefused:
                self._let_run(self._now + TRY_NS)
                self._read_log()
        return self.machine.save()

    def _beside(self, kind: Kind, payload: bytes) -> int:
        """Send what only a model has to send: the destination checks it like all else, and no time passes."""
        record = self._writer.record(kind, payload)
        self.destination.receive(record)
        return len(record)

    def _fetch(self, rising: PostCopy, offset: int) -> None:
        """Let the guests run at the destination until all pages are there."""
        env, report = self.destination.machine.host.env, self.report
        rising.resumed(offset)
        try:
            while (at := rising.push()) is not None:
                while env.now < at and self.run.step(at - env.now) and rising.lost is None:
                    pass
                rising.arrived(at)
                self._now = at + offset
                if rising.lost is not None:
                    break
            rising.arrived(self._now - offset)
        except Exception:
            if rising.lost is None:
                raise
        if rising.lost is not None:
            report.status, report.reason = r.LOST, f"{rising.lost}; the guest had left the source, and its pages had not: it is lost"
        rising.finish()

    def _arrived_digest(self) -> str:
        """The SHA-256 of the pages as they came."""
        digest = hashlib.sha256()
        for key in present(self.machine):
            digest.update(self.destination.pages.get(key, ZEROS))
        return digest.hexdigest()
