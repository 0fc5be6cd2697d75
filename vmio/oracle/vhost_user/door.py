"""What `vmio vhost-user` does: a disk's image as a back end at a Unix socket, for one front end after the other."""

import json
import os
import socket
import sys
from contextlib import suppress

from vmio import console
from vmio.machine.contracts import FileName, Json
from vmio.machine.media.medium import Medium
from vmio.machine.storage import Image
from vmio.oracle.unixsocket import connections
from vmio.oracle.vhost_user.served.disk import Disk
from vmio.oracle.vhost_user.session import Session
from vmio.oracle.vhost_user.wire import MAX_QUEUES

COUNTS = ("requests", "kicks", "calls")


def main(path: str, image: FileName, readonly: bool = False, queues: int = 1, once: bool = False, as_json: bool = False) -> None:
    """Serve the disk `image` at the socket `path`; ValueError for what can't be served."""
    if not 1 <= queues <= MAX_QUEUES:
        raise ValueError(f"--queues {queues}: 1 to {MAX_QUEUES}")
    with _opened(image, readonly) as medium, connections(path) as peers:
        gone: list[Json] = []
        try:
            for peer in peers:
                with peer:
                    gone.append(_serve(peer, Disk(medium, queues, readonly, _tell), len(gone) + 1))
                if not as_json:
                    console.say(sentence(gone[-1]))
                if once:
                    break
        finally:
            if as_json:
                console.say(json.dumps({"schema": "vmio.vhost-user/1", "image": os.fsdecode(image), "readonly": readonly, "front_ends": gone}))


def _opened(image: FileName, readonly: bool) -> Medium:
    """The image.  ValueError for what can't be written, unless nothing is to be."""
    try:
        return Image.open(image, writable=not readonly)
    except ValueError as error:
        if readonly:
            raise
        raise ValueError(f"{error} (or serve it with --readonly)") from None


def _serve(peer: socket.socket, disk: Disk, number: int) -> Json:
    """Serve one front end to its end, and return what was counted; what it wrote is on the image then."""
    session = Session(peer, disk, lambda what: _tell(f"front end {number}: {what}"))
    try:
        session.run()
    finally:
        disk.store.medium.flush()
    return {"messages": session.messages,
            "rings": [{"requests": ring.requests, "kicks": ring.kicks, "calls": ring.calls} for ring in session.rings],
            "read_bytes": disk.store.read_bytes, "written_bytes": disk.store.written_bytes, "flushes": disk.store.flushes, "errors": disk.failures}


def sentence(counts: Json) -> str:
    """Return what one front end did, on a line."""
    total = {name: sum(ring[name] for ring in counts["rings"]) for name in COUNTS}
    return (f"front end gone: {counts['messages']} messages, {total['requests']:,} requests, {total['kicks']:,} kicks, {total['calls']:,} calls, "
            f"{counts['read_bytes']:,} bytes read, {counts['written_bytes']:,} written, {counts['flushes']:,} flushes, {counts['errors']:,} errors")


def _tell(what: str) -> None:
    """Say what is wrong on standard error; where nobody reads it, it is not said."""
    with suppress(OSError):
        print(f"vmio vhost-user: {console.one_line(what)}", file=sys.stderr, flush=True)
