"""A Unix socket by its path: connect if somebody listens there, else listen and take the first client, or one after the other."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vmio.machine import files


@contextmanager
def connection(path: str) -> Iterator[socket.socket]:
    """`with connection(path) as peer`: the connected socket.

    Only a socket that refuses connections is replaced, for who made it has gone; one
    that we made is removed at the end, if it is still ours.  ValueError, with the
    reason, for any other file and where no socket can be.
    """
    with _socket(path) as (ours, listens):
        peer = ours
        if listens:
            peer = ours.accept()[0]
            # Whoever comes now is refused.  The socket stays open: nobody else's can get its inode number.
            with suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)
        with peer:
            yield peer


@contextmanager
def connections(path: str) -> Iterator[Iterator[socket.socket]]:
    """`with connections(path) as peers`: the same for one client after the other; where somebody listens already there is this one."""
    with _socket(path) as (ours, listens):
        yield _peers(ours) if listens else iter((ours,))


def _peers(ours: socket.socket) -> Iterator[socket.socket]:
    while True:
        yield ours.accept()[0]


@contextmanager
def _socket(path: str) -> Iterator[tuple[socket.socket, bool]]:
    """(the socket at `path`, whether it listens): connected if somebody listened there."""
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError(f"socket {path}: this system's Python has no Unix sockets")
    real = os.path.realpath(path) if os.path.islink(path) else path    # a path may have no more than 107 bytes: not made longer
    with socket.socket(socket.AF_UNIX) as ours:
        made = None
        try:
            listens = not _somebody_listens(ours, path, real)
            if listens:
                with _told(path):
                    ours.bind(real)
                    made = os.stat(real)
                    ours.listen(1)
            yield ours, listens
        finally:
            if made is not None:
                with suppress(OSError):
                    if os.path.samestat(os.lstat(real), made):
                        os.unlink(real)


def _somebody_listens(client: socket.socket, path: str, real: str) -> bool:
    """Connect `client` to the socket at `real`, or make sure that there is nothing."""
    with _told(path):
        try:
            found = os.stat(real)
        except FileNotFoundError:
            return False
        if not stat.S_ISSOCK(found.st_mode):
            raise ValueError(f"socket {path}: it is {files.kind_of(found) or 'an ordinary file'}; "
                             f"only a socket that nobody serves is replaced")
        try:
            client.connect(real)
            return True
        except ConnectionRefusedError:
            if os.path.samestat(os.lstat(real), found):
                os.unlink(real)      # left behind by an earlier server
            return False


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Put the path into an OSError."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"socket {path}: {error.strerror or error}") from error
