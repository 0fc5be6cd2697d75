"""The agent in a utility guest: it connects to the host, does what it is asked, and runs processes in containers, one after the other.

    def greet(process):                                    a program: a generator that returns its exit code
        yield from process.stdout.send(b"hello")
        return 0

    agent = Agent(sockets, {"greet": greet})
    yield from agent.serve()                               until the host closes the bridge

Public source: microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/guest/bridge/bridge.go and bridge_v2.go.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vmio.drivers.container.socket import GuestSocket
from vmio.drivers.container.sockets import Sockets
from vmio.drivers.errors import DriverError
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.contracts import Json
from vmio.vmbus.gcs import wire as w
from vmio.vmbus.gcs.messages import Message, MessageReader, frame
from vmio.vmbus.gcs.wire import GCS_PORT, NO_CONTAINER, NOTIFY_CONTAINER, Kind, Rpc
from vmio.vmbus.socket.wire import service_of

FIRST_PID = 100


class Refused(Exception):
    """A request that can't be done: an HRESULT, and why."""

    def __init__(self, result: int, text: str) -> None:
        super().__init__(text)
        self.result = result


@dataclass(eq=False)
class Process:
    """A process: its arguments, its environment, three sockets to the host, and its exit code once it has one."""

    cpu: Cpu
    pid: int
    container: str
    arguments: list[str]
    environment: dict[str, str]
    stdin: GuestSocket
    stdout: GuestSocket
    stderr: GuestSocket
    code: int | None = None

    def read_all(self) -> Steps[bytes]:
        """Return all of its standard input; a generator."""
        found = bytearray()
        while data := (yield from self.stdin.receive()):
            found += data
        return bytes(found)


Program = Callable[[Process], Steps[int]]


class Agent:
    """`programs` by name; `mount(settings)` is a generator that uses what the host says that there is now."""

    def __init__(self, sockets: Sockets, programs: Mapping[str, Program], mount: Callable[[str, Json], Steps[None]] | None = None) -> None:
        self.sockets, self.cpu, self.programs, self.mount = sockets, sockets.cpu, programs, mount
        self.containers: dict[str, Json] = {}       # id -> its configuration
        self.resources: list[tuple[str, Json]] = [] # (type, settings) that the host has added
        self.processes: dict[int, Process] = {}
        self.answered = 0
        self._to_run: Process | None = None

    def serve(self) -> Steps[None]:
        """Connect, and answer requests until the host closes the bridge."""
        self.bridge = yield from self.sockets.connect(service_of(GCS_PORT))
        reader = MessageReader()
        while data := (yield from self.bridge.receive()):
            for message in reader.feed(data):
                yield from self._answer(message)
        yield from self.bridge.close()

    def _answer(self, message: Message) -> Steps[None]:
        rpc = w.REQUESTS.get(message.type)
        if rpc is None:
            raise DriverError(f"agent: {w.TYPES[message.type]} from the host")
        ask = self._REQUESTS.get(rpc)
        body: Json = {"Result": 0}
        try:
            if ask is None:
                raise Refused(w.E_NOTIMPL, f"{rpc.name} is not done here")
            body |= (yield from ask(self, message.body)) or {}
        except Refused as error:
            body = {"Result": error.result - (1 << 32), "ErrorMessage": str(error)}     # JSON has it as a signed number
        except (KeyError, TypeError, ValueError) as error:
            body = {"Result": w.E_INVALIDARG - (1 << 32), "ErrorMessage": f"{rpc.name}: {error}"}
        yield from self.bridge.send(frame(Kind.RESPONSE | rpc, message.id, {**body, "ActivityId": message.body.get("ActivityId", NO_CONTAINER)}))
        self.answered += 1
        if self._to_run is not None:
            yield from self._run()
        if rpc == Rpc.SHUTDOWN_GRACEFUL and not body["Result"]:
            yield from self._tell(message.body["ContainerId"], w.GRACEFUL_EXIT)

    def _run(self) -> Steps[None]:
        """Run a process to its end; requests that come meanwhile lie in the ring."""
        process, self._to_run = self._to_run, None
        assert process is not None
        process.code = yield from self.programs[process.arguments[0]](process)
        for each in (process.stdout, process.stderr, process.stdin):
            yield from each.close()

    def _tell(self, container: str, how: str) -> Steps[None]:
        """Say that a container has ended."""
        self.containers.pop(container, None)
        yield from self.bridge.send(frame(NOTIFY_CONTAINER, 0, {
            "ContainerId": container, "ActivityId": NO_CONTAINER, "Type": how, "Operation": "None", "Result": 0}))

    # Requests: generators that return what belongs into the answer.

    def _negotiate(self, body: Json) -> Steps[Json]:
        if not body["MinimumVersion"] <= w.PROTOCOL <= body["MaximumVersion"]:
            raise Refused(w.E_INVALIDARG, f"version {w.PROTOCOL} is spoken here")
        return {"Version": w.PROTOCOL, "Capabilities": {
            "SendHostCreateMessage": True, "SendHostStartMessage": True, "RuntimeOsType": "Linux",
            "SupportedSchemaVersions": [{"Major": 2, "Minor": 1}]}}
        yield

    def _create(self, body: Json) -> Steps[None]:
        id = body["ContainerId"]
        if id in self.containers:
            raise Refused(w.SYSTEM_EXISTS, f"container {id} exists")
        self.containers[id] = json.loads(body["ContainerConfig"])
        return
        yield

    def _there(self, body: Json) -> Steps[None]:
        if body["ContainerId"] not in self.containers:
            raise Refused(w.NO_SUCH_SYSTEM, f"container {body['ContainerId']} is not there")
        return
        yield

    def _modify(self, body: Json) -> Steps[None]:
        request = body["Request"]
        resource, settings = request["ResourceType"], request["Settings"]
        if self.mount is not None:
            yield from self.mount(resource, settings)
        self.resources.append((resource, settings))

    def _execute(self, body: Json) -> Steps[Json]:
        yield from self._there(body)
        settings = body["Settings"]
        parameters, ports = json.loads(settings["ProcessParameters"]), settings["VsockStdioRelaySettings"]
        arguments = parameters["CommandArgs"]
        if not arguments or arguments[0] not in self.programs:
            raise Refused(w.NO_SUCH_FILE, f"{arguments[:1]} is no program here")
        stdin = yield from self.sockets.connect(service_of(ports["StdIn"]))
        stdout = yield from self.sockets.connect(service_of(ports["StdOut"]))
        stderr = yield from self.sockets.connect(service_of(ports["StdErr"]))
        pid = FIRST_PID + len(self.processes)
        self._to_run = self.processes[pid] = Process(
            self.cpu, pid, body["ContainerId"], arguments, parameters["Environment"], stdin, stdout, stderr)
        return {"ProcessId": pid}

    def _wait(self, body: Json) -> Steps[Json]:
        process = self.processes.get(body["ProcessId"])
        if process is None or process.container != body["ContainerId"]:
            raise Refused(w.E_INVALIDARG, f"process {body['ProcessId']} is not there")
        return {"ExitCode": process.code}
        yield

    _REQUESTS: dict[Rpc, Callable[..., Steps[Json | None]]] = {
        Rpc.NEGOTIATE_PROTOCOL: _negotiate, Rpc.CREATE: _create, Rpc.START: _there, Rpc.MODIFY_SETTINGS: _modify,
        Rpc.EXECUTE_PROCESS: _execute, Rpc.WAIT_FOR_PROCESS: _wait, Rpc.SHUTDOWN_GRACEFUL: _there}
