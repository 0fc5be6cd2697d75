"""Requests that come to a guest when they like, and the rule by which it puts several into one call.

Between requests there are times without a memory (an exponential distribution): a Poisson process.  The rule is that of servers for
neural networks: a call begins when `batch` requests are there, or when the first of them has waited for `wait_ns`.  Of the network
card that brings them only its interrupt is modelled, and that it is told the rule, as a card is told how to moderate interrupts: so
a guest sleeps once until a call is due, not once for each request.

Source of the rule: NVIDIA Triton Inference Server, User Guide, "Dynamic Batcher" (preferred_batch_size, max_queue_delay_microseconds).
"""

import random
from bisect import bisect_right

from vmio.hypervisor.apic import X2APIC_EOI
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu

VECTOR = 0x61              # of the network card


def poisson(count: int, rate: int, start_ns: int, seed: str) -> list[int]:
    """Return `count` times in ns after `start_ns`, `rate` a second on average."""
    rng, now, found = random.Random(seed), float(start_ns), []
    for _ in range(count):
        now += rng.expovariate(rate) * 1e9
        found.append(round(now))
    return found


class Requests:
    """A guest's requests, which come at these `times`; at most `batch` in one call, whose first waits for at most `wait_ns`."""

    def __init__(self, times: list[int], batch: int, wait_ns: int) -> None:
        self.times, self.batch, self.wait_ns = times, batch, wait_ns
        self.taken = 0              # so many are in calls already
        self._told = 0              # when the card is to interrupt next

    @property
    def due_ns(self) -> int:
        """Return when the next call is to begin."""
        first, full = self.times[self.taken], self.taken + self.batch - 1
        return min(first + self.wait_ns, self.times[full]) if full < len(self.times) else first + self.wait_ns

    def take(self, cpu: VCpu) -> Steps[range]:
        """Sleep until a call is due; a generator that returns the numbers of its requests."""
        while (due := self.due_ns) > cpu.now:
            if due != self._told:
                self._told = due
                cpu.env.timeout(due - cpu.env.now).callbacks.append(lambda _: cpu.apic.request(VECTOR))
            yield from cpu.hlt()
        first = self.taken
        self.taken = min(bisect_right(self.times, cpu.now, first), first + self.batch)
        return range(first, self.taken)


def listen(cpu: VCpu) -> None:
    """Install the handler of the card's interrupt, which ends a sleep and does nothing else."""
    cpu.on_interrupt(VECTOR, lambda cpu: cpu.wrmsr(X2APIC_EOI, 0))
