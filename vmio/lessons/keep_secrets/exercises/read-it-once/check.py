from vmio.lab import Wrong, attempted, counted, expect, seeded

PAGE = 4096


class Shared:
    """A page whose host changes each byte as soon as it was read; counts how often each was."""

    def __init__(self, message, length, random):
        self.page = bytearray(length.to_bytes(4, "little") + message).ljust(PAGE, b"\xee")
        self.times, self.random = [0] * PAGE, random

    def read(self, at, count):
        """Return the bytes as they are now."""
        if not isinstance(at, int) or not isinstance(count, int) or at < 0 or count < 0 or at + count > PAGE:
            raise Wrong(f"shared.read({at}, {count})", f"bytes within the page of {PAGE}", "a read beyond it")
        found = bytes(self.page[at:at + count])
        for place in range(at, at + count):
            self.times[place] += 1
            self.page[place] = self.random.randrange(256) if place > 3 else 0xFF
        return found


def check(take):
    random, good, refused = seeded(17), 0, 0
    for length, room in ((0, 0), (0, 64), (1, 1), (64, 64), (100, 4092), (4092, 4092), (4092, 9000), (random.randrange(2, 4000), 4092)):
        message = random.randbytes(length)
        shared, given = Shared(message, length, random), f"a message of {length} bytes, room for {room}"
        got = attempted(take(shared, room), given, (bytes, bytearray), "bytes")
        expect(max(shared.times), 1, f"{given}: how often the most read byte was read")
        expect(bytes(got), message, given)
        expect(sum(shared.times[4 + length:]), 0, f"{given}: the number of bytes that were read behind it")
        good += 1
    for length, room in ((1, 0), (65, 64), (4093, 4092), (4093, 9000), (4096, 9000), (0xFFFFFFFF, 64), (1 << 31, 9000)):
        shared, given = Shared(b"", length, random), f"a message that says {length} bytes, room for {room}"
        try:
            got = take(shared, room)
        except ValueError:
            got = "ValueError"
        expect(got if got == "ValueError" else "no error", "ValueError", given)
        expect(sum(shared.times[4:]), 0, f"{given}: the number of its bytes that were read")
        expect(max(shared.times), 1, f"{given}: how often the most read byte was read")
        refused += 1
    return f"{counted(good, 'messages')} taken, {refused} refused, and no byte read twice."
