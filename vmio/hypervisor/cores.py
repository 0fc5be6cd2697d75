"""The host's processor cores: who wants to run waits in line for a free one."""

from collections import deque


class Cores:
    """`count` cores of a simulation.  A free one is taken without an event, so time spent alone costs one."""

    def __init__(self, env, count):
        self.env, self.free = env, count
        self._line = deque()

    def spend(self, ns):
        """Hold a core for `ns`, after waiting for it in order of arrival: `yield from cores.spend(ns)`."""
        if self.free:
            self.free -= 1
        else:
            turn = self.env.event()
            self._line.append(turn)
            yield turn               # whoever leaves hands the core over
        try:
            yield self.env.timeout(ns)
        finally:
            if self._line:
                self._line.popleft().succeed()
            else:
                self.free += 1
