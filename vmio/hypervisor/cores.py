"""The host's processor cores: who wants to run waits in line for a free one."""

from collections import deque

SLICE_NS = 100_000   # as long as one may run while others wait; shorter than a real scheduler's, which lets sleepers go first


class Cores:
    """`count` cores of a simulation.  A free one is taken without an event, so time spent alone costs one.

    Nobody who computes for long keeps the others out: at the end of a slice
    whoever waits goes first, and the rest of the work goes to the end of the line.
    """

    def __init__(self, env, count):
        self.env, self.free = env, count
        self._line = deque()

    def spend(self, ns):
        """Hold a core for `ns`, after waiting for it in order of arrival: `yield from cores.spend(ns)`."""
        if self.free:
            self.free -= 1
        else:
            yield self._turn()
        try:
            while ns > SLICE_NS:
                yield self.env.timeout(SLICE_NS)
                ns -= SLICE_NS
                if self._line:
                    turn = self._turn()
                    self._line.popleft().succeed()
                    yield turn
            yield self.env.timeout(ns)
        finally:
            if self._line:
                self._line.popleft().succeed()
            else:
                self.free += 1

    def _turn(self):
        """An event for when whoever leaves hands us a core."""
        self._line.append(self.env.event())
        return self._line[-1]
