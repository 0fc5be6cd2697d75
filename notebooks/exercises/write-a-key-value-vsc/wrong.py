from vmio.vmbus.bus.packets import COMPLETION_REQUESTED, INBAND
from vmio.vmbus.bus.ring import RingFull
from vmio.experiments.kv import ANSWER, GET, PUT, REQUEST


class KeyValueVsc:
    """Takes the answers for those of the requests in the order in which they were sent."""

    def __init__(self, end):
        self.end = end
        self.noted, self.in_flight, self.number = [], {}, 0

    def put(self, key, value, done):
        payload = REQUEST.pack(op=PUT, key_bytes=len(key), value_bytes=len(value), data=key + value)
        self.noted.append((payload, PUT, done))

    def get(self, key, done):
        self.noted.append((REQUEST.pack(op=GET, key_bytes=len(key), data=key), GET, done))

    def flush(self):
        try:
            while self.noted:
                payload, *request = self.noted[0]
                self.end.outgoing.write(INBAND, payload, self.number, COMPLETION_REQUESTED)
                self.in_flight[self.number] = request
                self.number += 1
                del self.noted[0]
        except RingFull:
            pass
        self.end.flush()

    def interrupted(self):
        more = True
        while more:
            self.end.begin_read()
            while (packet := self.end.receive()) is not None:
                answer = ANSWER.parse(packet.payload)
                op, done = self.in_flight.pop(min(self.in_flight))
                done(answer.data[:answer.value_bytes] if op == GET and answer.status == 0 else None)
            more = self.end.end_read()
        if self.noted:
            self.flush()
