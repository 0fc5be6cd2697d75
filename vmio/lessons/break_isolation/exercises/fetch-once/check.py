from vmio.lab import Wrong, attempted, expect


class Shared:
    """Memory that a guest writes while the host reads: each look at the length gets the next of `answers`."""

    def __init__(self, answers):
        self.answers, self.looks, self.copied = answers, 0, []

    def length(self):
        self.looks += 1
        return self.answers[min(self.looks, len(self.answers)) - 1]

    def copy(self, n):
        self.copied.append(n)
        return bytes(n)


def check(receive):
    for answers, room, wanted in (((64, 64), 128, 64), ((64, 4096), 128, 64), ((4096, 64), 128, None), ((0, 64), 128, None),
                                  ((128, 129), 128, 128), ((129, 1), 128, None), ((1, 0), 16, 1), ((-1, 5), 16, None)):
        shared = Shared(answers)
        got = receive(shared, room)
        given = f"lengths {answers} one after the other, room for {room}"
        if not shared.looks:
            raise NotImplementedError
        if any(n > room for n in shared.copied):
            raise Wrong(given, f"at most {room} bytes copied", f"{max(shared.copied):,} copied")
        if got is not None:
            attempted(got, given, (bytes, bytearray, memoryview), "the bytes that were copied, or None")
        expect(len(got) if got is not None else None, wanted, given=given)
    return "Whatever the guest writes, the host uses what it has checked."
