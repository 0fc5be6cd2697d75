"""Tables and panel of *Keep secrets*: what the host finds of a guest's letter."""

from collections import Counter
from functools import lru_cache
from math import log2

from vmio.experiments import secrets
from vmio.experiments.secrets import DEVICE, DISK, MODES, RAM, RINGS, WHO, Found, SecretsParams
from vmio.lab import axes, charts
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.lessons.keep_secrets.changes import changes_panel, flipped, tampering_table, way_table
from vmio.lessons.keep_secrets.views import destroyed, hostile_table, in_the_pool, views_panel, views_table
from vmio.table import number, table

__all__ = ["changes_panel", "destroyed", "flipped", "hostile_table", "in_the_pool", "tampering_table", "views_panel", "views_table", "way_table"]
PLACES = {DISK: "on the disk", DEVICE: "in the device's hands", RINGS: "in the rings", RAM: "in the guest's RAM"}
BY = {"nobody": "encrypted by nobody", "host": "encrypted by the host", "guest": "encrypted by the guest"}


@lru_cache(maxsize=256)
def found(mode: str = "split", encrypt: str = "nobody", length: int = 8192, keep: bool = True) -> Found:
    """One letter, written and read back, and what was found of it; the host does not encrypt what is passed through."""
    if mode == "passthrough" and encrypt == "host":
        encrypt = "nobody"
    return secrets.run(SecretsParams(mode, encrypt, bytes=length, keep=keep))


def in_the_rings() -> int:
    """How many lines are in the rings, with nobody encrypting."""
    return found().hits[RINGS]


def in_ram(lines: int = 128) -> int:
    """How many lines are in the guest's RAM, with the guest encrypting its disk."""
    return found("split", "guest", lines * secrets.LINE).hits[RAM]


def entropy(data: bytes) -> float:
    """Return how many bits of surprise a byte of the data has: 0 if all are equal, 8 if all values are equally frequent (C. E. Shannon, 1948)."""
    return -sum(count / len(data) * log2(count / len(data)) for count in Counter(data).values()) + 0.0


def places_table() -> str:
    """Lines of the letter that were found in each place, for each mode, and who encrypts."""
    rows = []
    for mode in MODES:
        for encrypt in WHO:
            if (mode, encrypt) != ("passthrough", "host"):
                one = found(mode, encrypt)
                rows.append((mode, encrypt, *(one.hits.get(place) for place in PLACES), one.exits, one.crypt_ns / 1000))
    return table(rows, ("mode", "encrypts", *PLACES, "exits", "us of encryption"), "<<>>>>>>")


def looks(encrypt: str, length: int = 64) -> str:
    """The first bytes of the letter as they lie on the disk, as the host's administrator sees them."""
    data = found("split", encrypt).disk[:length]
    return "\n".join(f"{at:04x}  {row.hex(' ')}  {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}"
                     for at, row in ((at, data[at:at + 16]) for at in range(0, length, 16)))


def forgotten_table() -> str:
    """What stays in RAM, with the letter kept there and overwritten."""
    rows = [(encrypt, found("split", encrypt).hits[RAM], found("split", encrypt, keep=False).hits[RAM]) for encrypt in WHO]
    return table(rows, ("encrypts", "kept in RAM", "overwritten"), "<>>")


# The panel.

def _model(mode: str, encrypt: str, bytes: int, keep: bool) -> tuple[str, Found]:
    return encrypt, found(mode, encrypt, bytes, keep)


def _view(ran: tuple[str, Found]) -> Shown:
    encrypt, one = ran
    by = BY[encrypt] if encrypt == one.params.encrypt else "the host has no hand in this disk"
    text = "\n".join([
        f"{one.params.mode}: {by}", f"a letter of {number(one.lines)} lines", "", "lines that the host finds",
        *(f"  {words:<23}{number(one.hits[place]):>8}" for place, words in PLACES.items() if place in one.hits), "",
        f"exits                    {number(one.exits):>8}", f"us in all                {number(one.ns / 1000):>8}",
        f"us of encryption         {number(one.crypt_ns / 1000):>8}", f"entropy, bits a byte     {number(round(entropy(one.disk), 2)):>8}"])
    counts = Counter(one.disk)
    values = [counts[byte] for byte in range(256)]
    shown = charts.lines("Bytes on the disk", {"bytes": (list(range(256)), values)}, axes.linear("value of the byte", (), top=255),
                         axes.linear("how often", values), step=True)
    return text, [charts.bars("Lines that the host finds", {place: one.hits[place] for place in PLACES if place in one.hits}, "lines"), shown]


def panel() -> Panel:
    """One letter: in which mode, who encrypts, how long it is, whether it stays in RAM."""
    return Panel(_model, [
        declared(SecretsParams, "mode", "Mode"),
        declared(SecretsParams, "encrypt", "Encrypted by"),
        declared(SecretsParams, "bytes", "Bytes", high=32768),
        declared(SecretsParams, "keep", "Letter stays in RAM")], _view, name="keep_secrets")
