"""A machine's checkpoint in the parts in which it moves: guests' RAM by pages, the rest as state, and what only a model has to send.

Two things are in a checkpoint here that no host would send.  A program's answers stand for a processor's registers, and grow with
the past (docs/checkpoint.md).  And the sectors that were written lie on a storage that both hosts see, as for Hyper-V with
SMB or a cluster's volumes.  Both go in a record of their own, which is checked like all others but takes no time on the link.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from vmio.machine.checkpoint import CheckpointRefused, State, from_json, to_json
from vmio.machine.memory import PAGE
from vmio.manage.migration.wire import ZEROS, StreamRefused

Key = tuple[int, int]         # (guest, page)


def present(machine: Any) -> list[Key]:
    """Return all pages of RAM that the guests have, in order."""
    return [(number, page) for number, each in enumerate(machine.guests)
            for gpa, _, length in each.guest.backing.runs() for page in range(gpa // PAGE, (gpa + length) // PAGE)]


def page_of(machine: Any, key: Key) -> bytes | None:
    """Return what is in a page now, or None if it was taken away from its guest."""
    guest = machine.guests[key[0]].guest
    spa = guest.backing.spa(key[1] * PAGE)
    return None if spa is None else guest.host.memory.bytes[spa:spa + PAGE]


def memory_digest(machine: Any) -> str:
    """Return the SHA-256 of all guests' RAM, page after page."""
    digest = hashlib.sha256()
    for key in present(machine):
        digest.update(page_of(machine, key) or b"")
    return digest.hexdigest()


def disk_digests(machine: Any) -> list[str]:
    """Return the SHA-256 of each disk of the guests, all its sectors."""
    found = []
    for guest in machine.guests:
        for medium in guest.media:
            if medium is not None:
                digest = hashlib.sha256()
                for lba in range(0, medium.sectors, 256):
                    digest.update(medium.read(lba, min(256, medium.sectors - lba)))
                found.append(digest.hexdigest())
    return found


def split(state: State) -> tuple[bytes, bytes]:
    """Return the bytes of a STATE and of a MODEL record of this checkpoint."""
    rest = dict(state, host=dict(state["host"], memory=dict(state["host"]["memory"])), run=dict(state["run"]))
    rest["host"]["memory"]["runs"] = list(_without(state["host"]["memory"]["runs"], _ram(state)))
    model = {"answers": rest["run"].pop("answers"), "media": [each["media"] for each in state["guests"]]}
    rest["guests"] = [{name: part for name, part in each.items() if name != "media"} for each in state["guests"]]
    return zlib.compress(to_json(rest).encode(), 1), to_json(model).encode()


def joined(rest: bytes, model: bytes, pages: dict[Key, bytes]) -> State:
    """Return the checkpoint that `split` took apart, with these pages as RAM; `StreamRefused` for what is none."""
    try:
        state, more = from_json(zlib.decompress(rest).decode()), from_json(model.decode())
        state["run"]["answers"] = more["answers"]
        for each, media in zip(state["guests"], more["media"], strict=True):
            each["media"] = media
        runs = state["host"]["memory"]["runs"]
        for number, each in enumerate(state["guests"]):
            for gpa, spa, length in each["guest"]["backing"]["runs"]:
                for at in range(0, length, PAGE):
                    data = pages.get((number, (gpa + at) // PAGE), ZEROS)
                    if data != ZEROS:
                        runs.append([spa + at, data])
    except CheckpointRefused:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error, json.JSONDecodeError):
        raise StreamRefused("migration: what arrived as a machine's state is none") from None
    return state


def _ram(state: State) -> list[tuple[int, int]]:
    """(SPA, end) of the guests' RAM, in order."""
    return sorted((spa, spa + length) for each in state["guests"] for _, spa, length in each["guest"]["backing"]["runs"])


def _without(runs: Iterable[Any], gaps: list[tuple[int, int]]) -> Iterator[list]:
    """What of [SPA, bytes] runs lies outside of `gaps`."""
    for spa, data in runs:
        at, end = spa, spa + len(data)
        for low, high in gaps:
            if high <= at or low >= end:
                continue
            if at < low:
                yield [at, data[at - spa:low - spa]]
            at = min(high, end)
        if at < end:
            yield [at, data[at - spa:]]
