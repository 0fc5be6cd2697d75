"""The live machine: who touches whom, how often, as a drawing that moves.

Four boxes stand in a row: guest, hypervisor, host, device.  An edge goes from
one to another and carries a label and a count; edges with a count are lit, and
dots run along them when it changes.  The view takes plain data and knows no machine.
All its text is in the page (and in `text`), so it can be read aloud and tested.
"""

from pathlib import Path
from typing import Any, TypeAlias

import anywidget
import traitlets

from vmio.lab.rows import Row
from vmio.table import number

NODES = ("guest", "hypervisor", "host", "device")
KINDS = ("exit", "data", "interrupt", "ring", "direct")  # each with its own colour and line in machine_view.js


Edge: TypeAlias = dict[str, Any]      # plain data: who touches whom, how often, in what


def edge(source: str, target: str, label: str, count: int, kind: str = "exit") -> Edge:
    """One arrow as plain data; a label between neighbours is broken into lines of 9 characters.

    `source` and `target` out of NODES, `kind` out of KINDS, `count` an int.
    Raises ValueError for others.
    """
    if source not in NODES or target not in NODES or source == target:
        raise ValueError(f"edge from {source!r} to {target!r}: both must be different ones of {', '.join(NODES)}")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    return {"source": source, "target": target, "label": label, "count": int(count), "kind": kind}


class MachineView(anywidget.AnyWidget):
    """`title`, `edges` (made by `edge`), `notes` ({box: a second line in it, 10 characters}, such as {"device": "IDE disk"})
    and `canaries` ({guest: whether what it keeps in its memory is untouched}, at most 8)."""

    _esm = Path(__file__).parent / "static" / "machine_view.js"

    title = traitlets.Unicode("").tag(sync=True)
    edges = traitlets.List(traitlets.Dict()).tag(sync=True)
    notes = traitlets.Dict().tag(sync=True)
    canaries = traitlets.Dict().tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)

    @traitlets.validate("edges")
    def _one_arrow_each_way(self, proposal: Any) -> list[dict[str, str]]:
        pairs = [(one["source"], one["target"]) for one in proposal["value"]]
        if len(set(pairs)) != len(pairs):
            raise ValueError("edges: two of them join the same boxes in the same direction; add their counts up")
        return proposal["value"]

    @traitlets.observe("title", "edges", "canaries")
    def _describe(self, change: Any) -> None:
        busy = [f"{one['source']} to {one['target']}: {number(one['count'])} {one['label']}"
                for one in self.edges if one["count"]]
        self.text = f"{self.title or 'The machine'}. {'; '.join(busy) or 'Nothing moves'}."
        if self.canaries:
            harmed = [name for name, whole in self.canaries.items() if not whole]
            self.text += f" Canaries: {', '.join(harmed) + ' harmed' if harmed else f'all {len(self.canaries)} intact'}."

    def rows(self) -> list[Row]:
        """Return a row for each arrow, with its count, and one for each canary: 1 if it is intact, else 0."""
        arrows = [Row("drawing", one["kind"], f"{one['source']} to {one['target']}", value=one["count"], unit=one["label"]) for one in self.edges]
        return arrows + [Row("drawing", "canary", name, value=int(whole), unit="intact") for name, whole in self.canaries.items()]

    def __repr__(self) -> str:
        return f"MachineView({self.title!r}, {len(self.edges)} edges)"
