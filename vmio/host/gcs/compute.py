"""A utility guest as the host's compute service sees it: from the agent's first word to the exit code of a process.

    vm = UtilityVm(host, sockets)
    def steps():                                       a process on the host
        yield from vm.bring_up()                       the agent connects; versions; the guest itself is created and started
        yield from vm.modify("VPMemDevice", {...})     what was plugged in is to be mounted
        box = yield from vm.container("c1", {...})
        process = yield from vm.execute(box, ["cat"], stdin=b"...")
        code = yield from vm.wait(process)             process.stdout, process.stderr
        yield from vm.shut_down(box)

What an agent says wrong, or doesn't say, ends this guest's service with one sentence, `ended`; each step raises it then.
Public source: microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/gcs/guestconnection.go, container.go and process.go.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from simpy.events import Event

from vmio.host.gcs.bridge import AgentRefused, Bridge, BridgeClosed
from vmio.host.gcs.stdio import Stdio
from vmio.hypervisor.contracts import Root, Steps
from vmio.machine.contracts import Json
from vmio.vmbus.gcs.messages import BridgeBroken
from vmio.vmbus.gcs.wire import GCS_PORT, NO_CONTAINER, PROTOCOL, Rpc
from vmio.vmbus.socket.host_socket import HostSocket
from vmio.vmbus.socket.service import SocketService
from vmio.vmbus.socket.wire import service_of

FOREVER_MS = 0xFFFF_FFFF


@dataclass(eq=False)
class Container:
    """A container: `exited` is an event that brings the kind of its exit, when the agent has told of it."""

    id: str
    exited: Event


@dataclass(eq=False)
class ContainerProcess:
    """A process in `container`: its number there, what it has written, and its end, which is asked for from the beginning on."""

    container: Container
    pid: int
    stdio: Stdio
    waiting: Event = field(repr=False)

    @property
    def stdout(self) -> bytes:
        """What it has written so far."""
        return bytes(self.stdio.output["StdOut"])

    @property
    def stderr(self) -> bytes:
        """Its errors so far."""
        return bytes(self.stdio.output["StdErr"])


class UtilityVm:
    """The service for one guest; it listens where the agent connects, for one connection."""

    def __init__(self, host: Root, sockets: SocketService) -> None:
        self.host, self.sockets = host, sockets
        self.bridge: Bridge | None = None
        self.containers: dict[str, Container] = {}
        self.capabilities: Json = {}        # what the agent says of itself
        self.ended: str | None = None       # why it is no more
        self.connected = host.env.event()
        self.connected.defused = True
        self._stdio: list[Stdio] = []
        self._port = GCS_PORT + 1
        sockets.listen(service_of(GCS_PORT), self._accepted)

    # Steps, for a process on the host.

    def bring_up(self) -> Steps[None]:
        """Wait for the agent and agree with it; then the guest itself is created and started, if it asks for that."""
        yield self.connected
        answer = yield from self._ask(Rpc.NEGOTIATE_PROTOCOL, NO_CONTAINER, MinimumVersion=PROTOCOL, MaximumVersion=PROTOCOL)
        capabilities = answer.get("Capabilities", {})
        if answer.get("Version") != PROTOCOL or not isinstance(capabilities, dict):
            self._break(f"GCS: the agent speaks version {str(answer.get('Version'))[:40]}; {PROTOCOL} is spoken here")
        self.capabilities = capabilities
        if capabilities.get("SendHostCreateMessage"):
            yield from self._ask(Rpc.CREATE, NO_CONTAINER, ContainerConfig=_inside({"SystemType": "Container"}))
            if capabilities.get("SendHostStartMessage"):
                yield from self._ask(Rpc.START, NO_CONTAINER)

    def modify(self, resource: str, settings: Json, request: str = "Add") -> Steps[None]:
        """Tell the guest of a resource that it has now, or no more (`request` "Add", "Remove" or "Update")."""
        yield from self._ask(Rpc.MODIFY_SETTINGS, NO_CONTAINER, Request={"ResourceType": resource, "RequestType": request, "Settings": settings})

    def container(self, id: str, config: Json) -> Steps[Container]:
        """Create and start a container.  ValueError for an id that is in use."""
        if id in self.containers or id == NO_CONTAINER:
            raise ValueError(f"container {id!r}: there is one with this id")
        made = self.containers[id] = Container(id, self.host.env.event())
        made.exited.defused = True
        try:
            yield from self._ask(Rpc.CREATE, id, ContainerConfig=_inside(config))
            yield from self._ask(Rpc.START, id)
        except AgentRefused:
            del self.containers[id]
            raise
        return made

    def execute(self, container: Container, arguments: Sequence[str], stdin: bytes = b"", **settings: str) -> Steps[ContainerProcess]:
        """Start a process; what it writes comes over sockets of its own, and `stdin` goes there, to its end."""
        ports = {name: self._port + n for n, name in enumerate(("StdIn", "StdOut", "StdErr"))}
        self._port += len(ports)
        stdio = Stdio(self.sockets, ports, stdin, self._break_quietly)
        self._stdio.append(stdio)
        parameters = {"CommandArgs": list(arguments), "WorkingDirectory": "/", "Environment": dict(settings), "EmulateConsole": False,
                      "CreateStdInPipe": True, "CreateStdOutPipe": True, "CreateStdErrPipe": True}
        try:
            answer = yield from self._ask(Rpc.EXECUTE_PROCESS, container.id, Settings={
                "ProcessParameters": _inside(parameters), "VsockStdioRelaySettings": ports})
        except AgentRefused:
            stdio.end()
            raise
        pid = self._word(answer, "ProcessId")
        return ContainerProcess(container, pid, stdio, self._call(Rpc.WAIT_FOR_PROCESS, container.id, ProcessId=pid, TimeoutInMs=FOREVER_MS))

    def wait(self, process: ContainerProcess) -> Steps[int]:
        """Wait until a process has ended and all that it wrote is here; returns its exit code."""
        answer = yield process.waiting
        code = self._word(answer, "ExitCode")
        yield process.stdio.done
        return code

    def shut_down(self, container: Container) -> Steps[str]:
        """Ask a container to end, and wait until the agent says that it has; returns how it ended."""
        yield from self._ask(Rpc.SHUTDOWN_GRACEFUL, container.id)
        return (yield container.exited)

    def leave(self) -> None:
        """Close the bridge: the agent hears that nobody is there any more."""
        if self.bridge is not None:
            self.bridge.end("the host has closed the bridge")

    # What it is made of.

    def _ask(self, rpc: Rpc, id: str, **body: object) -> Steps[Json]:
        return (yield self._call(rpc, id, **body))

    def _call(self, rpc: Rpc, id: str, **body: object) -> Event:
        assert self.bridge is not None      # it has connected
        return self.bridge.call(rpc, {"ContainerId": id, "ActivityId": NO_CONTAINER, **body})

    def _accepted(self, socket: HostSocket) -> None:
        self.sockets.ignore(service_of(GCS_PORT))
        self.bridge = Bridge(self.host, socket, self._notified, self._closed)
        self.connected.succeed()

    def _notified(self, body: Json) -> None:
        """A container has ended."""
        made = self.containers.pop(str(body.get("ContainerId")), None)
        if made is None:
            raise BridgeBroken(f"GCS: container {str(body.get('ContainerId'))[:40]!r} has ended, and there is none of this name")
        made.exited.succeed(str(body.get("Type"))[:40])

    def _closed(self, reason: str) -> None:
        """The bridge is gone, and with it all that was started over it."""
        self.ended = reason
        for container in self.containers.values():
            container.exited.fail(BridgeClosed(reason))
        self.containers.clear()
        for stdio in self._stdio:
            stdio.end(reason)

    def _word(self, answer: Json, name: str) -> int:
        """The number that an answer says, if it is one of 32 bits; else the bridge ends."""
        value = answer.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0xFFFF_FFFF:
            self._break(f"GCS: {name} {str(value)[:40]}; 0 to 0xffffffff")
        return int(value)

    def _break_quietly(self, reason: str) -> None:
        if self.bridge is not None:
            self.bridge.end(reason)

    def _break(self, reason: str) -> None:
        self._break_quietly(reason)
        raise BridgeClosed(reason)


def _inside(value: Json) -> str:
    """JSON within a JSON string, as the protocol has some of its fields."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
