"""A host's worker for one virtqueue: a process that takes chains when the driver has kicked, and interrupts for answers in batches.

Asleep it costs nothing; waking it costs `worker_wakeup_ns`, each chain `host_request_ns`, on one of
the host's cores.  While it is awake the queue's kicks are suppressed.  It is a `Server` of a device
(`device.py`), and does for a virtqueue what `RingWorker` does for a ring of VMBus.
"""

from simpy.events import Event

from vmio.hypervisor.contracts import Root, Steps
from vmio.hypervisor.cores import Spell
from vmio.hypervisor.guest import Guest
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue.chain import Chain


class QueueWorker:
    """Serves queue `number` of `device`, which is one of `guest`'s.

    `batch`: chains taken, and answers interrupted for, at a time (fewer answers if no other is in flight).
    """

    def __init__(self, host: Root, guest: Guest, device: VirtioDevice, number: int, batch: int = 16) -> None:
        if not 1 <= batch <= 1024:
            raise ValueError(f"batch {batch}: 1 to 1024")
        self.host, self.guest, self.device, self.number, self.batch = host, guest, device, number, batch
        self.queue = device.queues[number]
        self.signals = self.wakeups = 0
        self.stopped = False
        self.nap: Event | None = None          # it sleeps
        self.core = Spell(host.cores, worker=True)
        self.chains: list[Chain] = []          # in its hand
        self._unpublished = 0                  # answers that the driver may not have heard of
        self._due: int | None = None           # when the next kick will be noticed
        self.process = host.process(guest, self._run())

    def kicked(self) -> None:
        """See `Server`.  It arrives at the vCPU's time; one that has not been noticed yet swallows the next."""
        self.signals += 1
        when = self.guest.clock.now
        if self._due is None or when < self._due:
            self._due = when
            env = self.host.env
            env.timeout(max(0, when - env.now)).callbacks.append(self._notice)

    def _notice(self, _event: Event) -> None:
        self._due = None
        self._wake()

    def _wake(self) -> None:
        nap, self.nap = self.nap, None
        if nap is not None:
            nap.succeed()

    def put(self, chain: Chain, written: int) -> None:
        """See `Server`: one interrupt when a batch is complete, or when no other answer could complete it."""
        queue = self.queue
        queue.put(chain, written)
        self._unpublished += 1
        if self._unpublished >= self.batch or not queue.in_flight:
            self._unpublished = 0
            if queue.must_interrupt():
                self.device.interrupt(self.number)

    def stop(self) -> None:
        """See `Server`."""
        self.stopped = True
        self._wake()

    def _run(self) -> Steps[None]:
        queue, costs = self.queue, self.host.costs
        while not self.stopped:
            queue.awake()
            while not self.stopped and self._take():
                yield from self.core.spend(costs.host_request_ns * len(self.chains))
                chains, self.chains = self.chains, []
                for chain in chains:
                    if self.stopped:
                        self.device.done(self.number, chain, 0)
                    else:
                        self.device.handle(self.number, chain)
            if self.stopped or queue.rest():
                continue
            self.nap = nap = self.host.env.event()
            yield nap
            if not self.stopped:
                self.wakeups += 1
                yield from self.core.spend(costs.worker_wakeup_ns)

    def _take(self) -> bool:
        """Take the next chains, if there are any."""
        take, chains = self.queue.take, self.chains
        for _ in range(self.batch):
            chain = take()
            if chain is None:
                break
            chains.append(chain)
        return bool(chains)
