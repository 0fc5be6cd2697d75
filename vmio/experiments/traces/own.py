"""The project's own form: CSV with a header `time_us,op,lba,sectors`, as programs for tables save it, too."""

import csv
from collections.abc import Sequence

from vmio.experiments.traces.fields import Wrong, request, shown, whole
from vmio.experiments.traces.request import Entry

COLUMNS = ["time_us", "op", "lba", "sectors"]
HEADER = ",".join(COLUMNS)


class Own:
    """R read, W write, F flush, D discard; microseconds; addresses and lengths in 512-byte sectors.

    Separated by commas, semicolons or tabs; fields may be in quotation marks.  The
    order of the lines is the order of the requests.
    """

    name, units = "vmio's own CSV", HEADER
    keeps_order = True

    def __init__(self, separator: str) -> None:
        self.separator = separator

    @classmethod
    def sees(cls, line: str) -> "Own | None":
        """Return a reader if `line` is the header, else None."""
        for separator in ",;\t":
            if _fields(line, separator) == COLUMNS:
                return cls(separator)
        return None

    def rows(self, line: str) -> Sequence[Entry]:
        """[(volume, ns, request)] of a line."""
        fields = _fields(line, self.separator)
        if fields == COLUMNS:
            return ()
        if len(fields) != len(COLUMNS):
            raise Wrong(f"{len(fields)} columns; expected {len(COLUMNS)} ({HEADER})")
        op = fields[1]
        if op not in ("R", "W", "F", "D"):
            raise Wrong(f"operation '{shown(op)}'; R (read), W (write), F (flush) or D (discard)")
        ns, lba, sectors = (whole(fields[at], COLUMNS[at]) for at in (0, 2, 3))
        return ("", ns * 1000, request(op, lba, sectors)),


def _fields(line: str, separator: str) -> list[str]:
    if '"' not in line:
        return [field.strip() for field in line.split(separator)]
    try:
        fields, = csv.reader([line], delimiter=separator, strict=True)
    except csv.Error as error:
        raise Wrong(f"{shown(line)}: quotation marks that don't fit ({error})") from None
    return [field.strip() for field in fields]
