"""A switch and who is plugged into it: which way the last frame went, how many each has sent and was given, where the switch believes stations to be.

It takes plain data and knows no switch.  All its words are in the page (and in `text`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row
from vmio.table import number

SWITCH = "switch"
KINDS = ("quiet", "now", "copy", "stopped")     # nothing of the last frame; its way; a mirror's copy of it; dropped at its sender's port


def arrow(station: str, sends: bool, count: int, kind: str = "quiet") -> dict[str, Any]:
    """Return one arrow as plain data: what a station `sends` into the switch, or is given by it.  ValueError for a kind that is none of KINDS."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    source, target = (station, SWITCH) if sends else (SWITCH, station)
    return {"source": source, "target": target, "label": "sent" if sends else "given", "count": int(count), "kind": kind}


class SwitchView(anywidget.AnyWidget):
    """`stations`, `edges` (two arrows for each, made by `arrow`), `notes` and `learned` ({station: words of its port, 20 characters}), `end`:
    what became of the last frame, in 80 characters."""

    _esm = Path(__file__).parent / "static" / "switch_view.js"

    stations = traitlets.List(traitlets.Unicode()).tag(sync=True)
    edges = traitlets.List(traitlets.Dict()).tag(sync=True)
    notes = traitlets.Dict().tag(sync=True)
    learned = traitlets.Dict().tag(sync=True)
    end = traitlets.Unicode("").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)

    @traitlets.observe("edges", "notes", "learned", "end")
    def _describe(self, change: Any) -> None:
        self.text = ". ".join([self.end or "The switch", *_words(self.edges), *_of(self.notes), *_of(self.learned)]) + "."

    @property
    def lines(self) -> list[str]:
        """What the switch has learned, for a panel in text."""
        return _of(self.learned)

    def rows(self) -> list[Row]:
        """Return a row for each arrow, with its count, and one for what a port says."""
        arrows = [Row("drawing", one["kind"], f"{one['source']} to {one['target']}", value=one["count"], unit=one["label"]) for one in self.edges]
        return arrows + [Row("drawing", "port", name, value=words, unit="words of its port") for said in (self.notes, self.learned) for name, words in said.items()]

    def __repr__(self) -> str:
        return f"SwitchView({list(self.stations)!r})"


def _words(edges: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{one['source']} to {one['target']}: {number(one['count'])} {one['label']}" for one in edges if one["count"]]


def _of(said: Mapping[str, str]) -> list[str]:
    return [f"{name}: {words}" for name, words in said.items() if words]
