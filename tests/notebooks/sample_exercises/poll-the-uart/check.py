from vmio.lab.check import expect, expect_at_most


class Port:
    """A toy transmitter that counts what it costs."""

    def __init__(self):
        self.exits = 0
        self.sent = bytearray()

    def ready(self):
        self.exits += 1
        return True

    def put(self, byte):
        self.exits += 1
        self.sent.append(byte)


def check(send):
    worst = 0
    for data in (b"", b"x", b"vmio\x00\xff", bytes(range(7, 40)), b"the quick brown fox jumps over 13 lazy dogs"):
        port = Port()
        send(port, data)
        expect(bytes(port.sent), data, given=data)
        expect_at_most(port.exits, len(data) + -(-len(data) // 16), "exits", given=f"{len(data)} bytes")
        worst = max(worst, port.exits)
    return f"The longest string took {worst} exits."
