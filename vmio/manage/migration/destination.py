"""The host to which a guest moves: it takes the stream apart as it comes, and believes nothing before all of it has."""

from collections.abc import Callable
from typing import Any

from vmio.hypervisor.runs import Run
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.layout import ShortMessage
from vmio.machine.memory import PAGE
from vmio.manage.migration import wire
from vmio.manage.migration.state import Key, joined
from vmio.manage.migration.wire import Kind, Reader, StreamRefused

Prepare = Callable[[list[Key]], None]


class Destination:
    """`machine`, planned as the source's and switched on, that has run nothing; `programs` are the (guest, program) pairs.

    `pages` holds the RAM that has arrived.  `missing` are the pages that come later, if the guest is to run before all have.
    """

    def __init__(self, machine: Any, *programs: tuple, limit_ns: int | None = None) -> None:
        self.machine, self._programs, self._limit_ns = machine, programs, limit_ns
        self._reader = Reader()
        self.pages: dict[Key, bytes] = {}
        self.missing: list[Key] = []
        self._parts: dict[Kind, bytes] = {}
        self.complete = False

    def receive(self, data: bytes) -> None:
        """Take what the link has brought; `StreamRefused` says in one sentence why it can't be used."""
        for kind, payload in self._reader.records(data):
            if self.complete and kind is not Kind.PAGES:
                raise StreamRefused(f"migration: a record {kind.name} after the end")
            if (kind is Kind.HELLO) == (Kind.HELLO in self._parts):
                raise StreamRefused(f"migration: a record {kind.name} where {'one of the others' if kind is Kind.HELLO else 'HELLO'} belongs")
            if kind is Kind.HELLO:
                self._same_guests(wire.guests_of(payload))
            elif kind is Kind.PAGES:
                self._take_pages(payload)
            elif kind is Kind.ROUND:
                try:
                    wire.ROUND.parse(payload)
                except ShortMessage as short:
                    raise StreamRefused(f"migration: {short}") from None
            elif kind is Kind.MISSING:
                self.missing = [self._known(*key) for key in wire.missing_of(payload)]
            elif kind is Kind.END:
                if not {Kind.STATE, Kind.MODEL} <= self._parts.keys():
                    raise StreamRefused("migration: the end before the machine's state")
                self.complete = True
                continue
            self._parts[kind] = payload

    def resume(self, prepare: Prepare | None = None) -> Run:
        """Be the machine that has arrived, and return its run; `prepare(missing)` sees to the pages that come later.

        `StreamRefused` for a stream that has not ended, or a state that this machine can't have.
        """
        if not self.complete:
            raise StreamRefused("migration: the stream has not ended")
        for key in self.missing:
            self.pages.pop(key, None)
        state = joined(self._parts[Kind.STATE], self._parts[Kind.MODEL], self.pages)
        if self.missing and prepare is not None:
            prepare(self.missing)
        try:
            return self.machine.restore(state, *self._programs, limit_ns=self._limit_ns)
        except CheckpointRefused as refused:
            raise StreamRefused(f"migration: {refused}") from refused

    def _same_guests(self, sent: list[tuple[str, int]]) -> None:
        here = [(each.name, each.guest.ram) for each in self.machine.guests]
        if sent != here:
            raise StreamRefused(f"migration: guests {_names(sent)} were sent; this host has made room for {_names(here)}")

    def _take_pages(self, payload: bytes) -> None:
        for number, page, data in wire.pages_of(payload):
            self.pages[self._known(number, page)] = data

    def _known(self, number: int, page: int) -> Key:
        if number >= len(self.machine.guests) or page * PAGE >= self.machine.guests[number].guest.ram:
            raise StreamRefused(f"migration: page {page:#x} of guest {number} is none of this machine's")
        return number, page


def _names(guests: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({ram >> 20} MiB)" for name, ram in guests)
