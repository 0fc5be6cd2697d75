"""The way of a vCPU without a channel of its own: requests into another's rings, and an interrupt from there.

The channel's signals come from whoever writes; its interrupts go to the vCPU that it is bound to,
which takes the answers and wakes who waits for one: an exit more (`ipi.wake`).  Linux picks the
channel by the vCPU's number (drivers/scsi/storvsc_drv.c, get_og_chn), and its block layer completes
on the vCPU that asked (block/blk-mq.c, blk_mq_complete_request_remote).
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from vmio.drivers import ipi
from vmio.drivers.contracts import Reaped
from vmio.drivers.errors import DriverTimeout
from vmio.drivers.storvsc_queue import StorQueue
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.machine.contracts import Tag
from vmio.vmbus.bus.channel import ChannelEnd

TIMEOUT_NS = 60_000_000_000      # for any request, as the channel's own vCPU has it


class SharedQueue:
    """The surface of `queue` for `cpu`, which is not the one that its channel is bound to."""

    def __init__(self, queue: StorQueue, cpu: VCpu) -> None:
        self.queue, self.cpu, self.channel = queue, cpu, queue.channel
        self.finished: deque[Reaped] = deque()
        self.in_flight = 0
        self.asleep = False
        if not queue.sharers:
            queue.channel.on_signal = lambda cpu: _look_for_all(queue, cpu)
        queue.sharers.append(self)

    @property
    def end(self) -> ChannelEnd:
        """The guest's end of the channel."""
        return self.queue.end

    @property
    def discards(self) -> bool:
        """Does the disk take discards?"""
        return self.queue.discards

    def submit(self, op: str, lba: int, sectors: int, gpa: int, tag: Tag) -> None:
        """Start a request, as `StorVsc.submit`; `reap` tells when it is over."""
        self.in_flight += 1
        with self._signalling():
            self.queue.submit(op, lba, sectors, gpa, tag, self._over)

    def flush_ring(self) -> None:
        """Publish what was submitted, by any vCPU, and signal if the host must be woken."""
        with self._signalling():
            self.queue.flush_ring()

    def wait(self, until: int = NEVER) -> Steps:
        """Sleep until there is something to reap, or the time is `until`."""
        deadline = self.cpu.now + TIMEOUT_NS
        while not self.finished and self.cpu.now < until:
            if self.queue.error is not None:
                raise self.queue.failure()
            if self.cpu.now >= deadline and self.in_flight:
                raise DriverTimeout("StorVSC request: no answer")
            if self.queue.waiting:                    # there was no room; perhaps there is now
                yield from self.cpu.pay()
                self.flush_ring()
            if self.queue.polled:
                with self._signalling():
                    self.queue.look(self.cpu)
                if not self.finished:
                    yield from self.cpu.spin()
            else:
                self.asleep = True
                now = self.cpu.now
                yield from self.cpu.hlt(None if until == NEVER else until - now,
                                        watchdog_ns=deadline - now if self.in_flight else None)
                self.asleep = False

    def reap(self) -> list[Reaped]:
        """Return what is over: [(tag, error or None), ...]."""
        over = list(self.finished)
        self.finished.clear()
        return over

    def _over(self, result: Reaped) -> None:
        self.in_flight -= 1
        self.finished.append(result)

    @contextmanager
    def _signalling(self) -> Iterator[None]:
        """Meanwhile it is this vCPU that makes the channel's hypercalls; nobody else runs."""
        bound, self.channel.cpu = self.channel.cpu, self.cpu
        try:
            yield
        finally:
            self.channel.cpu = bound


def _look_for_all(queue: StorQueue, cpu: VCpu) -> None:
    """In the channel's interrupt: take the answers, and wake each vCPU that sleeps for one, or for room in the ring."""
    queue.look(cpu)
    for each in queue.sharers:
        if each.asleep and (each.finished or queue.waiting or queue.error is not None):
            each.asleep = False                       # once is enough
            ipi.wake(cpu, each.cpu)
