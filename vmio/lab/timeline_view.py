"""What several parties do one after the other, as lanes along a line of time: who writes, who fetches, what each then has.

It takes plain data (`moment`) and knows no machine.  Its buttons change `frame` in the page,
without asking the kernel.  What a frame shows is also said in words (`text`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row

_STATIC = Path(__file__).parent / "static"
FIELDS = ("us", "who", "source", "target", "text", "has", "harm")


def moment(us: float, who: str, source: str, target: str, text: str, has: Mapping[str, str], harm: bool = False) -> dict[str, Any]:
    """Return one frame as plain data: at `us`, `who` does what `text` says, and something goes from lane `source` to `target`.

    Nothing goes if they are one.  `has` {lane: what it has from then on, in a word}; `harm`: something was damaged here.
    """
    return {"us": us, "who": who, "source": source, "target": target, "text": text, "has": dict(has), "harm": harm}


class TimelineView(anywidget.AnyWidget):
    """`title`, `lanes` (names, from top to bottom), `frames` (made by `moment`) and `frame`, which one is shown, kept within them."""

    _esm = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in ("steps.js", "timeline_view.js"))

    title = traitlets.Unicode("").tag(sync=True)
    lanes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    frames = traitlets.List(traitlets.Dict()).tag(sync=True)
    spoken = traitlets.List(traitlets.Unicode()).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)

    @property
    def text(self) -> str:
        """The frame that is shown, in words."""
        return f"{self.title} {self.spoken[self.frame]}".strip() if self.spoken else "Nothing has happened yet."

    @property
    def lines(self) -> list[str]:
        """All that can be stepped through, in words."""
        return [f"{words} {'; '.join(f'{lane}: {has}' for lane, has in one['has'].items())}{' (harm)' * one['harm']} [{one['source']} -> {one['target']}]"
                for words, one in zip(self.spoken, self.frames)]

    def rows(self) -> list[Row]:
        """Return a row for what each lane has after each step, at its time, and one for each step: 1 if it did harm, else 0."""
        found = []
        for one in self.frames:
            found.append(Row("steps", one["who"], one["text"], one["us"], "us", int(one["harm"]), "harm"))
            found += [Row("steps", lane, "has then", one["us"], "us", has, "as it is") for lane, has in one["has"].items()]
        return found

    @traitlets.validate("frames")
    def _whole(self, proposal: Any) -> list[dict[str, Any]]:
        for frame in proposal["value"]:
            missing = [name for name in FIELDS if name not in frame]
            strangers = {*frame.get("has", ()), *(frame.get(name) for name in ("who", "source", "target"))} - {*self.lanes, None}
            if missing or strangers:
                raise ValueError(f"frames: one has no {', '.join(missing)}." if missing else
                                 f"frames: {', '.join(sorted(strangers))} is no lane; there are {', '.join(self.lanes)}.")
        return proposal["value"]

    @traitlets.validate("frame")
    def _within(self, proposal: Any) -> int:
        return min(max(0, proposal["value"]), max(0, len(self.frames) - 1))

    @traitlets.observe("frames")
    def _describe(self, change: Any) -> None:
        self.spoken = [f"Step {at} of {len(self.frames)}, at {one['us']:,.1f} us: {one['who']} {one['text']}."
                       for at, one in enumerate(self.frames, 1)]
        self.frame = min(self.frame, max(0, len(self.frames) - 1))

    def __repr__(self) -> str:
        return f"TimelineView({self.title!r}, {len(self.frames)} frames)"
