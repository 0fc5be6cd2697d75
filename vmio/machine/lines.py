"""An interrupt line: a wire with a level, and whoever watches its edges."""

from collections.abc import Callable



class Line:
    """One wire. `level` is 0 or 1; a sink is called with the new level at each edge, in order."""

    __slots__ = ("name", "level", "_sinks")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.level = 0
        self._sinks: list[Callable[[int], None]] = []

    def connect(self, sink: Callable[[int], None]) -> None:
        """Call `sink(level)` at every edge from now on."""
        self._sinks.append(sink)

    def set(self, level: int) -> None:
        """Drive the wire; setting the level that it already has is no edge."""
        if level != self.level:
            self.level = level
            for sink in self._sinks:
                sink(level)

    def __repr__(self) -> str:
        return f"Line({self.name!r}, level={self.level})"
