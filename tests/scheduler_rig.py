"""A server that does one request at a time, and guests that always want more: what a scheduler alone does."""

from vmio.host.scheduler import SECOND, cost


class Job:
    """A request as far as schedulers look at it."""

    def __init__(self, guest, size=4096, number=0):
        self.guest, self.sectors, self.number = guest, size // 512, number

    def __repr__(self):
        return f"{self.guest}#{self.number}({self.sectors})"


class Server:
    """`rate` in bytes/s.  `sizes`: {guest: bytes a request, or a function of its number}; each has `backlog` waiting."""

    def __init__(self, scheduler, shares, rate=100_000_000, sizes=None, backlog=4):
        self.scheduler, self.rate, self.backlog = scheduler, rate, backlog
        self.sizes = {name: (sizes or {}).get(name, 4096) for name in shares}
        self.now = self.idle_ns = 0
        self.served = {name: 0 for name in shares}
        self.log = []              # (start in ns, request)
        self.busy = set()          # who always wants more
        self._numbers = {name: 0 for name in shares}
        for name, share in shares.items():
            scheduler.add(name, share, 0)

    def want(self, *names):
        """From now on these always have a backlog."""
        for name in names:
            self.busy.add(name)
            for _ in range(self.backlog):
                self.put(name)

    def put(self, name):
        """One more request of this guest."""
        number, size = self._numbers[name], self.sizes[name]
        self._numbers[name] += 1
        self.scheduler.enqueue(Job(name, size(number) if callable(size) else size, number), self.now)

    def run(self, ns):
        """Serve for so long; returns {guest: bytes served meanwhile}."""
        before, end = dict(self.served), self.now + ns
        while self.now < end:
            job, when = self.scheduler.next(self.now)
            if job is None:
                at = end if when is None else min(when, end)
                assert at > self.now, "asked to ask again at once"
                self.idle_ns += at - self.now
                self.now = at
                continue
            self.log.append((self.now, job))
            self.now += cost(job) * SECOND // self.rate
            self.served[job.guest] += cost(job)
            if job.guest in self.busy:
                self.put(job.guest)
        return {name: count - before[name] for name, count in self.served.items()}


def parts(served):
    total = sum(served.values())
    return {name: count / total for name, count in served.items()}


def irregular(seed, most):
    return lambda number: 512 * (1 + (number * 7919 + seed * 104_729) % (most // 512))
