"""What `vmio vhost-user` does: a disk's image, or a network card, as a back end at a Unix socket, for one front end after the other."""

import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress

from vmio import console
from vmio.machine.contracts import FileName, Json
from vmio.machine.media.medium import Medium
from vmio.machine.storage import Image
from vmio.oracle.unixsocket import connections
from vmio.oracle.vhost_user.served.card import Card
from vmio.oracle.vhost_user.served.disk import Disk
from vmio.oracle.vhost_user.session import Session
from vmio.oracle.vhost_user.wire import MAX_QUEUES

COUNTS = ("requests", "kicks", "calls")


def main(path: str, image: FileName | None, readonly: bool = False, queues: int = 1, once: bool = False, as_json: bool = False) -> None:
    """Serve the disk `image`, or a network card where it is None, at the socket `path`; ValueError for what can't be served."""
    if not 1 <= queues <= MAX_QUEUES:
        raise ValueError(f"--queues {queues}: 1 to {MAX_QUEUES}")
    if image is None and (readonly or queues > 1):
        raise ValueError("--net: a network card has two rings and nothing that is only read; --queues and --readonly are for --image")
    with ExitStack() as stack:
        medium = None if image is None else stack.enter_context(_opened(image, readonly))
        peers = stack.enter_context(connections(path))
        gone: list[Json] = []
        served = {"net": True} if image is None else {"image": os.fsdecode(image), "readonly": readonly}
        try:
            for peer in peers:
                with peer:
                    say = _teller(len(gone) + 1)
                    gone.append(_serve_card(peer, say) if medium is None else _serve_disk(peer, Disk(medium, queues, readonly, tell), say))
                if not as_json:
                    console.say(sentence(gone[-1]))
                if once:
                    break
        finally:
            if as_json:
                console.say(json.dumps({"schema": "vmio.vhost-user/1", **served, "front_ends": gone}))


def _opened(image: FileName, readonly: bool) -> Medium:
    """The image.  ValueError for what can't be written, unless nothing is to be."""
    try:
        return Image.open(image, writable=not readonly)
    except ValueError as error:
        if readonly:
            raise
        raise ValueError(f"{error} (or serve it with --readonly)") from None


def _serve_disk(peer: socket.socket, disk: Disk, say: Callable[[str], None]) -> Json:
    """Serve one front end to its end, and return what was counted; what it wrote is on the image then."""
    session = Session(peer, disk, say)
    try:
        session.run()
    finally:
        disk.store.medium.flush()
    store = disk.store
    return {**_counted(session), "read_bytes": store.read_bytes, "written_bytes": store.written_bytes, "flushes": store.flushes, "errors": disk.failures}


def _serve_card(peer: socket.socket, say: Callable[[str], None]) -> Json:
    """Serve one front end to its end, and return what was counted: frames to its guest and from it, lost ones, and answers of the station behind."""
    card = Card()
    session = Session(peer, card, say)
    session.run()
    return {**_counted(session), "frames_in": card.frames_in, "frames_out": card.frames_out, "dropped": card.dropped, "answered": card.peer.answered}


def _counted(session: Session) -> Json:
    """What a front end of any device did, and what its requests took of our processor."""
    rings = [{"requests": ring.requests, "kicks": ring.kicks, "calls": ring.calls} for ring in session.rings]
    served = sum(ring.requests for ring in session.rings)
    return {"messages": session.messages, "rings": rings, "own_ns_per_request": round(session.own_ns / served) if served else 0}


def sentence(counts: Json) -> str:
    """Return what one front end did, on a line."""
    total = {name: sum(ring[name] for ring in counts["rings"]) for name in COUNTS}
    text = f"front end gone: {counts['messages']} messages, {total['requests']:,} requests, {total['kicks']:,} kicks, {total['calls']:,} calls, "
    if "answered" in counts:
        answers = ", ".join(f"{number:,} {kind}" for kind, number in counts["answered"].items())
        text += f"{counts['frames_out']:,} frames out, {counts['frames_in']:,} in, {counts['dropped']:,} dropped, answered: {answers}"
    else:
        text += f"{counts['read_bytes']:,} bytes read, {counts['written_bytes']:,} written, {counts['flushes']:,} flushes, {counts['errors']:,} errors"
    return text + f"; {counts['own_ns_per_request'] / 1000:,.1f} microseconds of our processor a request"


def _teller(number: int) -> Callable[[str], None]:
    """Who says what is wrong with front end `number`."""
    return lambda what: tell(f"front end {number}: {what}")


def tell(what: str) -> None:
    """Say what is wrong on standard error; where nobody reads it, it is not said."""
    with suppress(OSError):
        print(f"vmio vhost-user: {console.one_line(what)}", file=sys.stderr, flush=True)
