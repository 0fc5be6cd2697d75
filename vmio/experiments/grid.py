"""Numbers in rows and columns, such as a guest each and a bucket of time each: the little of arrays that a result needs.

`Row` and `Grid` are tuples that are cut, added up and multiplied as numpy's arrays are, `grid[1:, 2:8].mean(axis=1)`; numpy takes
them as they are.  So a result needs no numpy, which a browser has to fetch first.  NaN is "nothing there".
"""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

NAN = math.nan


class Row(tuple):
    """Numbers in a row; with a number, or a row of the same length, it is added, subtracted, multiplied, divided and compared place by place."""

    __hash__ = tuple.__hash__

    def __getitem__(self, at: Any) -> Any:
        """Return a number, or for a slice a row."""
        found = tuple.__getitem__(self, at)
        return type(self)(found) if isinstance(at, slice) else found

    def _with(self, other: Any, do: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, Row):
            if len(other) != len(self):
                raise ValueError(f"{len(self)} and {len(other)} in a row don't go together")
            return type(self)(map(do, self, other))
        return type(self)(do(one, other) for one in self) if isinstance(other, (int, float)) else NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, operator.mul)

    def __truediv__(self, other: Any) -> Any:
        """Divide; by zero there is NaN."""
        return self._with(other, divided)

    def __eq__(self, other: Any) -> Any:
        return self._with(other, operator.eq)

    def __ne__(self, other: Any) -> Any:
        return self._with(other, operator.ne)

    __radd__, __rmul__ = __add__, __mul__

    def sum(self) -> Any:
        """Return the sum: exact for whole numbers."""
        return sum(self) if all(isinstance(one, int) for one in self) else math.fsum(self)

    def mean(self) -> float:
        """Return the mean; NaN of nothing."""
        return divided(self.sum(), len(self))

    def min(self) -> Any:
        """Return the least; NaN if one is NaN."""
        return NAN if any(one != one for one in self) else min(self)

    def max(self) -> Any:
        """Return the greatest; NaN if one is NaN."""
        return NAN if any(one != one for one in self) else max(self)

    def there(self) -> "Row":
        """Return those that are not NaN."""
        return Row(one for one in self if one == one)

    def any(self) -> bool:
        """Return whether one is not zero."""
        return any(tuple(self))

    def all(self) -> bool:
        """Return whether none is zero."""
        return all(tuple(self))

    def tolist(self) -> list:
        """Return a plain list."""
        return [one.tolist() if isinstance(one, Row) else one for one in self]


class Grid(Row):
    """Rows of one length; `grid[rows, columns]` with numbers or slices."""

    def __new__(cls, rows: Iterable[Iterable[Any]] = ()) -> "Grid":
        """Make one of rows of numbers."""
        return super().__new__(cls, (one if isinstance(one, Row) else Row(one) for one in rows))

    __hash__ = tuple.__hash__

    def __getitem__(self, at: Any) -> Any:
        """Return a row, some rows, a number, or of some rows a column or some columns."""
        if not isinstance(at, tuple):
            return super().__getitem__(at)
        rows, columns = at
        found = super().__getitem__(rows)
        if not isinstance(rows, slice):
            return found[columns]
        return Grid(one[columns] for one in found) if isinstance(columns, slice) else Row(one[columns] for one in found)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self), len(self[0]) if self else 0

    def columns(self) -> "Grid":
        """Return the grid with its columns as rows."""
        return Grid(zip(*self))

    def flat(self) -> Row:
        """Return all numbers in a row."""
        return Row(one for row in self for one in row)

    def sum(self, axis: int | None = None) -> Any:
        """Return the sum of all, or a row: of each column (axis 0) or of each row (axis 1)."""
        return self._over(axis, Row.sum)

    def mean(self, axis: int | None = None) -> Any:
        """Return the mean, as `sum` does."""
        return self._over(axis, Row.mean)

    def min(self, axis: int | None = None) -> Any:
        """Return the least, as `sum` does."""
        return self._over(axis, Row.min)

    def max(self, axis: int | None = None) -> Any:
        """Return the greatest, as `sum` does."""
        return self._over(axis, Row.max)

    def any(self) -> bool:
        """Return whether one is not zero."""
        return self.flat().any()

    def all(self) -> bool:
        """Return whether none is zero."""
        return self.flat().all()

    def _over(self, axis: int | None, what: Callable[[Row], Any]) -> Any:
        if axis not in (None, 0, 1):
            raise ValueError(f"axis is {axis!r}; allowed: None, 0, 1")
        return what(self.flat()) if axis is None else Row(what(one) for one in (self if axis else self.columns()))


def divided(one: Any, by: Any) -> Any:
    """Return `one / by`; by zero NaN, and for rows the row."""
    return one / by if isinstance(one, Row) or by else NAN
