"""A recording of what a front end has said: a line of JSON for each message, and for some of the requests (data/README.md has its form).

A message has "msg" (its name), "flags", "size", "fds" and what its payload said; a disk's request has "req" (its number, from 1) and "kind",
"sector", "lens", "status", "used_len"; a frame that was sent has "tx" and "lens", "hdr", "frame"; a kick has "kick"; the last line has "end".
"""

import json
from pathlib import Path
from typing import NamedTuple

from vmio.machine.contracts import Json
from vmio.oracle.vhost_user import wire
from vmio.oracle.vhost_user.wire import Request

DISK, CARD = "disk", "network card"
SIGNALS = {"SET_VRING_KICK": "kick", "SET_VRING_CALL": "call", "SET_VRING_ERR": "err"}
_STATES = ("SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ENABLE")


class Recording(NamedTuple):
    """`rows` are its lines; `name` is its file's."""

    name: str
    rows: list[Json]

    @property
    def kind(self) -> str:
        """What was served: a disk is asked for its configuration."""
        return DISK if any(row.get("msg") == "GET_CONFIG" or "req" in row for row in self.rows) else CARD

    @property
    def rings(self) -> int:
        """How many rings it speaks of."""
        return 1 + max((row.get("index", 0) for row in self.rows), default=0)


def read(path: Path) -> Recording:
    """Return the recording in a file.  ValueError for a file that holds none."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"recording {path}: line {number} is no JSON object")
        rows.append(row)
    if not any("msg" in row for row in rows):
        raise ValueError(f"recording {path}: no line of it has a message (\"msg\") of vhost-user")
    return Recording(path.stem, rows)


def payload(row: Json, user: int) -> bytes:
    """Return the bytes of a message whose memory lies at the front end's address `user`.  ValueError if the line doesn't tell them."""
    name, index = row["msg"], row.get("index", 0)
    try:
        if name == "SET_MEM_TABLE":
            regions = [wire.REGION.pack(guest=_number(one["gpa"]), size=_number(one["size"]), user=user + _number(one["gpa"]), offset=_number(one["offset"]))
                       for one in row["regions"]]
            data = wire.TABLE.pack(count=len(regions), padding=0) + b"".join(regions)
        elif name in _STATES or name == "GET_VRING_BASE":
            data = wire.STATE.pack(index=index, num=row["value"] if name in _STATES else 0)
        elif name in SIGNALS:
            data = wire.NUMBER.pack(value=index | (0 if row["fds"] else wire.NO_DESCRIPTOR))
        elif name == "GET_CONFIG":
            data = wire.CONFIG.pack(offset=row["offset"], size=row["length"], flags=0, payload=bytes(row["length"]))
        else:
            data = wire.NUMBER.pack(value=_number(row["value"])) if "value" in row else b""
    except (KeyError, TypeError, ValueError):
        data = b""
    if len(data) != row["size"] or name not in Request.__members__:
        raise ValueError(f"message {name} has {row['size']} bytes, and the recording doesn't tell what they say")
    return data


def _number(text: str | int) -> int:
    return int(text, 16) if isinstance(text, str) else text
