"""An interrupt line: a wire with a level, and whoever watches its edges."""


class Line:
    """One wire. `level` is 0 or 1; a sink is called with the new level at each edge, in order."""

    __slots__ = ("name", "level", "_sinks")

    def __init__(self, name=""):
        self.name = name
        self.level = 0
        self._sinks = []

    def connect(self, sink):
        """Call `sink(level)` at every edge from now on."""
        self._sinks.append(sink)

    def set(self, level):
        """Drive the wire; setting the level that it already has is no edge."""
        if level != self.level:
            self.level = level
            for sink in self._sinks:
                sink(level)

    def __repr__(self):
        return f"Line({self.name!r}, level={self.level})"
