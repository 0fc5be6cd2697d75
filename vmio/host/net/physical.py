"""The host's physical port: the switch's port to the world, at the speed of its wire."""

from vmio.host.net.pace import Pace
from vmio.host.net.port import SwitchPort
from vmio.host.net.switch import VirtualSwitch
from vmio.host.net.vlan import Access, Trunk
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.simulation import Simulation
from vmio.machine.checkpoint import Form, State
from vmio.machine.net.contracts import NetPort

PHYSICAL = Form("physical port", 1, "pace", "lost")


class PhysicalPort:
    """Ties `switch` to `wire`, an end of a cable: what the switch gives out is sent at `mbit_per_s`, with up to `queue` frames waiting."""

    def __init__(self, env: Simulation, switch: VirtualSwitch, wire: NetPort, mbit_per_s: int = 10_000, queue: int = 1024,
                 name: str = "uplink", vlan: Access | Trunk | None = None) -> None:
        self.wire, self.port = wire, switch.port(name, vlan=vlan)
        self.pace = Pace(env, mbit_per_s, self._send, queue)
        self.lost = 0              # frames that found no link, or nobody, at the other end
        self._wire_side, self._switch_side = _FromWire(self.port), _FromSwitch(self.pace)
        wire.connect(self._wire_side)
        self.port.connect(self._switch_side)
        self.port.link(wire.up)

    def _send(self, frame: bytes) -> None:
        self.lost += not self.wire.send(frame)

    def save(self, saving: Saving) -> State:
        """Return what waits for the wire; the switch saves the port."""
        return PHYSICAL.state(pace=self.pace.save(saving), lost=self.lost)

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take it back."""
        saved = PHYSICAL.take(state)
        self.pace.restore(saved["pace"], restoring)
        self.lost = saved["lost"]


class _FromWire:
    """The station on the wire: it hands all to the switch."""

    def __init__(self, port: SwitchPort) -> None:
        self._port = port

    def receive(self, frame: bytes) -> bool:
        return self._port.send(frame)

    def link_changed(self, up: bool) -> None:
        self._port.link(up)


class _FromSwitch:
    """The station at the switch's port: it hands all to the wire."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def receive(self, frame: bytes) -> bool:
        return self._pace.put(frame)

    def link_changed(self, up: bool) -> None:
        """The switch's port follows the wire, which knows already."""
