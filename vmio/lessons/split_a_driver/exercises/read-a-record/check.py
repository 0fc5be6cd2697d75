from vmio import FlatMemory, GpaRange, RingReader, RingWriter, format_ring, packets, ring
from vmio.lab import Wrong, attempted, expect, seeded

NAMES = "type", "transaction id", "payload", "index after it"


def check(read_record):
    random, memory = seeded(3), FlatMemory(2)
    format_ring(memory)
    writer, reader = RingWriter(memory), RingReader(memory)
    records = wrapped = 0
    while wrapped < 3:
        index = memory.load32(ring.WRITE)
        kind = random.choice((packets.INBAND, packets.GPA_DIRECT, packets.COMPLETION))
        payload = random.randbytes(8 * random.randrange(1, 20))
        ranges = (GpaRange(4096, 0, (random.randrange(1, 1 << 20),)),) if kind == packets.GPA_DIRECT else ()
        writer.send(kind, payload, transaction_id=random.randrange(1 << 64), ranges=ranges)
        after = memory.load32(ring.WRITE)
        wrapped += after < index
        sent = reader.receive()
        reader.commit()
        data = memory.read(ring.DATA, memory.size)
        given = f"a record of type {kind:#x} at index {index} of {memory.size}"
        answer = attempted(read_record(data, index), given, (tuple, list), "a tuple of four")
        if len(answer) != 4:
            raise Wrong(given, "a tuple of four", answer)
        for name, wanted, got in zip(NAMES, (kind, sent.transaction_id, payload, after), answer):
            expect(bytes(got) if isinstance(got, bytearray) else got, wanted, f"{given}: {name}")
        records += 1
    return f"{records} records, {wrapped} of them around the end."
