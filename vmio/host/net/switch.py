"""The virtual switch between guests, the host and the physical port.

    switch = VirtualSwitch(host.env)
    port = switch.port("guest a", address, vlan=Access(7), limit=1000)
    port.connect(station)

What becomes of a frame, in this order (Hyper-V publishes what a port can be told, not the order; this one is ours):
VLAN of the port - source address - guards - access list, out - bandwidth limit - mirror - learning - who is it for? -
for each of these: VLAN, access list, in - mirror.  A port's own address is known without learning, and nobody else can
teach the switch another place for it.  A unicast frame to nobody known goes to ports that may have several addresses,
the physical one among them, and to no guest.

What a station sends while a frame is handed out waits until that has been handed to all: no frame overtakes another.
Source: IEEE 802.1Q-2022, section 8; learn.microsoft.com, "Hyper-V Virtual Switch" (jj679878).
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from vmio.host.net.port import DESTINATION, SOURCE, SwitchPort
from vmio.host.net.table import MacTable
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.machine.net import frames

SWITCH = Form("virtual switch", 1, "ports", "table")
MAX_QUEUED = 4096          # frames that stations may send while one is handed out


class VirtualSwitch:
    """A switch in the simulation `env`; `ports` by their names, in the order in which they were made."""

    POINTS = {"forwarded": "(port's name, VLAN, frame, names of the ports that took it) after each frame"}
    forwarded: Callable[[str, int, bytes, list[str]], None] | None = None

    def __init__(self, env: Simulation, table: MacTable | None = None) -> None:
        self.env, self.table = env, table or MacTable()
        self.ports: dict[str, SwitchPort] = {}
        self.lost = 0                   # frames that came while too many waited
        self._own: dict[bytes, SwitchPort] = {}     # {address: the port whose station has it}
        self._waiting: deque[tuple[SwitchPort, int, int, bytes]] = deque()
        self._busy = False

    def port(self, name: str, address: bytes | None = None, **options: Any) -> SwitchPort:
        """Make one more port, a `NetPort`; `options` are those of `SwitchPort`.  ValueError for a name or address that is taken."""
        if name in self.ports:
            raise ValueError(f"port {name!r}: the switch has one of this name")
        if address is not None:
            frames.all_different([*self._own, address])
        made = SwitchPort(self, name, address, **options)
        self.ports[name] = made
        if made.address is not None:
            self._own[made.address] = made
        return made

    def forward(self, port: SwitchPort, vlan: int, priority: int, frame: bytes) -> bool:
        """Hand a frame that a port has let in to whom it is for; False: nobody has taken it."""
        if self._busy:
            if len(self._waiting) >= MAX_QUEUED:
                self.lost += 1
                return False
            self._waiting.append((port, vlan, priority, frame))
            return True
        self._busy = True
        try:
            taken = self._hand_out(port, vlan, priority, frame)
            while self._waiting:
                self._hand_out(*self._waiting.popleft())
        finally:
            self._busy = False
        return taken

    def _hand_out(self, port: SwitchPort, vlan: int, priority: int, frame: bytes) -> bool:
        source = frame[6:12]
        if port.spoofing and source not in self._own:
            self.table.learn(vlan, source, port.name, self.env.now)
        took = [each for each in self._destinations(port, vlan, frame) if each is not port and each.give(vlan, priority, frame)]
        if any(each.mirror == SOURCE for each in (port, *took)):
            for each in self.ports.values():
                if each.mirror == DESTINATION and each is not port and each not in took:
                    each.give(vlan, priority, frame, copy=True)
        if self.forwarded is not None:
            self.forwarded(port.name, vlan, frame, [each.name for each in took])
        return bool(took)

    def _destinations(self, port: SwitchPort, vlan: int, frame: bytes) -> list[SwitchPort]:
        """The ports that the frame is for, in their order."""
        if frames.is_group(frame):
            return list(self.ports.values())
        own = self._own.get(frame[:6])
        if own is not None and own.vlan.leave(vlan, 0, frame) is not None:
            return [own]
        name = self.table.find(vlan, frame[:6], self.env.now)
        if name is not None:
            return [self.ports[name]]
        return [each for each in self.ports.values() if each.spoofing]

    def save(self, saving: Saving) -> State:
        """Return ports and table.  `CheckpointRefused` while a frame is handed out."""
        if self._busy:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: the switch hands a frame out")
        return SWITCH.state(ports=[each.save(saving) for each in self.ports.values()], table=self.table.save())

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take it back into a switch that was made alike."""
        saved = SWITCH.take(state)
        same("virtual switch, number of ports", len(saved["ports"]), len(self.ports))
        for port, each in zip(self.ports.values(), saved["ports"]):
            port.restore(each, restoring)
        self.table.restore(saved["table"])
