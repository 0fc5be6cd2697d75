from random import Random

from vmio.lab.check import expect
from vmio.vmbus.bus.packets import COMPLETION, GPA_DIRECT, INBAND, GpaRange
from vmio.vmbus.bus.ring import DATA, WRITE, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory


def check(read_record):
    random, memory = Random(3), FlatMemory(2)
    format_ring(memory)
    writer, reader = RingWriter(memory), RingReader(memory)
    records = wrapped = 0
    while wrapped < 3:
        index = memory.load32(WRITE)
        kind = random.choice((INBAND, GPA_DIRECT, COMPLETION))
        payload = random.randbytes(8 * random.randrange(1, 20))
        ranges = (GpaRange(4096, 0, (random.randrange(1, 1 << 20),)),) if kind == GPA_DIRECT else ()
        writer.send(kind, payload, transaction_id=random.randrange(1 << 64), ranges=ranges)
        after = memory.load32(WRITE)
        wrapped += after < index
        sent = reader.receive()
        reader.commit()
        data = memory.read(DATA, memory.size)
        expect(tuple(read_record(data, index)), (kind, sent.transaction_id, payload, after),
               given=f"a record of type {kind:#x} at index {index} of {memory.size}")
        records += 1
    return f"{records} records, {wrapped} of them around the end."
