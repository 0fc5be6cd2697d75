from vmio import RingFull, kv, packets


class KeyValueVsc:
    """Takes the answers for those of the requests in the order in which they were sent."""

    def __init__(self, end):
        self.end = end
        self.noted, self.in_flight, self.number = [], {}, 0

    def put(self, key, value, done):
        payload = kv.REQUEST.pack(op=kv.PUT, key_bytes=len(key), value_bytes=len(value), data=key + value)
        self.noted.append((payload, kv.PUT, done))

    def get(self, key, done):
        self.noted.append((kv.REQUEST.pack(op=kv.GET, key_bytes=len(key), data=key), kv.GET, done))

    def flush(self):
        try:
            while self.noted:
                payload, *request = self.noted[0]
                self.end.outgoing.write(packets.INBAND, payload, self.number, packets.COMPLETION_REQUESTED)
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
                answer = kv.ANSWER.parse(packet.payload)
                op, done = self.in_flight.pop(min(self.in_flight))
                done(answer.data[:answer.value_bytes] if op == kv.GET and answer.status == 0 else None)
            more = self.end.end_read()
        if self.noted:
            self.flush()
