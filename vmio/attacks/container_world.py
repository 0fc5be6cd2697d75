"""The world of containers: a utility guest whose agent is hostile, and beside it one whose process the host waits for.

Attacks on the sockets themselves meet a service that sends back what comes; those on the bridge meet the host's compute service.
"""

from functools import partial
from typing import Any

from vmio.attacks.split import SplitWorld
from vmio.drivers.container.socket import GuestSocket
from vmio.drivers.container.sockets import Sockets
from vmio.host.gcs.bridge import AgentRefused, Bridge, BridgeClosed
from vmio.host.gcs.compute import UtilityVm
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.gcs import wire as w
from vmio.vmbus.gcs.messages import Message, MessageReader, frame
from vmio.vmbus.gcs.wire import GCS_PORT, Kind, Rpc
from vmio.vmbus.socket.host_socket import UNREAD, HostSocket
from vmio.vmbus.socket.service import MOST, SocketService
from vmio.vmbus.socket.wire import service_of

ECHO, NOBODY = service_of(7), service_of(9)
REST = 3_000_000                # ns in which the host does what it has to
CAPABLE = {"Version": w.PROTOCOL, "Capabilities": {}}


class ContainerWorld(SplitWorld):
    """`service` has the attacker's sockets; the host's program that sends back is `slow`, if an attack says so, and reads nothing."""

    slow = False

    def __init__(self) -> None:
        super().__init__()
        self.service = SocketService(self.host, self.attacker, self.server)
        self.service.listen(ECHO, self._echoes)
        self.echoing: list[HostSocket] = []
        self.sockets: Sockets | None = None

    def _echoes(self, socket: HostSocket) -> None:
        self.echoing.append(socket)
        if not self.slow:
            socket.on_change = partial(self._echo, socket)

    @staticmethod
    def _echo(socket: HostSocket) -> None:
        socket.send(socket.read())

    def counters(self) -> dict[str, int]:
        """Return the refusals of the bus and of the attacker's sockets so far."""
        return {**super().counters(), "connections ended": self.service.ended.total(), "connections refused": self.service.refused.total()}

    def held(self) -> dict[str, tuple[int, int]]:
        """Return what the host keeps for the attacker: channels, and what its program has not read."""
        unread = sum(len(each._unread) for each in self.echoing)
        return {**super().held(), "sockets": (len(self.service.sockets), MOST), "records not read": (unread, UNREAD * MOST)}

    def connect(self, cpu: VCpu, service: bytes = ECHO) -> Steps[GuestSocket]:
        """A connection of the attacker's, with the attack begun: `socket = yield from world.connect(cpu)`."""
        talker = yield from self.talk(cpu)
        self.sockets = self.sockets or Sockets(talker.client)
        return (yield from self.sockets.connect(service))

    def rest(self, cpu: VCpu) -> Steps[None]:
        """A while for the host."""
        until = cpu.now + REST
        while cpu.now < until:
            yield from cpu.hlt(until - cpu.now)


class BridgeWorld(ContainerWorld):
    """The host brings the attacker's agent up, and waits for a process in the neighbour's container meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.vm = UtilityVm(self.host, self.service)
        theirs = SocketService(self.host, self.neighbour, self.machine.guests[1].platform.bus).connect(service_of(GCS_PORT))
        self.neighbours = Bridge(self.host, theirs, lambda body: None, lambda reason: None)
        self.waiting = self.neighbours.call(Rpc.WAIT_FOR_PROCESS, {"ProcessId": 1})
        self.watch_state("neighbour's requests", lambda: self.waiting.triggered)
        self.host.process(self.attacker, self._serve())

    def _serve(self) -> Steps[None]:
        """What the host wants of the attacker's guest; that its agent breaks is the agent's end."""
        try:
            yield from self.vm.bring_up()
            yield from self.vm.container("c", {})
        except (AgentRefused, BridgeClosed):
            pass

    @property
    def reader(self) -> MessageReader | None:
        """What cuts the attacker's messages out of its stream, on the host."""
        return None if self.vm.bridge is None else self.vm.bridge._reader

    def agent(self, cpu: VCpu) -> Steps["Agent"]:
        """An agent of the attacker's, connected, with the attack begun."""
        return Agent((yield from self.connect(cpu, service_of(GCS_PORT))))


class Agent:
    """The attacker's end of the bridge: honest as far as an attack lets it be."""

    def __init__(self, socket: GuestSocket) -> None:
        self.socket, self._reader, self._waiting = socket, MessageReader(), list[Message]()

    def asked(self) -> Steps[Message]:
        """Wait for the host's next request."""
        while not self._waiting:
            self._waiting += self._reader.feed((yield from self.socket.receive()))
        return self._waiting.pop(0)

    def answer(self, request: Message, **body: Any) -> Steps[None]:
        """Answer it."""
        yield from self.socket.send(frame(Kind.RESPONSE | request.type & ~w.KIND_MASK, request.id, {"Result": 0, **body}))

    def agree(self) -> Steps[Message]:
        """Agree on a version, and return the request after that."""
        yield from self.answer((yield from self.asked()), **CAPABLE)
        return (yield from self.asked())

    def raw(self, kind: int, number: int, size: int, body: bytes = b"") -> Steps[None]:
        """Say any bytes."""
        yield from self.socket.send(w.HEADER.pack(type=kind, size=size, id=number) + body)

