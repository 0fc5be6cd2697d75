"""The disks of a guest over time: a lane for each, in each slice what it did, what ended with an error, what was under way, and who did what when.

It takes plain data (`lane`) and knows no machine.  All its words are in the page (and in `text`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row
from vmio.table import number

LETTERS = {"adds": "A", "has": "A", "grows": "G", "sees": "G", "asks": "?", "takes": "T", "lets go": "T", "refused": "x"}
BY_GUEST = ("has", "sees", "lets go")       # the guest's marks are open circles, the host's are full ones


def lane(name: str, size: str, done: Sequence[int], failed: Sequence[int], under_way: Sequence[int], there: Sequence[bool],
         marks: Sequence[tuple[float, str, str]]) -> dict[str, Any]:
    """Return one lane as plain data: a disk's `name` and `size` in words, a number for each slice, `there`: the guest has it when the slice is over.

    `marks` are (us, what, its words), in order of time.  ValueError for numbers of different lengths and for a mark that is none of LETTERS.
    """
    if len({len(done), len(failed), len(under_way), len(there)}) > 1:
        raise ValueError(f"lane {name}: {len(done)} slices done, {len(failed)} failed, {len(under_way)} under way, {len(there)} there")
    for _, what, _ in marks:
        if what not in LETTERS:
            raise ValueError(f"lane {name}: mark is {what!r}; allowed: {', '.join(LETTERS)}")
    return {"name": name, "size": size, "done": list(done), "failed": list(failed), "under_way": list(under_way), "there": list(there),
            "marks": [{"us": us, "what": what, "letter": LETTERS[what], "guest": what in BY_GUEST, "words": words} for us, what, words in marks]}


class DisksView(anywidget.AnyWidget):
    """`lanes` (made by `lane`), each slice `slice_us` long, and `at`: which slice is lit, counted from 0."""

    _esm = Path(__file__).parent / "static" / "disks_view.js"

    lanes = traitlets.List(traitlets.Dict()).tag(sync=True)
    slice_us = traitlets.Int(100).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)

    @traitlets.observe("lanes", "slice_us", "at")
    def _describe(self, change: Any) -> None:
        words = [f"{one['name']} {one['done'][self.at]} done, {one['failed'][self.at]} with an error, {one['under_way'][self.at]} under way"
                 for one in self.lanes if self.at < len(one["done"])]
        self.text = f"From {number(self.at * self.slice_us)} to {number((self.at + 1) * self.slice_us)} us: {'; '.join(words)}."

    @property
    def lines(self) -> list[str]:
        """What happened to each disk and when, for a panel in text."""
        return [f"{one['name']}, {one['size']}: " + ("; ".join(f"{number(mark['us'])} us {mark['words']}" for mark in one["marks"]) or "it was always there")
                for one in self.lanes]

    def rows(self) -> list[Row]:
        """Return a row for each number of each slice, at the time when it is over, and one for each mark."""
        found = []
        for one in self.lanes:
            found += [Row("drawing", words, one["name"], (at + 1) * self.slice_us, "us", count, "requests")
                      for field, words in (("done", "done"), ("failed", "ended with an error"), ("under_way", "under way"))
                      for at, count in enumerate(one[field])]
            found += [Row("drawing", "mark", one["name"], mark["us"], "us", mark["words"], "words") for mark in one["marks"]]
        return found

    def __repr__(self) -> str:
        return f"DisksView({[one['name'] for one in self.lanes]!r})"
