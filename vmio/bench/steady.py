"""A machine in the midst of its reads: it goes on by so many of them whenever it is asked to, which a benchmark can time."""

from typing import Any

from vmio.experiments import disk
from vmio.experiments.trace import Request
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.runs import Run

IMAGE = disk.pattern(1)
TICK_NS = 100_000
READ = Request("R", 0, 8)        # 4 KiB


class Steady:
    """A disk of `params`, all of whose guests are up and have done `after` reads together."""

    def __init__(self, reads: int = 20_000, after: int = 0, **params: Any) -> None:
        _, _, self.host, self.guests = disk.machine(disk.DiskParams(**params), [READ] * reads, IMAGE)
        self._run = Run(self.host.env, [(guest.cpu, guest.program) for guest in self.guests], None)
        self._done = [guest.latencies for guest in self.guests]
        self.host.env.process(self._tick())
        while not all(self._done):
            self.host.env.step()
        self(after - self._count())

    def _tick(self) -> Steps:
        """Something else that happens now and then: a guest that is alone would run to its end in one step."""
        while True:
            yield self.host.env.timeout(TICK_NS)

    def _count(self) -> int:
        return sum(map(len, self._done))

    def __call__(self, count: int) -> int:
        """Go on until `count` more reads are done, the same number in each guest, or a few more.  Returns how many.

        Guests go in step, and several reads may end at once: half a round would cost nothing, or twice as much.
        """
        before, step = self._count(), self.host.env.step
        count += -count % len(self.guests)
        while (missing := before + count - self._count()) > 0:
            for _ in range(missing):      # a read takes several steps
                step()
        return self._count() - before
