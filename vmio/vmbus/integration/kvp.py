"""Keys and values: the host writes some for programs in the guest to read, and asks for those that the guest has.

In Linux the answers come from a program, hv_kvp_daemon, that reads /dev/vmbus/hv_kvp; until it runs, the service is not up.
Public sources: Linux drivers/hv/hv_kvp.c, include/uapi/linux/hyperv.h, tools/hv/hv_kvp_daemon.c.
"""

from collections.abc import Callable
from typing import TypeAlias

from vmio.machine.layout import ShortMessage
from vmio.vmbus.bus.messages import KVP_CLASS
from vmio.vmbus.integration import wire as w
from vmio.vmbus.integration.service import Answered, Service, nobody

Found: TypeAlias = Callable[[str, str], None]
Told: TypeAlias = Callable[[int], None] | None      # is told a status


class Kvp(Service):
    """Texts, in pools by number (`wire.POOLS`); ValueError for one that doesn't fit."""

    class_id, kind = KVP_CLASS, w.KVP
    versions = ((3, 0), (4, 0), (5, 0))

    def set(self, key: str, value: str, pool: int = w.EXTERNAL, answered: Told = None) -> bool:
        """Write a value; `answered(status)` when the guest has it.  False if nobody is there to be asked."""
        body = w.KVP_VALUE.pack(type=w.TEXT, **_text("key", key, w.KEY_BYTES), **_text("value", value, w.VALUE_BYTES))
        return self.ask(_message(w.SET, pool, body), _told(answered))

    def delete(self, key: str, pool: int = w.EXTERNAL, answered: Told = None) -> bool:
        """Take a value away; the rest as in `set`."""
        return self.ask(_message(w.DELETE, pool, w.KVP_KEY.pack(**_text("key", key, w.KEY_BYTES))), _told(answered))

    def enumerate(self, index: int, found: Found, none: Callable[[int], None] = lambda status: None, pool: int = w.AUTO) -> bool:
        """Ask for the pair number `index`: `found(key, value)`, or `none(status)`, S_CONT behind the last."""
        def answered(status: int, body: bytes) -> None:
            if status:
                none(status)
                return
            try:
                record = w.KVP_VALUE.parse(body, w.KVP_HEADER.size + w.KVP_INDEX.size)
                key, value = _said(record.key, record.key_size), _said(record.value, record.value_size)
            except (ShortMessage, UnicodeDecodeError):
                self.refused["no pair"] += 1
                none(w.E_FAIL)
                return
            found(key, value)
        return self.ask(_message(w.ENUMERATE, pool, w.KVP_INDEX.pack(index=index)), answered)


def _told(answered: Told) -> Answered:
    return nobody if answered is None else lambda status, body: answered(status)


def _message(operation: int, pool: int, body: bytes) -> bytes:
    return (w.KVP_HEADER.pack(operation=operation, pool=pool) + body).ljust(w.KVP_BYTES, b"\0")


def _text(name: str, text: str, room: int) -> dict[str, int | bytes]:
    """The two fields of a text: UTF-16 with a zero behind it, and how many bytes that is."""
    data = (text + "\0").encode("utf-16-le")
    if len(data) > room or "\0" in text or not text:
        raise ValueError(f"KVP {name} {text[:40]!r}: 1 to {room // 2 - 1} characters of UTF-16, none of them zero")
    return {name: data, f"{name}_size": len(data)}


def _said(data: bytes, size: int) -> str:
    """A text of the guest's, as far as it says and there is; up to its zero."""
    return data[:size].decode("utf-16-le").split("\0")[0]
