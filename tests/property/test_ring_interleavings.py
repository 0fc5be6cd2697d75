"""The ring under any interleaving: nothing lost, doubled or reordered, and nobody sleeps while there is work.

Producer and consumer are generators that yield between their steps.  On top, the
memory calls a hook before each access, and there the other side may take some
steps too: in the middle of `write` and `commit`, between any two accesses.
"""

from itertools import islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vmio.vmbus.bus.packets import COMPLETION, INBAND
from vmio.vmbus.bus.ring import MASK, READ, RingFull, RingReader, RingWriter, format_ring, signal_if_it_was_empty
from vmio.vmbus.bus.ringmemory import FlatMemory


class HookedMemory(FlatMemory):
    """Calls `hook` before every access, but not for accesses made by the hook."""

    hook = None

    def _before(self):
        hook, self.hook = self.hook, None
        if hook is not None:
            hook()
            self.hook = hook

    def read(self, offset, length):
        self._before()
        return super().read(offset, length)

    def write(self, offset, data):
        self._before()
        super().write(offset, data)

    def load32(self, offset):
        self._before()
        return super().load32(offset)

    def store32(self, offset, value):
        self._before()
        super().store32(offset, value)

    def indices(self):
        self._before()
        return super().indices()


class Race:
    """A producer and a consumer of one ring, each stepped from outside."""

    def __init__(self, start=0, should_signal=signal_if_it_was_empty, look_again=True, commit_each=False, pages=2):
        self.memory = HookedMemory(pages)
        format_ring(self.memory)
        self.memory.store32(0, start)
        self.memory.store32(4, start)
        self.writer, self.reader = RingWriter(self.memory, should_signal), RingReader(self.memory)
        self.look_again, self.commit_each = look_again, commit_each
        self.queue, self.sent, self.received = [], [], []
        self.wake_consumer = self.wake_producer = False
        self.producer_waits, self.consumer_sleeps, self.producing = False, True, False
        self.sides = {"producer": self._produce(), "consumer": self._consume()}

    def step(self, side, other_steps=()):
        """One step of `side`; before its memory accesses the other side takes so many steps."""
        other = self.sides["consumer" if side == "producer" else "producer"]
        counts = iter(other_steps)
        self.memory.hook = lambda: list(islice(other, next(counts, 0))) and None
        next(self.sides[side])
        self.memory.hook = None

    def _produce(self):
        while True:
            while not self.queue:
                yield
            self.producing = True
            payload = self.queue.pop(0)
            while True:
                try:
                    self.writer.write(INBAND, payload, len(self.sent), wait=True)
                    break
                except RingFull:
                    self.producer_waits = True
                    while not self.wake_producer:
                        yield
                    self.producer_waits = self.wake_producer = False
            self.sent.append(payload)
            yield
            if self.writer.publish():
                self.wake_consumer = True
            self.producing = False

    def _consume(self):
        while True:
            while not self.wake_consumer:
                yield
            self.wake_consumer = self.consumer_sleeps = False
            more = True
            while more:
                self.reader.mask()
                yield
                while (packet := self.reader.receive()) is not None:
                    self.received.append(packet)
                    yield
                    if self.commit_each:
                        self._commit()
                        yield
                self._commit()
                yield
                self.memory.store32(MASK, 0)
                yield
                more = self.look_again and self.reader.available()
            self.consumer_sleeps = True

    def _commit(self):
        if self.reader.commit():
            self.wake_producer = True

    def finish(self):
        """Let both go on in turns until neither has anything to do; then nothing may be left over."""
        for _ in range(10_000):
            self.step("producer")
            self.step("consumer")
            blocked = self.producer_waits and not self.wake_producer
            if self.consumer_sleeps and not self.wake_consumer and (blocked or not (self.producing or self.queue)):
                break
        else:
            raise AssertionError("they never come to rest")

    @property
    def lost(self):
        """Everybody sleeps and something is left to do: a wake-up was lost."""
        return len(self.received) != len(self.sent) or bool(self.queue) or self.producer_waits

    def check(self):
        """What must hold at any time."""
        assert len(self.received) <= len(self.sent) + 1
        for serial, (packet, payload) in enumerate(zip(self.received, self.sent)):
            assert packet.transaction_id == serial
            assert packet.payload == payload + bytes(-len(payload) % 8)
        state = self.writer.state()
        assert state["used"] + state["free"] == state["size"] and state["used"] < state["size"]
        assert state["used"] % 8 == 0


steps = st.lists(st.integers(0, 4), max_size=6)


