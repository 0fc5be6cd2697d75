"""A utility guest whose agent says whatever a test wants, by bytes made here and by nothing of ours; and the host's service for it."""

import json
import struct

from tests import bus_rig
from vmio.drivers.container.sockets import Sockets
from vmio.drivers.errors import DriverError
from vmio.host.gcs.bridge import AgentRefused, BridgeClosed
from vmio.host.gcs.compute import UtilityVm
from vmio.vmbus.socket.service import SocketService
from vmio.vmbus.socket.wire import service_of

# microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/guest/prot/protocol.go
NEGOTIATE, CREATE, START, EXECUTE, WAIT, SHUTDOWN, MODIFY = 0x10100B01, 0x10100101, 0x10100201, 0x10100501, 0x10100601, 0x10100301, 0x10100A01
NOTIFY = 0x30100101
CAPABLE = {"Version": 4, "Capabilities": {"SendHostCreateMessage": True, "SendHostStartMessage": True, "RuntimeOsType": "Linux"}}


def message(kind, number, body, size=None):
    """One message, by hand; `size` is what its header says."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack("<IIQ", kind, 16 + len(text) if size is None else size, number) + text


def answer(kind):
    """The type of the response to a request."""
    return kind - 0x10000000 + 0x20000000


class RawAgent:
    """The guest's end: `request()` is the next one of the host's, as (type, id, body)."""

    def __init__(self, sockets):
        self.sockets, self.cpu, self.kept = sockets, sockets.cpu, bytearray()

    def connect(self, port=0x40000000):
        self.socket = yield from self.sockets.connect(service_of(port))

    def request(self):
        while len(self.kept) < 16 or len(self.kept) < struct.unpack_from("<I", self.kept, 4)[0]:
            data = yield from self.socket.receive()
            if not data:
                return None
            self.kept += data
        kind, size, number = struct.unpack_from("<IIQ", self.kept)
        body = json.loads(bytes(self.kept[16:size]))
        del self.kept[:size]
        return kind, number, body

    def say(self, *messages):
        for each in messages:
            yield from self.socket.send(each)

    def agree(self, until, answers=None):
        """Answer as an honest agent does until a request of type `until` comes; returns that."""
        while True:
            asked = yield from self.request()
            if asked is None or asked[0] == until:
                return asked
            body = {"Result": 0, **(CAPABLE if asked[0] == NEGOTIATE else {}), **(answers or {}).get(asked[0], {})}
            yield from self.say(message(answer(asked[0]), asked[1], body))


def served(script, steps=None, limit=None):
    """Run `script(agent)` in the guest and `steps(vm)` on the host; returns (vm, the host's sentence or None, what `steps` returned)."""
    host, guest, server, _ = bus_rig.machine(devices=0)
    vm = UtilityVm(host, SocketService(host, guest, server))
    told = {}

    def whole(cpu):
        client = bus_rig.new_client(cpu)
        yield from client.connect()
        yield from client.request_offers()
        agent = RawAgent(Sockets(client))
        yield from agent.connect()
        try:
            yield from script(agent)
        except DriverError as error:
            told["guest"] = str(error)
        for _ in range(40):
            yield from cpu.hlt(1_000_000)

    def on_host():
        try:
            told["found"] = yield from (steps or started)(vm)
        except (BridgeClosed, AgentRefused) as error:
            told["said"] = str(error)
    host.process(guest, on_host())
    bus_rig.run(host, guest, whole)
    return vm, told.get("said"), told.get("found")


def started(vm):
    """Steps: all of one process."""
    yield from vm.bring_up()
    box = yield from vm.container("c1", {"a": 1})
    process = yield from vm.execute(box, ["sh"], b"in")
    code = yield from vm.wait(process)
    how = yield from vm.shut_down(box)
    return code, process.stdout, process.stderr, how
