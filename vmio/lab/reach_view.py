"""Who can be reached, and in which way: a row for each thing, a column for each way, in the field a sign for each attempt that aims there.

It takes plain data (`reach_map`) and knows no attack.  An attempt that came there is a
cross, one that was held off a ring; nothing is said by colour alone.  All of it is in the page as text (and in `text`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row

Field = Mapping[str, str]       # {attempt: how it came there, "" if it was held off}


def reach_map(title: str, ways: Sequence[str], fields: Mapping[tuple[str, str], Mapping[str, Field]], here: tuple[str, str]) -> dict[str, Any]:
    """Return the drawing as plain data.

    `fields` {(whose, what): {way: {attempt: how}}}, in the order of the rows; a way that
    is missing has an empty field.  `here` is the row that is looked at.  ValueError for a
    way that is no column, or a row that isn't there.
    """
    strangers = {way for row in fields.values() for way in row} - set(ways)
    if strangers:
        raise ValueError(f"way {sorted(strangers)[0]!r} is no column; there are {', '.join(ways)}")
    if here not in fields:
        raise ValueError(f"row {here} is not there; there are {', '.join(map(str, fields))}")
    owners = dict.fromkeys(whose for whose, _ in fields)
    return {"title": title, "ways": list(ways), "guests": [{"name": owner, "places": [
        {"name": what, "here": (whose, what) == here, "fields": [[{"id": id, "how": how} for id, how in row.get(way, {}).items()] for way in ways]}
        for (whose, what), row in fields.items() if whose == owner]} for owner in owners]}


def counted(field: Sequence[Mapping[str, str]]) -> str:
    """A field in words: how many came there, of how many that aim there."""
    return f"{sum(bool(one['how']) for one in field)} of {len(field)}"


def called(whose: str, what: str) -> str:
    """A row's name in words."""
    return f"{whose} itself" if what == "itself" else f"{whose}'s {what}"


def describe(drawn: Mapping[str, Any]) -> str:
    """Return the drawing in words, ways that nobody takes left out: a screen reader's name for it is short."""
    rows = [f"{called(guest['name'], place['name'])}: "
            + (", ".join(f"{way} {counted(field)}" for way, field in zip(drawn["ways"], place["fields"]) if field) or "nobody aims there")
            for guest in drawn["guests"] for place in guest["places"]]
    return f"{drawn['title']}. {'. '.join(rows)}."


class ReachView(anywidget.AnyWidget):
    """`reach` (made by `reach_map`); beside the readout a list of the attempts in the row that is looked at."""

    _esm = Path(__file__).parent / "static" / "reach_view.js"

    reach = traitlets.Dict().tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    lines = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def rows(self) -> list[Row]:
        """Return a row for each attempt at each thing: how it came there, "" if it was held off."""
        return [Row("reach", way, f"{called(guest['name'], place['name'])}: {one['id']}", value=one["how"], unit="how it was reached")
                for guest in self.reach.get("guests", ()) for place in guest["places"]
                for way, field in zip(self.reach["ways"], place["fields"]) for one in field]

    @traitlets.observe("reach")
    def _describe(self, change: Any) -> None:
        self.text = describe(self.reach)
        self.lines = [line for guest in self.reach["guests"] for place in guest["places"] if place["here"]
                      for way, field in zip(self.reach["ways"], place["fields"]) if field
                      for line in (f"{way}, {counted(field)}:", *(f"{'✗' if one['how'] else '○'} {one['id']}{one['how'] and ': ' + one['how']}" for one in field))]

    def __repr__(self) -> str:
        return f"ReachView({self.reach.get('title', '')!r})"
