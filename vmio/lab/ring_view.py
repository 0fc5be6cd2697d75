"""The ring as a circle, one frame at a time: both cursors, the records, who sleeps, and when a signal is sent.

It takes plain data (frames as `vmio.experiments.ringsteps` makes them) and knows
no ring.  Its buttons change `frame` in the page, without asking the kernel; code
may set `frame` too.  What a frame shows is also said in words (`text`).
"""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vmio.lab.rows import Row
from vmio.table import number

_STATIC = Path(__file__).parent / "static"
FIELDS = ("actor", "text", "signal", "signals", "asleep", "records", "write", "read", "mask", "pending", "size", "used")

NUMBERS = {"write": "index, bytes", "read": "index, bytes", "used": "bytes", "mask": "0 or 1", "pending": "bytes", "signals": "signals so far"}


def describe(frame: Any, at: int = 0, last: int = 0) -> str:
    """A frame in words."""
    records = "; ".join(f"{one['transaction_id']} {one['kind']} {number(one['length'])} bytes "
                        f"{'read' if one['received'] else 'published' if one['published'] else 'not published'}"
                        for one in frame["records"])
    return (f"Step {at} of {last}: {frame['actor']} {frame['text']}. ".replace("  ", " ")
            + f"Write index {number(frame['write'])}, read index {number(frame['read'])}, "
            f"{number(frame['used'])} of {number(frame['size'])} bytes used, mask {frame['mask']}, "
            f"pending send size {number(frame['pending'])}. Asleep: {' and '.join(frame['asleep']) or 'nobody'}. "
            f"Signals: {number(frame['signals'])}. Records: {records or 'none'}.")


class RingView(anywidget.AnyWidget):
    """`frames` (dicts with at least FIELDS), `frame` (which one is shown, kept within them) and `title`."""

    _esm = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in ("steps.js", "ring_view.js"))

    title = traitlets.Unicode("").tag(sync=True)
    frames = traitlets.List(traitlets.Dict()).tag(sync=True)
    spoken = traitlets.List(traitlets.Unicode()).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)

    @property
    def text(self) -> str:
        """The frame that is shown, in words."""
        return self.spoken[self.frame] if self.spoken else "No ring yet."

    @traitlets.validate("frames")
    def _whole(self, proposal: Any) -> list[dict[str, str]]:
        for frame in proposal["value"]:
            missing = [name for name in FIELDS if name not in frame]
            if missing:
                raise ValueError(f"frames: one has no {', '.join(missing)}.")
        return proposal["value"]

    @traitlets.validate("frame")
    def _within(self, proposal: Any) -> int:
        return min(max(0, proposal["value"]), max(0, len(self.frames) - 1))

    @traitlets.observe("frames")
    def _describe(self, change: Any) -> None:
        last = len(self.frames) - 1
        self.spoken = [describe(frame, at, last) for at, frame in enumerate(self.frames)]
        self.frame = min(self.frame, max(0, last))

    def rows(self) -> list[Row]:
        """Return a row for each number of each step, and who did what in it."""
        found = []
        for at, frame in enumerate(self.frames):
            name = f"{frame['actor']} {frame['text']}".strip()
            found += [Row("ring", series, name, at, "step", frame[series], unit) for series, unit in NUMBERS.items()]
        return found

    def __repr__(self) -> str:
        return f"RingView({self.title!r}, {len(self.frames)} frames)"
