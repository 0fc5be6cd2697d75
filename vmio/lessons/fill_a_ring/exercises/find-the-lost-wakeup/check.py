from itertools import combinations_with_replacement

from vmio import FlatMemory, RingReader, RingWriter, format_ring, packets, ring, signal_if_it_was_empty
from vmio.lab import Wrong

RECORDS = 3   # the first is there when the consumer wakes; the others come at every possible time
PLACES = 12   # calls of the consumer before which they may come; later is after it sleeps


class Ring:
    """The consumer's four calls; before each the producer takes the steps that are due."""

    def __init__(self, places, strict=True):
        self.strict = strict        # what is wrong with a handled record is raised
        self._memory = FlatMemory(2)
        format_ring(self._memory)
        self._writer, self._reader = RingWriter(self._memory, lambda *words: False), RingReader(self._memory)
        self._places, self.calls, self.rung, self.handled, self.signals = list(places), [], False, [], 0
        self._steps = self._produce()
        for _ in range(2):
            next(self._steps)

    def _produce(self):
        for number in range(RECORDS):
            old = self._memory.load32(0)
            self._writer.send(packets.INBAND, bytes(8), number)
            yield                                       # published; now the look
            _, read, mask, _ = self._memory.indices()
            if signal_if_it_was_empty(old, self._memory.load32(0), read, mask):
                self.rung, self.signals = True, self.signals + 1
            yield

    def _call(self, name):
        while self._places and self._places[0] <= len(self.calls):
            self.step()
        self.calls.append(name)

    def step(self):
        """The producer's next step."""
        del self._places[:1]
        next(self._steps, None)

    def mask(self):
        self._call("mask")
        self._reader.mask()

    def unmask(self):
        self._call("unmask")
        self._memory.store32(ring.MASK, 0)

    def receive(self):
        self._call("receive")
        packet = self._reader.receive()
        return None if packet is None else packet.transaction_id

    def commit(self):
        self._call("commit")
        self._reader.commit()

    def empty(self):
        self._call("empty")
        return self._reader.available() == 0

    def handle(self, record):
        """What the learner gives records to."""
        self.handled.append(record)
        if self.strict and not self._memory.load32(ring.MASK):
            raise Wrong(f"record {record}", "mask 1 while records are handled", "mask 0",
                        "Each record that comes meanwhile may cost a signal.")


def _when(place, calls):
    """Between which of the consumer's calls."""
    if 0 < place < len(calls):
        return f"between {calls[place - 1]} and {calls[place]}"
    return "before all" if place == 0 else "after all"


def orders():
    """Between which of the consumer's calls the producer takes its steps, all ways."""
    return combinations_with_replacement(range(PLACES + 1), 2 * (RECORDS - 1))


def run(ring, consume):
    """Until nobody signals any more."""
    while ring.rung:
        ring.rung = False
        consume(ring, ring.handle)
        while ring._places and not ring.rung:
            ring.step()


def check(consume):
    runs = 0
    for places in orders():
        ring = Ring(places)
        runs += 1
        run(ring, consume)
        given = f"record 1 comes {_when(places[0], ring.calls)}, record 2 {_when(places[2], ring.calls)}"
        if ring.handled != list(range(RECORDS)):
            lost = RECORDS - len(ring.handled)
            raise Wrong(given, f"{RECORDS} records handled", f"{len(ring.handled)} handled, the consumer asleep",
                        f"{lost} of them: nobody will signal {'it' if lost == 1 else 'them'}.")
        state = ring._writer.state()
        if state["used"]:
            raise Wrong(given, "all room given back", f"{state['used']} bytes still used")
        if state["mask"]:
            raise Wrong(given, "mask 0 when the consumer sleeps", "mask 1")
    return f"{runs:,} orders of steps, every record handled."


def cost(consume):
    """Every tenth order of steps"""
    rings = [Ring(places, strict=False) for places in [*orders()][::10]]
    for ring in rings:
        run(ring, consume)
    return {"signals": sum(ring.signals for ring in rings), "records left behind": sum(RECORDS - len(ring.handled) for ring in rings)}
