"""How full both rings of a split disk are, over virtual time: each side's own moves, logged by watching the rings."""

from typing import Protocol

from vmio.hypervisor.vcpu import VCpu
from vmio.machine.probes import watch
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import READ, WRITE
from vmio.vmbus.bus.ringmemory import RingMemory


class RingLog:
    """Logs each change of both rings of a channel from now on: `guest` and `host` are its ends, `cpu` takes its interrupts.

    `several` vCPUs may write, also while that one sleeps.  Indices are read by the host's windows on the same pages: a guest's
    own belong to its program.
    """

    def __init__(self, guest: ChannelEnd, host: ChannelEnd, cpu: VCpu, several: bool = False) -> None:
        self.started = cpu.now
        env = cpu.env
        here = _Latest(cpu, env) if several else cpu
        self._logs: dict[str, list[tuple[int, int]]] = {"to the host": [], "to the guest": []}
        self._sides = []
        for end, name, memory, index, sign, clock in (
                (guest.outgoing, "to the host", host.incoming.memory, WRITE, 1, here),
                (host.incoming, "to the host", host.incoming.memory, READ, -1, env),
                (host.outgoing, "to the guest", host.outgoing.memory, WRITE, 1, env),
                (guest.incoming, "to the guest", host.outgoing.memory, READ, -1, here)):
            side = _Side(memory, self._logs[name], index, sign, end.size, clock)
            self._sides.append(side)
            watch(end, "moved", side.moved)

    def occupancy(self) -> dict[str, list[tuple[int, int]]]:
        """Return {ring: [(ns since then, used bytes), ...]}."""
        return {name: _occupancy(log, self.started) for name, log in self._logs.items()}

    def save(self) -> list:
        """Return what was logged, as plain data."""
        return [self.started, [[list(each) for each in log] for log in self._logs.values()], [side.last for side in self._sides]]

    def restore(self, saved: list) -> None:
        """Take back what `save` gave."""
        self.started, logs, last = saved
        for log, each in zip(self._logs.values(), logs, strict=True):
            log[:] = [(when, change) for when, change in each]
        for side, index in zip(self._sides, last, strict=True):
            side.last = index


class Ticking(Protocol):
    """What has a time, in ns."""

    @property
    def now(self) -> int:
        """The time."""


class _Latest:
    """The later of two clocks."""

    def __init__(self, one: Ticking, other: Ticking) -> None:
        self._clocks = one, other

    @property
    def now(self) -> int:
        """Ns."""
        return max(clock.now for clock in self._clocks)


class _Side:
    """Logs by how much one side's own index has moved, at what `clock.now` says."""

    def __init__(self, memory: RingMemory, log: list[tuple[int, int]], index: int, sign: int, size: int, clock: Ticking) -> None:
        self.memory, self.log, self.index, self.sign, self.size, self.clock = memory, log, index, sign, size, clock
        self.last: int = memory.load32(index)

    def moved(self, _used: int) -> None:
        """An index has moved; perhaps it was ours."""
        at = self.memory.load32(self.index)
        if at != self.last:
            self.log.append((self.clock.now, self.sign * ((at - self.last) % self.size)))
            self.last = at


def _occupancy(log: list[tuple[int, int]], started: int) -> list[tuple[int, int]]:
    """[(ns since `started`, used bytes), ...] from both sides' changes, in the order in which they were made.

    The sides' clocks may be a few exits apart; what came later is not drawn earlier.
    """
    used, steps = 0, [(0, 0)]
    for when, change in log:
        used += change
        steps.append((max(when - started, steps[-1][0]), used))
    return steps
