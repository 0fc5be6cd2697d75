"""Attacks over the bridge: an agent in a container's guest that lies to the host's compute service."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from json.scanner import py_make_scanner      # type: ignore[attr-defined]  # typeshed knows only the one in C

from vmio.attacks.catalogue import collection
from vmio.attacks.container_world import BridgeWorld
from vmio.attacks.defence import Watchdog, without
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Buffer, Json
from vmio.host.gcs.bridge import Bridge
from vmio.vmbus.gcs import messages
from vmio.vmbus.gcs import wire as w
from vmio.vmbus.gcs.messages import Message, MessageReader
from vmio.vmbus.gcs.wire import Kind, Rpc

HCSSHIM = "microsoft/hcsshim internal/gcs/bridge.go (readMessage, recvLoop)"
DEEP = 60_000           # brackets, in one message
ATTACKS, attack = collection("bridge", "split", BridgeWorld, "rings")


def _agrees(world: BridgeWorld, cpu: VCpu, size: int, body: bytes = b"") -> Steps[None]:
    """Answer the host's first request, which version to speak, with a message that says that it has `size` bytes."""
    agent = yield from world.agent(cpu)
    asked = yield from agent.asked()
    yield from agent.raw(Kind.RESPONSE | Rpc.NEGOTIATE_PROTOCOL, asked.id, size, body)
    yield from world.rest(cpu)


@contextmanager
def any_size(world: BridgeWorld) -> Iterator[None]:
    """A message is as long as it says, and the next one begins behind it."""
    dog = Watchdog()

    def feed(self: MessageReader, data: Buffer) -> Iterator[Message]:
        if self is not world.reader:
            yield from real(self, data)
            return
        self._bytes += data
        while len(self._bytes) >= w.HEADER.size:
            dog.tick()
            kind, size, number = w.HEADER.struct.unpack_from(self._bytes)
            del self._bytes[:size]
    with without(MessageReader, "feed", feed) as real:
        yield


@attack("bridge-size-zero", "A message of no bytes", "a message has a header, and 64 KiB at most", HCSSHIM,
        "the size is compared with both", any_size, REJECT, WEDGED, wall="message's size")
def size_zero(world: BridgeWorld, cpu: VCpu) -> Steps:
    yield from _agrees(world, cpu, 0)


def unmeasured(body: bytes) -> Json:
    """Return what a parser makes of it that calls itself for each bracket, as most do; Python's own in Python, whose stack has the same end on every system."""
    found: Json = py_make_scanner(json.JSONDecoder())(body.decode(), 0)[0]
    return found


@attack("bridge-json-bomb", "JSON of sixty thousand brackets", "what a guest sends is no deeper than the host's stack", "RFC 8259, section 9 (limits on depth)",
        "brackets and digits are counted before anything is parsed", lambda world: without(messages, "parse", unmeasured), REJECT, WEDGED,
        wall="depth of JSON")
def json_bomb(world: BridgeWorld, cpu: VCpu) -> Steps:
    yield from _agrees(world, cpu, w.HEADER.size + DEEP, b"[" * DEEP)


@contextmanager
def one_table(world: BridgeWorld) -> Iterator[None]:
    """The host has one table of what it has asked, for all its guests."""
    def take(self: Bridge, message: Message) -> None:
        other = next((each for each in (self, world.neighbours) if message.id in each._calls), self)
        real(other, message)
    with without(Bridge, "_take", take) as real:
        yield


@attack("bridge-answers-twice", "Answer once more, with each id there may be", "a guest answers what it was asked, once", HCSSHIM,
        "each guest has its own ids, and an answer to nothing ends its bridge", one_table, REJECT, FAIL, wall="id of an answer")
def answers_twice(world: BridgeWorld, cpu: VCpu) -> Steps:
    agent = yield from world.agent(cpu)
    asked = yield from agent.agree()
    yield from agent.answer(asked)
    for number in range(1, asked.id + 1):       # these were answered already, or were never asked of us
        yield from agent.answer(Message(Kind.REQUEST | Rpc.WAIT_FOR_PROCESS, number, {}, 0), ExitCode=0)
    yield from world.rest(cpu)
