"""A checkpoint in a file: one line that says what follows, then plain data as JSON.

    vmio checkpoint 1 <bytes that follow> <their SHA-256>
    {...}

The file is written whole or not at all, and nothing in it is believed before all of it is known to be what was written.
"""

import hashlib
import os

from vmio.machine import files
from vmio.machine.checkpoint import CheckpointRefused, State, from_json, to_json
from vmio.machine.contracts import FileName, Inputs

NAME, FORMAT = "vmio checkpoint", 1
HEADER_BYTES = 128      # of the first line, at most


def write(path: FileName, state: State, inputs: Inputs | None = None) -> None:
    """Write a machine's state; ValueError or OSError, as for every output, leaves the file that was there as it was."""
    body = to_json(state).encode()
    with files.Output(path, inputs) as out:
        out.write(_header(body))
        out.write(body)


def read(path: FileName) -> State:
    """Return the state in a file; `CheckpointRefused` says in one sentence why it is none, or not the one that was written."""
    name = os.fsdecode(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise CheckpointRefused(f"checkpoint {name}: it can't be read: {error.strerror}") from None
    first, _, body = data.partition(b"\n")
    words = first[:HEADER_BYTES].decode("ascii", "replace").split(" ")
    if " ".join(words[:2]) != NAME or len(words) != 5:
        raise CheckpointRefused(f"checkpoint {name}: it is none; its first line is not that of a checkpoint of vmio")
    if words[2] != str(FORMAT):
        raise CheckpointRefused(f"checkpoint {name}: format {words[2]!r}; format {FORMAT} can be read")
    if words[3] != str(len(body)):
        raise CheckpointRefused(f"checkpoint {name}: {len(body):,} bytes of state, where its first line says {words[3]!r}; "
                                "it is not whole, or was added to")
    if first + b"\n" != _header(body):
        raise CheckpointRefused(f"checkpoint {name}: its content is not what was written; it has been altered")
    try:
        state = from_json(body.decode())
    except (ValueError, TypeError, RecursionError):
        raise CheckpointRefused(f"checkpoint {name}: what was written is no plain data") from None
    if not isinstance(state, dict):
        raise CheckpointRefused(f"checkpoint {name}: a {type(state).__name__} was written, where a machine's state belongs")
    return state


def _header(body: bytes) -> bytes:
    return f"{NAME} {FORMAT} {len(body)} {hashlib.sha256(body).hexdigest()}\n".encode()
