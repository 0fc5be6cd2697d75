"""fio's I/O logs (fio, HOWTO, "Trace file format v2" and "v3"; iolog.c): `write_iolog` writes them.

A line is `filename action` or `filename action offset length`, in bytes; version 3 has a
time in us before it, version 2 has `wait`: so many us after the wait before.
"""

from collections.abc import Sequence

from vmio.experiments.traces.fields import Wrong, request, sectors, shown, whole
from vmio.experiments.traces.request import Entry
from vmio.experiments.traces.tables import NS

FILES = ("add", "open", "close")
OPS = {"read": "R", "write": "W", "trim": "D", "sync": "F", "datasync": "F"}


class Iolog:
    """A log of one version."""

    keeps_order = False

    def __init__(self, version: int) -> None:
        self.version, self.waited = version, 0
        self.name = f"fio iolog version {version}"
        self.units = ("us " if version == 3 else "") + "filename action offset length, in bytes"

    @classmethod
    def sees(cls, line: str) -> "Iolog | None":
        """Return a reader if `line` is the header; `Wrong` for a version that there is not."""
        words = line.split()
        if words[:2] != ["fio", "version"] or words[3:] != ["iolog"]:
            return None
        if words[2] not in ("2", "3"):
            raise Wrong(f"fio iolog version {shown(words[2])}: 2 or 3")
        return cls(int(words[2]))

    def rows(self, line: str) -> Sequence[Entry]:
        """[(volume, ns, request)] of a line."""
        words, ns = line.split(), self.waited
        if words[0] == "fio" and words[-1] == "iolog":
            return ()
        if self.version == 3:
            ns = whole(words[0], "time") * NS["us"]
            words = words[1:]
        if len(words) == 2 and words[1] in FILES:
            return ()
        if self.version == 2 and len(words) in (3, 4) and words[1] == "wait":
            self.waited += whole(words[2], "wait") * NS["us"]
            return ()
        if len(words) != 4 or words[1] not in OPS:
            raise Wrong(f"{shown(line)}: filename and {', '.join(FILES)}; or filename, {', '.join(OPS)}"
                        f"{', wait' if self.version == 2 else ''}, offset and length")
        op = OPS[words[1]]
        if op == "F":
            return (words[0], ns, request("F", 0, 0)),
        return (words[0], ns, request(op, sectors(words[2], "offset"), sectors(words[3], "length"))),
