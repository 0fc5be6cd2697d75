"""Messages of the bridge out of a stream of bytes and into it, each looked at before anything of it is believed.

    reader = MessageReader()
    for message in reader.feed(data):        Message(type, id, body), body a dict
    frame(Kind.REQUEST | Rpc.START, 7, {"ContainerId": "a"})

A stream in which one message was wrong has no next one: `BridgeBroken`, with one sentence, and who reads it ends the connection.
JSON of a peer may be as deep as it is long, and have numbers of any length: both are bounded before a parser sees them.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from vmio.machine.contracts import Buffer, Json
from vmio.vmbus.gcs.wire import HEADER, MAX_MESSAGE, TYPES

MAX_DEPTH = 16          # brackets within brackets; an honest message has six
MAX_NUMBER = 32         # digits in a row, outside of strings


class BridgeBroken(Exception):
    """The other side has sent what nobody who speaks this protocol sends."""


class Message(NamedTuple):
    """One message: its type, the request's id, its body, and how many bytes it had."""

    type: int
    id: int
    body: Json
    bytes: int


class MessageReader:
    """`left` is how many bytes of a message that is not whole have come: a header and 64 KiB at most."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def left(self) -> int:
        """Bytes of a message whose rest is still to come."""
        return len(self._bytes)

    def feed(self, data: Buffer) -> Iterator[Message]:
        """Take more bytes, and yield each message that is whole now; `BridgeBroken`."""
        self._bytes += data
        while len(self._bytes) >= HEADER.size:
            kind, size, number = HEADER.struct.unpack_from(self._bytes)
            if not HEADER.size <= size <= MAX_MESSAGE:
                raise BridgeBroken(f"GCS: a message of {size:,} bytes; {HEADER.size} to {MAX_MESSAGE:,}")
            if kind not in TYPES:
                raise BridgeBroken(f"GCS: a message of type {kind:#010x}, which there is not")
            if len(self._bytes) < size:
                return
            body = bytes(self._bytes[HEADER.size:size])
            del self._bytes[:size]
            yield Message(kind, number, parse(body), size)


def parse(body: bytes) -> Json:
    """Return the JSON object that `body` holds; `BridgeBroken` if it is none, too deep, or has a number of any length."""
    _measure(body)
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BridgeBroken(f"GCS: no JSON in a message: {error}") from None
    if not isinstance(found, dict):
        raise BridgeBroken(f"GCS: JSON that is a {type(found).__name__}; an object is due")
    return found


def frame(kind: int, number: int, body: Json) -> bytes:
    """Return a whole message.  ValueError for more than 64 KiB."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    if HEADER.size + len(text) > MAX_MESSAGE:
        raise ValueError(f"GCS: a message of {HEADER.size + len(text):,} bytes; at most {MAX_MESSAGE:,}")
    return HEADER.pack(type=kind, size=HEADER.size + len(text), id=number) + text


def _measure(body: bytes) -> None:
    """Count brackets and digits outside of strings, in one pass and without recursion."""
    depth = digits = 0
    quoted = escaped = False
    for byte in body:
        if quoted:
            quoted, escaped = escaped or byte != 0x22, byte == 0x5C and not escaped
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
        elif byte in b"]}":
            depth -= 1
        digits = digits + 1 if not quoted and 0x30 <= byte <= 0x39 else 0
        if depth > MAX_DEPTH:
            raise BridgeBroken(f"GCS: JSON deeper than {MAX_DEPTH} brackets")
        if digits > MAX_NUMBER:
            raise BridgeBroken(f"GCS: a number of more than {MAX_NUMBER} digits in JSON")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON's")
