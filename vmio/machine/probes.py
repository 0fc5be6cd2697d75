"""One way to watch a run: parts name points, and whoever wants to know is called there.

    class Ring:
        POINTS = {"moved": "(used bytes) after an index of ours has moved"}
        moved = None

        def publish(self):
            ...
            if self.moved is not None:
                self.moved(self.used)

    stop = watch(ring, "moved", log.append)
    stop()

Nobody watches: a point costs one test of an attribute.  A listener looks and changes
nothing; it is called before whatever comes next there, with the time of the part.
"""

from collections.abc import Callable



class _Several:
    """Calls all listeners of a point, in the order in which they came."""

    __slots__ = ("listeners",)

    def __init__(self, listeners: list[Callable[..., None]]) -> None:
        self.listeners = listeners

    def __call__(self, *what: object) -> None:
        for listener in self.listeners:
            listener(*what)


def watch(part: object, point: str, listener: Callable[..., None]) -> Callable[[], None]:
    """Call `listener` at this point of `part` from now on; returns a function that ends it.

    ValueError for a point that the part has not.  `part.points_changed()`, if there is such
    a method, is called after each change: for who has to prepare for it.
    """
    points = getattr(type(part), "POINTS", {})
    if point not in points:
        raise ValueError(f"{type(part).__name__} has no point {point!r}; {', '.join(points) or 'none at all'}")
    _set(part, point, [*_listeners(part, point), listener])

    def stop() -> None:
        left = _listeners(part, point)
        if listener in left:
            left.remove(listener)
            _set(part, point, left)
    return stop


def _listeners(part: object, point: str) -> list[Callable[..., None]]:
    there = getattr(part, point)
    if there is None:
        return []
    return list(there.listeners) if isinstance(there, _Several) else [there]


def _set(part: object, point: str, listeners: list[Callable[..., None]]) -> None:
    setattr(part, point, None if not listeners else listeners[0] if len(listeners) == 1 else _Several(listeners))
    changed = getattr(part, "points_changed", None)
    if changed is not None:
        changed()
