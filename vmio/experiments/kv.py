"""A key-value device over a channel: the smallest VSP that has requests, answers and an order of its own.

A request is an in-band packet that wants a completion: REQUEST, then the key,
then the value (put only).  The answer is the completion with the same
transaction id: ANSWER, then the value (get only).  Requests take effect in the
order of the ring; the answers come in any order.
"""

from random import Random

from vmio.machine.layout import Layout, u32
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import RingFull

GET, PUT = 1, 2
OK, NOT_FOUND, BAD_REQUEST = 0, 1, 2

REQUEST = Layout("KV_REQUEST", u32("op", names={GET: "GET", PUT: "PUT"}), u32("key_bytes"), u32("value_bytes"),
                 tail="data")
ANSWER = Layout("KV_ANSWER", u32("status", names={OK: "OK", NOT_FOUND: "NOT_FOUND", BAD_REQUEST: "BAD_REQUEST"}),
                u32("value_bytes"), tail="data")


class KvDevice:
    """The host's side of one channel.  `random` (a `random.Random`) picks the order of the answers."""

    def __init__(self, end: ChannelEnd, random: Random) -> None:
        self.end, self.random = end, random
        self.values: dict[bytes, bytes] = {}
        self.waiting: list[tuple[int, bytes]] = []     # (transaction id, answer) of requests that took effect
        self.taken = 0

    def signalled(self) -> None:
        """The guest has signalled: take what is there, and sleep only when nothing more came in between."""
        more = True
        while more:
            self.end.begin_read()
            while (packet := self.end.receive()) is not None:
                self.taken += 1
                self.waiting.append((packet.transaction_id, self._do(packet.payload)))
            more = self.end.end_read()

    def answer(self, number: int) -> None:
        """Send up to `number` of the answers that wait; what finds no room waits on."""
        for _ in range(min(number, len(self.waiting))):
            at = self.random.randrange(len(self.waiting))
            transaction_id, answer = self.waiting[at]
            try:
                self.end.send_completion(answer, transaction_id)
            except RingFull:
                return
            del self.waiting[at]

    def _do(self, payload: bytes) -> bytes:
        """The answer to one request; lengths that do not fit into the packet are refused."""
        if len(payload) < REQUEST.size:
            return ANSWER.pack(status=BAD_REQUEST)
        op, key_bytes, value_bytes, data = REQUEST.parse(payload)
        if op not in (GET, PUT) or key_bytes + value_bytes > len(data):
            return ANSWER.pack(status=BAD_REQUEST)
        key, value = data[:key_bytes], data[key_bytes:key_bytes + value_bytes]
        if op == PUT:
            self.values[key] = value
            return ANSWER.pack(status=OK)
        if key not in self.values:
            return ANSWER.pack(status=NOT_FOUND)
        return ANSWER.pack(status=OK, value_bytes=len(self.values[key]), data=self.values[key])
