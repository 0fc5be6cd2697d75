"""A producer and a consumer of one real ring, one step at a time: what the other side can see after each of them.

    script = SCRIPTS["does not look again"]
    story = play(script)         Story(frames, ending); a frame is a dict, ready for a drawing
    hangs(script)                how many of 1,000 random orders of steps end in a hang

A step is one access that the other side can see, or going to sleep, or waking.
The ring is `RingWriter` and `RingReader` over real bytes; only the moment
between the producer's publishing and its look at the consumer's words is made
longer here, so that something can happen in between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from vmio.vmbus.bus.packets import DESCRIPTOR, INBAND, KINDS
from vmio.vmbus.bus.ring import (
    DATA,
    MASK,
    READ,
    WRITE,
    RingFull,
    RingReader,
    RingWriter,
    format_ring,
    signal_if_it_was_empty,
)
from vmio.vmbus.bus.ringmemory import FlatMemory

MAX_STEPS = 2000  # a story is far shorter; a rule of a learner's may never come to rest
PRODUCER, CONSUMER = "producer", "consumer"


@dataclass(frozen=True)
class Script:
    """What is sent, by which rules, and who moves when.

    `sizes`: payload bytes of each record.  `order`: one letter a step, p or c; a
    side that sleeps is passed over, and after the last letter both move in turns.
    The rules: `should_signal`; does the producer `look_first`, before it publishes;
    does the consumer `look_again` after it has unmasked; does the producer `say_pending`.
    """

    sizes: tuple[int, ...] = (200, 500, 100)
    order: str = ""
    start: int = 3600
    should_signal: Callable[[int, int, int, int], bool] = signal_if_it_was_empty
    look_first: bool = False
    look_again: bool = True
    say_pending: bool = True
    about: str = ""


def never(old_write: int, new_write: int, read: int, mask: int) -> bool:
    """Break the rule: no signals at all."""
    return False


def wrong_end(old_write: int, new_write: int, read: int, mask: int) -> bool:
    """Break the rule: compare the end of the record, not its beginning."""
    return mask == 0 and new_write == read


_SENT = "pppp"     # a record: write, publish, look, signal or not
_FOUND = "cccc"    # woken, mask, read it, find nothing more; still masked
_FULL: dict[str, Any] = dict(sizes=(1200, 1200, 1200, 1200), order="p" * 14)
SCRIPTS = {
    "all rules kept": Script(order=_SENT + _FOUND + _SENT,
                             about="Record 1 comes when the consumer has just found nothing more."),
    "ring full": Script(**_FULL, about="Three records fit. The producer says how much room it waits for."),
    "no second look": Script(order=_SENT + _FOUND + _SENT, look_again=False,
                             about="The same order, but the consumer unmasks and sleeps at once."),
    "looks, then publishes": Script(order=_SENT + "ccc" + "pp" + "ccccc", look_first=True,
                                    about="The producer reads mask and read index before it publishes."),
    "never signals": Script(should_signal=never, about="Nobody rings."),
    "wrong index": Script(should_signal=wrong_end, about="new_write == read instead of old_write == read."),
    "no pending size": Script(**_FULL, say_pending=False,
                              about="The producer sleeps and does not say what it waits for."),
}


@dataclass(frozen=True)
class Story:
    """All frames of one run, and how it ended: "drained" or "hangs: ..."."""

    frames: list | None      # None: nobody asked for them
    ending: str
    signals: int

    @property
    def hangs(self) -> bool:
        """Do both sides sleep although there is something to do?"""
        return self.ending != "drained"


def play(script: Script) -> Story:
    """Return the `Story` of a script; the same script gives the same story."""
    return _Stage(script).run()


def hangs(script: Script, orders: int = 1000, seed: int = 1) -> int:
    """Return how many of so many random orders of the first 40 steps end in a hang."""
    random = Random(seed)
    letters = ("".join("pc"[random.getrandbits(1)] for _ in range(40)) for _ in range(orders))
    return sum(_Stage(replace(script, order=order), frames=False).run().hangs for order in letters)


class _Stage:
    """One run: the ring, both sides as generators, and a frame after each step."""

    def __init__(self, script: Script, frames: bool = True) -> None:
        self.script = script
        self.memory = memory = FlatMemory(2)
        format_ring(memory)
        memory.store32(WRITE, script.start)
        memory.store32(READ, script.start)
        # The writer itself never asks for a signal: looking and deciding are steps of their own here.
        self.writer, self.reader = RingWriter(memory, should_signal=never), RingReader(memory)
        self.records: list[dict[str, Any]] = []        # what is in the ring's bytes, oldest first,
        self.end = script.start                        # and where it ends
        self.unsent, self.signals = len(script.sizes), 0
        self.asleep = {PRODUCER: False, CONSUMER: True}
        self.rung = {PRODUCER: False, CONSUMER: False}
        self.frames: list[dict[str, Any]] | None = [] if frames else None
        self._steps = {PRODUCER: self._produce(), CONSUMER: self._consume()}
        self._frame("", "the ring is empty: both indices are equal")

    def run(self) -> Story:
        """Until neither side can move."""
        order, turn = iter(self.script.order), 0
        for _ in range(MAX_STEPS):
            able = [side for side in (PRODUCER, CONSUMER) if not self.asleep[side] or self.rung[side]]
            if not able:
                return self._end()
            letter = next(order, None)
            if letter is None:
                turn += 1
                letter = "cp"[turn % 2]
            side = PRODUCER if letter == "p" else CONSUMER
            if side in able:
                self._frame(side, *next(self._steps[side]))
        return Story(self.frames, f"hangs: still awake after {MAX_STEPS:,} steps", self.signals)

    def _end(self) -> Story:
        ending, asleep = "drained", ""
        if self.records or self.unsent:
            plural, left = "s" * (len(self.records) != 1), f" and {self.unsent} unsent" if self.unsent else ""
            ending, asleep = f"hangs: {len(self.records)} record{plural} in the ring{left}", ", both sides asleep"
        if self.frames:
            self.frames[-1]["text"] += f"; {ending}"
        return Story(self.frames, ending + asleep, self.signals)

    # Each side's yield ends a step: what happened, and whom it signals ("" for nobody).

    def _produce(self) -> Iterator[tuple[str, str]]:
        script = self.script
        for number, size in enumerate(script.sizes):
            while not self._write(number, size):
                yield "finds no room" + (", stores its pending send size" if script.say_pending else ""), ""
                yield self._sleep(PRODUCER), ""
                yield self._wake(PRODUCER), ""
            yield f"writes record {number}, nobody can see it yet", ""
            if script.look_first:
                read, mask = self._look()
                yield f"looks: read index {read:,}, mask {mask}", ""
            old, new = self._publish()
            yield f"publishes write index {new:,}", ""
            if not script.look_first:
                read, mask = self._look()
                yield f"looks: read index {read:,}, mask {mask}", ""
            if script.should_signal(old, new, read, mask):
                yield self._ring(CONSUMER), CONSUMER
            else:
                yield "does not signal" + (": masked" if mask else ": it was not empty" if old != read else ""), ""
        yield "has sent all, " + self._sleep(PRODUCER), ""

    def _write(self, number: int, size: int) -> bool:
        try:
            self.writer.write(INBAND, bytes([number]) * size, number, wait=self.script.say_pending)
        except RingFull:
            return False
        self.records.append(self._parse(self.end))
        self.end = (self.end + self.records[-1]["length"]) % self.writer.size
        self.unsent -= 1
        return True

    def _publish(self) -> tuple[int, int]:
        old = self.memory.load32(WRITE)
        self.writer.publish()
        for record in self.records:
            record["published"] = True
        return old, self.memory.load32(WRITE)

    def _look(self) -> tuple[int, int]:
        return self.memory.indices()[1:3]

    def _consume(self) -> Iterator[tuple[str, str]]:
        reader = self.reader
        while True:
            yield self._wake(CONSUMER), ""
            more = True
            while more:
                reader.mask()
                yield "masks: no signals, please", ""
                while (packet := reader.receive()) is not None:
                    next(record for record in self.records if not record["received"])["received"] = True
                    yield f"reads record {packet.transaction_id}", ""
                yield "finds nothing more", ""
                room = reader.commit()
                self.records = [record for record in self.records if not record["received"]]
                yield f"publishes read index {self._look()[0]:,}", ""
                if room:
                    yield self._ring(PRODUCER), PRODUCER
                self.memory.store32(MASK, 0)
                yield "unmasks", ""
                more = self.script.look_again and reader.available() > 0
                if self.script.look_again:
                    yield "looks again: " + ("something came in between" if more else "still nothing"), ""
            yield self._sleep(CONSUMER), ""

    def _sleep(self, side: str) -> str:
        self.asleep[side] = True
        return "sleeps"

    def _wake(self, side: str) -> str:
        self.asleep[side] = self.rung[side] = False
        return "is woken by the signal"

    def _ring(self, side: str) -> str:
        self.rung[side] = True
        self.signals += 1
        return f"signals the {side}"

    def _parse(self, at: int) -> dict[str, Any]:
        """The record whose descriptor begins at `at`, from the ring's own bytes."""
        size, memory = self.writer.size, self.memory
        first = memory.read(DATA + at, min(DESCRIPTOR.size, size - at))
        kind, _, length8, _, number = DESCRIPTOR.parse(first + memory.read(DATA, DESCRIPTOR.size - len(first)))
        return {"at": at, "length": 8 * length8 + 8, "kind": KINDS[kind], "transaction_id": number,
                "published": False, "received": False}

    def _frame(self, actor: str, text: str, signal: str = "") -> None:
        if self.frames is not None:
            self.frames.append({
                "actor": actor, "text": text, "signal": signal, "signals": self.signals, **self.writer.state(),
                "asleep": [side for side in (PRODUCER, CONSUMER) if self.asleep[side]],
                "records": [dict(record) for record in self.records]})
