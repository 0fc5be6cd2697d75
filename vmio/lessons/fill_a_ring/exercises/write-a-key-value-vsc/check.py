from vmio import ChannelEnd, FlatMemory, KvDevice, RingReader, RingWriter, format_ring
from vmio.lab import Wrong, expect, expect_at_most, seeded


class Channel:
    """Guest and host end of one channel with two rings of 4,096 bytes."""

    def __init__(self, random):
        out, back = FlatMemory(2), FlatMemory(2)
        format_ring(out)
        format_ring(back)
        self.interrupted = False
        self.guest = ChannelEnd(RingWriter(out), RingReader(back), lambda: self.device.signalled())
        self.device, self.interrupts = KvDevice(ChannelEnd(RingWriter(back), RingReader(out), self._interrupt), random), 0

    def _interrupt(self):
        self.interrupted = True
        self.interrupts += 1


def check(KeyValueVsc):
    random, signals, bursts, requests = seeded(12), 0, 0, 0
    for size, count in ((0, 1), (5, 9), (37, 30), (200, 60), (3, 150)):
        channel = Channel(random)
        vsc, model, got, expected, calls = KeyValueVsc(channel.guest), {}, {}, {}, []
        for number in range(count):
            key = b"k%d" % random.randrange(1 + count // 3)
            value = random.randbytes(random.randrange(size + 1))

            def done(value, number=number):
                calls.append(number)
                got[number] = value
            if random.random() < 0.5:
                expected[number], model[key] = None, value
                vsc.put(key, value, done)
            else:
                expected[number] = model.get(key)
                vsc.get(key, done)
        given = f"{count} requests in one burst, values up to {size} bytes"
        expect_at_most(channel.guest.events, 0, "signals before flush", given=given)
        vsc.flush()
        expect_at_most(channel.guest.events, 1, "signals", given=given)
        rounds = 1
        for _ in range(4 * count + 4):
            channel.device.answer(random.randrange(1, 12))
            if channel.interrupted:
                channel.interrupted, rounds = False, rounds + 1
                vsc.interrupted()
            if len(got) == count and not channel.device.waiting:
                break
        if not channel.device.taken:
            raise Wrong(given, f"{count} requests at the device", "none")
        if len(calls) != count or len(got) != count:
            raise Wrong(given, f"done called once for each of {count}", f"{len(calls)} calls for {len(got)} requests")
        for number in range(count):
            expect(got[number], expected[number], given=f"{given}: request {number}")
        expect_at_most(channel.guest.events, rounds, "signals", given=given)
        signals, bursts, requests = signals + channel.guest.events, bursts + rounds, requests + count
    return f"{requests} requests with {signals} signals."


def cost(KeyValueVsc, count=60):
    """{count:,} puts of 20 bytes in one burst"""
    channel, answers = Channel(seeded(12)), []
    vsc = KeyValueVsc(channel.guest)
    for number in range(count):
        vsc.put(b"key %d" % number, bytes(20), answers.append)
    vsc.flush()
    for _ in range(4 * count + 4):
        channel.device.answer(8)
        if channel.interrupted:
            channel.interrupted = False
            vsc.interrupted()
    return {"signals": channel.guest.events, "interrupts": channel.interrupts, "requests taken": channel.device.taken,
            "answers": len(answers)}
