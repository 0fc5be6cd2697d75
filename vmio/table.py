"""Numbers as fixed-width text: what nbval compares and what a projector shows.

Everything here is a pure function of its arguments: no locale, no terminal
width, no colour.  The same rows give the same text on every machine.
"""

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any


def number(value: Any) -> str:
    """Return a number as text: thousands separators, and as many decimals as three digits need.

    >>> number(1234567), number(12.345), number(0.012345), number(2500.0)
    ('1,234,567', '12.3', '0.0123', '2,500')
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    if isinstance(value, Integral):
        return f"{int(value):,}"
    value = float(value)
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == 0:
        return "0"
    if abs(value) < 0.0001:
        return f"{value:.2e}"
    decimals = 0
    while abs(value) * 10 ** decimals < 99.95 and decimals < 6:
        decimals += 1
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str], align: str | None = None, title: str | None = None) -> str:
    """Rows of cells as a text table.

    `headers` is a sequence of column titles, each row has as many cells.
    Numbers get thousands separators, None becomes "-".  `align` is a string
    with one of "<", ">", "^" a column; without it columns that hold only
    numbers go right and the others left.  Raises ValueError for a row of the
    wrong length or an unknown alignment.
    """
    rows = [list(row) for row in rows]
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"row {row!r} has {len(row)} cells, the table has {len(headers)} columns")
    if align is None:
        align = "".join(">" if rows and all(_numeric(row[i]) for row in rows) else "<" for i in range(len(headers)))
    if len(align) != len(headers) or set(align) - set("<>^"):
        raise ValueError(f"align is {align!r}; it must be {len(headers)} characters out of '<', '>', '^'")
    texts = [["-" if cell is None else number(cell) for cell in row] for row in rows]
    widths = [max([len(head)] + [len(row[i]) for row in texts]) for i, head in enumerate(headers)]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, align, widths)).rstrip()

    lines = [line(headers), "  ".join("-" * width for width in widths)] + [line(row) for row in texts]
    return "\n".join(([title] if title else []) + lines)


def _numeric(cell: object) -> bool:
    return cell is None or (isinstance(cell, Real) and not isinstance(cell, bool))
