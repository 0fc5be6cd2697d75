"""The host's viewers in *Keep secrets*: four routes' places, both protections on or off; a hostile host; a key that is destroyed."""

from functools import lru_cache
from random import Random

from vmio.attacks.hostile_host import catalogue
from vmio.experiments import views
from vmio.experiments.views.result import PLACES, PROTECTION, VIEWERS, Seen, ViewsParams
from vmio.lab import charts
from vmio.lab.controls import choice
from vmio.lab.declared import declared
from vmio.lab.panel import Panel, Shown
from vmio.machine.crypto import luks
from vmio.machine.storage import SECTOR, Image
from vmio.table import number, table

SHORT = dict(zip(PLACES, ("disk", "wire", "rings", "bounce", "DMA log", "RAM")))
PASSPHRASE, ADMIN = b"correct horse", b"the administrator's"
PAYLOAD = 64            # sectors of the disk behind its header


@lru_cache(maxsize=32)
def seen(route: str, isolated: bool, protected: bool) -> Seen:
    """One letter by this route, and what each viewer finds of it."""
    return views.run(ViewsParams(route, isolated, protected))


def in_the_pool() -> int:
    """How many lines lie in the bounce pool of a guest whose memory is isolated, and whose disk nobody encrypts."""
    return seen("disk", True, False).hits["the bounce buffers"]


def views_table() -> str:
    """Lines that each viewer finds; "-" where a route has no such place."""
    rows = []
    for route in VIEWERS:
        for isolated in (False, True):
            for protected in (False, True):
                one = seen(route, isolated, protected)
                found = (one.views.get(place) for place in PLACES)
                rows.append((route, "yes" if isolated else "no", "yes" if protected else "no", *("-" if view is None else view.hits for view in found)))
    return table(rows, ("route", "isolated", "protected", *(SHORT[place] for place in PLACES)), "<<<>>>>>>")


@lru_cache(maxsize=1)
def hostile_table() -> str:
    """What a host's attacks on a guest's drivers come to, with drivers that check and with drivers that don't."""
    rows = catalogue.rows({id: catalogue.both(id) for id in catalogue.attacks()})
    return table([(row.attack.title, row.attack.device, row.on.verdict, row.off.verdict if row.off else "-") for row in rows],
                 ("what the host does", "on", "hardened", "trusting"), "<<<<")


@lru_cache(maxsize=1)
def destroyed() -> tuple[int, bool, bool, bool]:
    """(bytes that were overwritten, does either passphrase open the disk before, does one afterwards, has a sector of the disk itself changed)."""
    random, first = Random(17), 8 + 8 * 504
    image = Image(bytearray((first + PAYLOAD) * SECTOR))
    luks.create(image, random.randbytes(64), {0: PASSPHRASE, 1: ADMIN}, random)
    luks.unlock(image, PASSPHRASE).write(0, b"the letter".ljust(SECTOR))
    before, disk = _opens(image), bytes(image.read(first, PAYLOAD))
    luks.destroy(image, random)
    return 2 * 500 * SECTOR, before, _opens(image), bytes(image.read(first, PAYLOAD)) != disk


def _opens(image: Image) -> bool:
    """Does one of the passphrases open it?"""
    for passphrase in (PASSPHRASE, ADMIN):
        try:
            luks.unlock(image, passphrase)
        except luks.WrongPassphrase:
            continue
        return True
    return False


# The panel.

def _model(route: str, isolated: bool, protected: bool, place: str) -> tuple[Seen, str]:
    return seen(route, isolated, protected), place


def _view(answer: tuple[Seen, str]) -> Shown:
    one, place = answer
    asked, view = one.params, one.views.get(place)
    yes = {True: "yes", False: "no"}
    text = [f"route: {asked.route}", f"memory isolated: {yes[asked.isolated]}", f"{PROTECTION[asked.route]}: {yes[asked.protected]}",
            f"a letter of {number(one.lines)} lines, {'arrived whole' if one.intact else 'damaged'}", "",
            f"{'the host looks at':<23}{'lines':>7}{'entropy':>8}"]
    for name, each in one.views.items():
        text.append(f"  {name:<21}" + ("  nothing here" if each is None else f"{number(each.hits):>7}{number(round(each.entropy, 2)):>8}"))
    text += ["", f"exits                    {number(one.exits):>12}", f"bytes bounced            {number(one.bounced):>12}",
             f"us of encryption         {number(one.crypt_ns / 1000):>12}", "", f"{place}, as the host reads it:"]
    text += ["  nothing to look at on this way"] if view is None else view.dump(4).splitlines()
    there = {SHORT[name]: each for name, each in one.views.items() if each is not None}
    return "\n".join(text), [
        charts.bars("Lines that each viewer finds", {name: each.hits for name, each in there.items()}, "lines"),
        charts.bars("Entropy of what it holds", {name: round(each.entropy, 2) for name, each in there.items()}, "bits a byte", color="dma")]


def _idle(route: str, isolated: bool, **others: object) -> dict[str, str]:
    return {"protected": "the host reads all memory, also where a bound device fetches"} if route == "device" and not isolated else {}


def views_panel() -> Panel:
    """One letter by one route; is the guest's memory isolated, is the route protected; and which viewer's bytes are shown."""
    return Panel(_model, [
        declared(ViewsParams, "route", "Route"),
        declared(ViewsParams, "isolated", "Memory isolated"),
        declared(ViewsParams, "protected", "Route protected"),
        choice("place", PLACES, PLACES[0], label="Look at")], _view, name="keep_secrets views", idle=_idle)
