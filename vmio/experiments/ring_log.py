"""How full both rings of a split disk are, over virtual time: each side's own moves, logged by watching the rings."""

from collections.abc import Callable
from typing import Any

from vmio.hypervisor.vcpu import VCpu
from vmio.machine.probes import watch
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import READ, WRITE, _End


class RingLog:
    """Logs each change of both rings of a channel from now on: `guest` and `host` are its ends, `cpu` takes its interrupts.

    `several` vCPUs may write, also while that one sleeps.
    """

    def __init__(self, guest: ChannelEnd, host: ChannelEnd, cpu: VCpu, several: bool = False) -> None:
        self.started = cpu.now
        env = cpu.env
        here = _Latest(cpu, env) if several else cpu
        self._logs: dict[str, list[tuple[int, int]]] = {"to the host": [], "to the guest": []}
        for end, name, index, sign, clock in (
                (guest.outgoing, "to the host", WRITE, 1, here), (host.incoming, "to the host", READ, -1, env),
                (host.outgoing, "to the guest", WRITE, 1, env), (guest.incoming, "to the guest", READ, -1, here)):
            watch(end, "moved", _listener(end, self._logs[name], index, sign, clock))

    def occupancy(self) -> dict[str, list[tuple[int, int]]]:
        """Return {ring: [(ns since then, used bytes), ...]}."""
        return {name: _occupancy(log, self.started) for name, log in self._logs.items()}


class _Latest:
    """The later of two clocks."""

    def __init__(self, one: Any, other: Any) -> None:
        self._clocks = one, other

    @property
    def now(self) -> int:
        """Ns."""
        return max(clock.now for clock in self._clocks)


def _listener(end: _End, log: list[Any], index: int, sign: int, clock: Any) -> Callable[[int], None]:
    """A function that logs by how much one side's own index has moved, at what `clock.now` says."""
    load, size, last = end.memory.load32, end.size, end.memory.load32(index)

    def record(_used: int) -> None:
        nonlocal last
        at = load(index)
        if at != last:
            log.append((clock.now, sign * ((at - last) % size)))
            last = at
    return record


def _occupancy(log: list[tuple[int, int]], started: int) -> list[tuple[int, int]]:
    """[(ns since `started`, used bytes), ...] from both sides' changes, in the order in which they were made.

    The sides' clocks may be a few exits apart; what came later is not drawn earlier.
    """
    used, steps = 0, [(0, 0)]
    for when, change in log:
        used += change
        steps.append((max(when - started, steps[-1][0]), used))
    return steps
