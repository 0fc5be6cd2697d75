"""How full both rings of a split disk are, over virtual time: each side's own moves, logged by watching the rings."""

from vmio.machine.probes import watch
from vmio.vmbus.bus.ring import READ, WRITE


class RingLog:
    """Logs each change of both rings of `attachment` (a `SplitDisk`, booted on `cpu`) from now on."""

    def __init__(self, attachment, disk, cpu):
        self.started = cpu.now
        guest, host, env = disk.end, attachment.vsp.worker.end, cpu.env
        self._logs = {"to the host": [], "to the guest": []}
        for end, name, index, sign, now in (
                (guest.outgoing, "to the host", WRITE, 1, lambda: cpu.now),
                (host.incoming, "to the host", READ, -1, lambda: env.now),
                (host.outgoing, "to the guest", WRITE, 1, lambda: env.now),
                (guest.incoming, "to the guest", READ, -1, lambda: cpu.now)):
            watch(end, "moved", _listener(end, self._logs[name], index, sign, now))

    def occupancy(self):
        """Return {ring: [(ns since then, used bytes), ...]}."""
        return {name: _occupancy(log, self.started) for name, log in self._logs.items()}


def _listener(end, log, index, sign, now):
    """A function that logs by how much one side's own index has moved."""
    load, size, last = end.memory.load32, end.size, end.memory.load32(index)

    def record(_used):
        nonlocal last
        at = load(index)
        if at != last:
            log.append((now(), sign * ((at - last) % size)))
            last = at
    return record


def _occupancy(log, started):
    """[(ns since `started`, used bytes), ...] from both sides' changes, in the order in which they were made.

    The sides' clocks may be a few exits apart; what came later is not drawn earlier.
    """
    used, steps = 0, [(0, 0)]
    for when, change in log:
        used += change
        steps.append((max(when - started, steps[-1][0]), used))
    return steps