class RingMachine(RuleBasedStateMachine):
    """Random records, random interleavings."""

    @initialize(start=st.integers(0, 511), commit_each=st.booleans())
    def begin(self, start, commit_each):
        self.race = Race(8 * start, commit_each=commit_each)

    @rule(sizes=st.lists(st.one_of(st.integers(0, 100), st.integers(900, 3000)), min_size=1, max_size=8))
    def ask(self, sizes):
        first = len(self.race.queue) + len(self.race.sent)
        self.race.queue += [bytes([(first + i) % 251]) * size for i, size in enumerate(sizes)]

    @rule(times=st.integers(1, 12), others=steps)
    def produce(self, times, others):
        for _ in range(times):
            self.race.step("producer", others)

    @rule(times=st.integers(1, 12), others=steps)
    def consume(self, times, others):
        for _ in range(times):
            self.race.step("consumer", others)

    @invariant()
    def nothing_wrong(self):
        if hasattr(self, "race"):
            self.race.check()

    def teardown(self):
        if hasattr(self, "race"):
            self.race.finish()
            self.race.check()
            assert not self.race.lost


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)


def lost_wakeup(records=3, limit=7, **options):
    """The first schedule after which a wake-up is lost; None if there is none.

    All orders of `limit` steps: the consumer's, the producer's, and the producer's
    with three of the consumer's between publishing and looking.
    """
    for schedule in product([("consumer",), ("producer",), ("producer", [0, 3])], repeat=limit):
        race = Race(**options)
        race.queue = [bytes(8)] * records
        for step in schedule:
            race.step(*step)
        race.finish()
        if race.lost:
            return schedule
    return None


def test_no_order_of_steps_loses_a_wakeup():
    assert lost_wakeup() is None
    assert lost_wakeup(commit_each=True) is None


def test_a_consumer_that_doesnt_look_again_loses_one():
    assert lost_wakeup(look_again=False) is not None


@pytest.mark.parametrize("broken", [
    lambda old_write, new_write, read, mask: False,
    lambda old_write, new_write, read, mask: mask == 0 and new_write == read,   # the wrong end of the record
    lambda old_write, new_write, read, mask: mask == 0 and old_write == 0,      # right only for the first record
    lambda old_write, new_write, read, mask: mask != 0 and old_write == read,   # the mask upside down
], ids=["never", "new index", "first only", "mask inverted"])
def test_a_broken_rule_loses_a_wakeup(broken):
    assert lost_wakeup(should_signal=broken) is not None


def test_looking_at_the_mask_before_publishing_loses_a_wakeup():
    """The rule gets the consumer's words as they are after publishing; this one remembers them from before."""
    def lost(others):
        race = Race(should_signal=lambda old_write, new_write, *now:
                    signal_if_it_was_empty(old_write, new_write, *seen))
        seen, publish = (0, 0), race.writer.publish

        def look_then_publish():
            nonlocal seen
            seen = race.memory.indices()[1:3]
            list(islice(race.sides["consumer"], others))
            return publish()

        race.writer.publish = look_then_publish
        race.queue = [bytes(8)] * 2
        race.finish()
        return race.lost

    assert any(lost(others) for others in range(8))


def lost_room():
    """All ways in which the producer finds the ring full while the consumer is giving room back, and the reverse."""
    found = []
    for before in range(12):
        for inside in range(10):
            for first, second in (("producer", "consumer"), ("consumer", "producer")):
                race = Race()
                race.queue = [bytes(3000)]
                for _ in range(2):
                    race.step("producer")
                race.queue = [bytes(3000)]
                for _ in range(before):
                    race.step("consumer")
                race.step(first, [0] * inside + [1 if second == "producer" else 12])
                race.finish()
                if race.lost:
                    found.append((before, inside, first))
    return found


def test_no_order_of_accesses_loses_a_producer_that_waits_for_room():
    assert not lost_room()


@pytest.mark.parametrize("name", ["_find_room", "commit"])
def test_without_its_barrier_either_side_of_that_handshake_fails(name, monkeypatch):
    def find_room(writer, total, wait):  # says what it waits for, and doesn't look again
        if writer.available() <= total:
            writer._wait_for(total)
            raise RingFull(total, writer._free)

    def commit(reader):                  # looks at the pending size first, then publishes
        pending = reader.memory.indices()[3]
        freed = (reader._read - reader._published) % reader.size
        reader.memory.store32(READ, reader._read)
        reader._published = reader._read
        free = reader.size - reader.available()
        return free - freed <= pending < free if pending else False

    monkeypatch.setattr(*((RingWriter, name, find_room) if name == "_find_room" else (RingReader, name, commit)))
    assert lost_room()


anything = st.tuples(st.sampled_from([INBAND, COMPLETION]), st.binary(max_size=700), st.integers(0, 2**64 - 1))


@given(st.lists(anything, max_size=60))
@settings(max_examples=80, deadline=None)
def test_a_list_is_the_model(records):
    memory = FlatMemory(2)
    writer, reader, model = RingWriter(memory), RingReader(memory), []
    for kind, payload, transaction_id in records:
        while True:
            try:
                writer.send(kind, payload, transaction_id)
                model.append((kind, payload, transaction_id))
                break
            except RingFull:
                expect = model.pop(0)
                packet = reader.receive()
                assert (packet.kind, packet.payload[:len(expect[1])], packet.transaction_id) == expect
                reader.commit()
        assert writer.available() + reader.available() == 4096
    assert [(p.kind, p.transaction_id) for p in iter(reader.receive, None)] == [(kind, tid) for kind, _, tid in model]
