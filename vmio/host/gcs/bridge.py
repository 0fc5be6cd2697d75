"""The host's end of the bridge: requests to the agent in a utility guest, its answers, and what it says unasked.

    bridge = Bridge(host, socket, notified)
    answer = yield bridge.call(Rpc.CREATE, {...})       in a process on the host; AgentRefused or BridgeClosed are raised there

The agent runs in the guest, so it is hostile: whatever is wrong ends the bridge with one sentence, `reason`, and with it all
that runs in this guest, and nothing else.
Public source: microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/gcs/bridge.go.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.machine.contracts import Json
from vmio.vmbus.gcs.messages import BridgeBroken, Message, MessageReader, frame
from vmio.vmbus.gcs.wire import KIND_MASK, NOTIFY_CONTAINER, RESPONSES, TYPES, Kind, Rpc
from vmio.vmbus.socket.host_socket import HostSocket

TIMEOUT_NS = 300_000_000_000        # for an answer: five minutes (bridgeFailureTimeout)
MAX_TEXT = 1024                     # characters of what an agent says of its error


class AgentRefused(Exception):
    """The agent has answered that it can't: `result` is its HRESULT."""

    def __init__(self, rpc: Rpc, result: int, text: str) -> None:
        super().__init__(rpc, result, text)         # as they are: whoever waits for an event gets a copy, made of these
        self.rpc, self.result, self.text = rpc, result, text

    def __str__(self) -> str:
        return f"{self.rpc.name}: the agent refuses, {self.result:#010x} {self.text}".rstrip()


class BridgeClosed(Exception):
    """The bridge is gone; the text says why."""


class Call(NamedTuple):
    """A request that is not answered yet."""

    rpc: Rpc
    answered: Event


class Bridge:
    """`notified(body)` is told what the agent says unasked.  `messages` counts by name, `sent` and `received` are bytes."""

    def __init__(self, host: Root, socket: HostSocket, notified: Callable[[Json], None], closed: Callable[[str], None],
                 timeout_ns: int = TIMEOUT_NS) -> None:
        self.host, self.socket, self._notified, self._closed, self._timeout = host, socket, notified, closed, timeout_ns
        self.messages: Counter[str] = Counter()
        self.sent = self.received = 0
        self.reason: str | None = None      # why it is no more
        self._reader = MessageReader()
        self._calls: dict[int, Call] = {}
        self._next = 1
        socket.on_change = self._look

    def call(self, rpc: Rpc, body: Json) -> Event:
        """Return an event that brings the answer's body, or fails."""
        event = self.host.env.event()
        event.defused = True                # nobody need wait for it
        if self.reason is not None:
            return event.fail(BridgeClosed(self.reason))
        number, self._next = self._next, self._next + 1
        data = frame(Kind.REQUEST | rpc, number, body)
        self._calls[number] = Call(rpc, event)
        self._count(Kind.REQUEST | rpc)
        self.sent += len(data)
        self.host.at(self.host.env.now + self._timeout, lambda _: self._late(number))
        self.socket.send(data)
        return event

    def end(self, reason: str) -> None:
        """End the bridge: what was asked fails, and the connection goes."""
        if self.reason is None:
            self.reason = reason
            calls, self._calls = self._calls, {}
            for call in calls.values():
                call.answered.fail(BridgeClosed(reason))
            self.socket.abort(reason)
            self._closed(reason)

    def _look(self) -> None:
        """Something has come, or the connection is over."""
        if self.reason is not None:
            return
        try:
            for message in self._reader.feed(self.socket.read()):
                self._count(message.type)
                self.received += message.bytes
                self._take(message)
        except BridgeBroken as error:
            return self.end(str(error))
        if self.socket.ended:
            self.end(self.socket.over or "GCS: the agent has closed the bridge")

    def _take(self, message: Message) -> None:
        kind = message.type & KIND_MASK
        if kind == Kind.RESPONSE:
            call = self._calls.get(message.id)
            if call is None:
                raise BridgeBroken(f"GCS: a response with id {message.id}, and nothing was asked with it")
            if RESPONSES[message.type] != call.rpc:
                raise BridgeBroken(f"GCS: {TYPES[message.type]} to {call.rpc.name}")
            self._answer(message.id, call, message.body)
        elif message.type == NOTIFY_CONTAINER:
            self._notified(message.body)
        else:
            raise BridgeBroken(f"GCS: {TYPES[message.type]} from an agent")

    def _answer(self, number: int, call: Call, body: Json) -> None:
        result = body.get("Result", 0)
        if not isinstance(result, int) or isinstance(result, bool) or not -1 << 31 <= result < 1 << 32:
            raise BridgeBroken(f"GCS: a result that is no HRESULT in a response to {call.rpc.name}")
        del self._calls[number]
        if result:
            text = body.get("ErrorMessage", "")
            call.answered.fail(AgentRefused(call.rpc, result & 0xFFFF_FFFF, str(text)[:MAX_TEXT]))
        else:
            call.answered.succeed(body)

    def _late(self, number: int) -> None:
        if number in self._calls:
            self.end(f"GCS: no answer to {self._calls[number].rpc.name} in {self._timeout:,} ns")

    def _count(self, kind: int) -> None:
        self.messages[TYPES[kind]] += 1
