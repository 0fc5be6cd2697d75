"""A map of who may be reached: a hostile guest and its doors, the wall in its way, all that is not its own, and an attack as an arrow.

It takes plain data (`attack_map`) and knows no attack.  Nothing is said by colour
alone: what was harmed has a cross, a word and corners cut off; a wall that isn't
there is dashed and says so.  All of it is in the page as text (and in `text`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row

WAYS = ("stopped", "through", "nowhere", "waiting")     # before the wall; past it; past it, and nothing was reached; not known yet
WALLS = ("up", "off")


def attack_map(title: str, doors: Sequence[str], door: str, wall: str, check: tuple[str, str], wall_is: str, way: str, end: str,
               places: Mapping[str, Mapping[str, str]], harmed: Sequence[tuple[str, str]], aims: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return a map as plain data.

    The guest goes by `door`, one of `doors`.  The wall is `check` (function, file).  `wall_is` one of WALLS, `way` one of WAYS, `end` says in words what
    came of it.  `places` {whose: {what: state in words}}; `harmed` and `aims` name (whose, what) of those that were
    reached, and of those that would be without the wall.  Raises ValueError for what is on no map.
    """
    for name, value, allowed in (("door", door, doors), ("wall_is", wall_is, WALLS), ("way", way, WAYS)):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
    for whose, what in (*harmed, *aims):
        if what not in places.get(whose, ()):
            raise ValueError(f"place {(whose, what)} is on no map")
    return {"title": title, "doors": list(doors), "door": door, "wall": wall, "check": check[0], "file": check[1], "wallIs": wall_is, "way": way, "end": end, "guests": [
        {"name": whose, "places": [{"name": what, "state": state, "harmed": (whose, what) in harmed, "aim": (whose, what) in aims}
                                   for what, state in found.items()]} for whose, found in places.items()]}


def describe(drawn: Mapping[str, Any]) -> str:
    """The map in words."""
    found = [f"{guest['name']}: " + ", ".join(f"{one['name']} {one['state']}{' (harmed)' * one['harmed']}" for one in guest["places"])
             for guest in drawn["guests"]]
    aims = [f"{guest['name']}'s {one['name']}" for guest in drawn["guests"] for one in guest["places"] if one["aim"]]
    return (f"{drawn['title']}. The hostile guest goes by its {drawn['door']}. The wall: {drawn['wall']}, {drawn['wallIs']}, "
            f"which is {drawn['check']} in {drawn['file']}. "
            f"The arrow: {drawn['way']}, {drawn['end']}. It aims at: {' and '.join(aims) or 'not known yet'}. {'. '.join(found)}.")


class IsolationView(anywidget.AnyWidget):
    """`drawn` (made by `attack_map`), and beside it `code`: the attack's own lines."""

    _esm = Path(__file__).parent / "static" / "isolation_view.js"

    drawn = traitlets.Dict().tag(sync=True)
    code = traitlets.List(traitlets.Unicode()).tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)

    @property
    def lines(self) -> list[str]:
        """What stands beside the map."""
        return self.code

    def rows(self) -> list[Row]:
        """Return a row for the wall, one for the arrow, and one for each place: its state in words, 1 if it was harmed, else 0."""
        if not self.drawn:
            return []
        return [Row("map", "wall", self.drawn["wall"], value=self.drawn["wallIs"], unit="up or off"),
                Row("map", "wall", self.drawn["check"], value=self.drawn["file"], unit="the function's file"),
                Row("map", "arrow", self.drawn["end"], value=self.drawn["way"], unit="how far it came"),
                *(Row("map", guest["name"], f"{place['name']}: {place['state']}", value=int(place["harmed"]), unit="harmed")
                  for guest in self.drawn["guests"] for place in guest["places"])]

    @traitlets.observe("drawn")
    def _describe(self, change: Any) -> None:
        self.text = describe(self.drawn)

    def __repr__(self) -> str:
        return f"IsolationView({self.drawn.get('title', '')!r})"
