"""Dynamic memory: pages that are not the guest's to give, answers that nobody waits for, memory that comes and goes meanwhile.

What may be given is told twice: by the host's half, and here by sets of page numbers.  Both must say the same of each answer.
"""

import struct

from tests import guests
from tests.balloon_rig import VERSION_1, VERSION_2, VERSION_03, capabilities, given, message, status, version
from tests.fuzz.engine import bruised, number
from vmio.machine.memory import PAGE, OutOfMemory
from vmio.machine.pagetable import READ as MAPPED
from vmio.machine.pagetable import TranslationFault
from vmio.modes import Machine as Whole
from vmio.vmbus.balloon.dynamic import DynamicMemory
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import DATA, READ, WRITE, RingFull, RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory

KINDS = (("inflate",) * 4 + ("give",) * 12 + ("deflate",) * 3 + ("took",) * 4 + ("add",) * 3 + ("added",) * 5
         + ("status", "touch", "touch", "heir", "heir", "pin", "start", "flood", "any", "any", "noise", "reset"))
RAM_MIB, MAXIMUM = 4, 1 << 16
LENT, OVERLAID = range(96, 104), 200        # guest pages that must stay where they are
CANARY, MANY = b"next guest's own" * 4, 4096
INFLATE, DEFLATE, ADD = "inflate", "deflate", "add"


class Machine:
    """A guest whose memory comes and goes, a neighbour, and others that get what it gave."""

    def __init__(self, dice):
        self.host = host = Whole(memory_mib=20).host
        self.guest, _ = guests.on_a_bus(host, "attacker", ram_mib=RAM_MIB)
        self.neighbour = host.guest("neighbour", 1)
        self.neighbour.memory.write(0, b"n" * self.neighbour.ram)
        self.guest.lent.append(lambda: LENT)
        overlays = self.guest.enlightened.overlays
        overlays.show("fuzz", overlays.page(), OVERLAID * PAGE)
        self.memory = DynamicMemory(host, self.guest, maximum=MAXIMUM)
        self.memory.channel = self
        self.memory.answered = lambda asked, pages: self.told.append((asked.name, pages))
        self.has, self.gone, self.heirs = set(range(self.guest.ram // PAGE)), set(), []
        self.kept = {page: self.guest.backing.spa(page * PAGE) for page in (*LENT, OVERLAID)}
        self.used = self.guest.used_pages()
        self.reopen(True)
        self.all = self._frames()

    # The channel, as the bus would have it.

    def reopen(self, ready):
        if self.memory.worker is not None:
            self.memory.closed()
        self.host.env.run()
        out, back = FlatMemory(5), FlatMemory(5)
        format_ring(out), format_ring(back)
        self.rings = out, back
        self.ours = ChannelEnd(RingWriter(out), RingReader(back), lambda: self.host_end.interrupted())
        self.host_end = ChannelEnd(RingWriter(back), RingReader(out), lambda: None)
        self.errors, self.told = [], []
        self.asked, self.wanted, self.got, self.ready = None, 0, 0, False
        self.memory.opened(self.host_end)
        if ready:
            for each in (version(), capabilities()):
                self.say(each)
            assert self.memory.state == "ready" and not self.errors
            self.ready = True

    def fail(self, error):
        self.errors.append(error)
        self.memory.closed()

    def hear(self):
        """Let the host do what there is to do; the types of its messages."""
        self.host.env.run()
        heard = []
        for packet in self.ours.packets():
            kind, size = struct.unpack_from("<HH", packet.payload)
            assert kind in (2, 4, 6, 8, 10, 12) and size <= 4096, "no message of a host's"
            if kind in (8, 10):
                at, words = (16, struct.unpack_from("<I", packet.payload, 12)[0]) if kind == 8 else (8, 1)
                for word in struct.unpack_from(f"<{words}Q", packet.payload, at):
                    first, count = word & (1 << 40) - 1, word >> 40
                    assert self.has.issuperset(range(first, first + count)), "told of memory that is not there"
            heard.append(kind)
        return tuple(heard)

    def say(self, payload):
        self.ours.send(payload)
        return self.hear()

    def expect(self, right, payload):
        """Say it: the host takes it if it is right, and ends the channel if it is not."""
        heard = self.say(payload)
        assert (not self.errors) == right, f"{'a good' if right else 'a bad'} message: {self.errors}"
        if not right:
            self.reopen(True)
        return right, heard

    def ask(self, what, pages, call):
        """Ask; what can't be asked has changed nothing."""
        before = self.memory.asked, self.guest.backing.runs(), self.memory.ballooned.runs
        try:
            call(pages)
        except (ValueError, OutOfMemory) as error:
            assert before == (self.memory.asked, self.guest.backing.runs(), self.memory.ballooned.runs)
            return type(error).__name__
        assert self.asked is None and self.ready, "asked while an answer is due"
        self.asked, self.wanted, self.got = what, pages, 0
        return pages

    def _passed_over(self):
        """What the host's allocator passed over, as 2 MiB lie at a multiple of 2 MiB, is nobody's from now on."""
        lost = self.all - self._frames()
        assert 0 <= lost < 512, "pages that nobody has"
        self.all -= lost

    def _inflate(self, dice):
        return self.ask(INFLATE, dice.choice((512, 512, 1024, 0, 100)), self.memory.inflate), self.hear()

    def _deflate(self, dice):
        told = self.ask(DEFLATE, dice.choice((1, 5, len(self.gone), 10_000)), self.memory.deflate)
        if isinstance(told, int):
            back = sorted(self.gone)[:told]
            self.gone.difference_update(back)
            self.has.update(back)
            assert not any(self.guest.memory.read(back[0] * PAGE, PAGE)), "what others wrote"
        self._passed_over()
        return told, self.hear()

    def _add(self, dice):
        told = self.ask(ADD, dice.choice((512, 512, 1024, 5)), self.memory.hot_add)
        if isinstance(told, int):
            self.first = self.guest.ram // PAGE - told
            self.has.update(range(self.first, self.first + told))
        self._passed_over()
        return told, self.hear()

    def _ranges(self, dice):
        """Ranges that may be given, as far as there is something to give; or nearly."""
        have, pages, ranges, wild = sorted(self.has - self.used), set(), [], dice.random()
        for _ in range(dice.choice((0, 1, 1, 2, 3, 20))):
            first, count = dice.choice(have), dice.choice((1, 1, 2, 16, 100, 512))
            own = set(range(first, first + count))
            if wild > 0.9 or self.has.issuperset(own) and not own & (pages | self.used) and self.got + len(pages | own) <= self.wanted:
                ranges.append((first, count))
                pages |= own
        if wild < 0.08:                         # a page twice
            ranges += [(ranges[-1][0], 1)] if ranges else []
        elif wild < 0.16:                       # one page more than was asked for
            count = max(self.wanted - self.got - len(pages), 0) + 1
            ranges += [(first, count) for first in have if self.has.issuperset(range(first, first + count)) and not (pages | self.used) & set(range(first, first + count))][:1]
        elif wild < 0.3:                        # one that it has given, that is in use, that was never there
            where = min(self.gone, default=0), *self.used, self.guest.ram // PAGE, number(dice, 40)
            ranges.insert(0, (dice.choice(where), dice.choice((0, 1, 1, number(dice, 24)))))
        return ranges

    def _give(self, dice):
        ranges = self._ranges(dice)
        more, count = dice.random() < 0.5, len(ranges) if dice.random() < 0.95 else number(dice, 31)
        pages = [page for first, length in ranges for page in range(first, first + min(length, MANY))]
        right = (self.asked == INFLATE and count == len(ranges) and all(length for _, length in ranges) and len(set(pages)) == len(pages)
                 and self.has.issuperset(pages) and not self.used & set(pages) and self.got + len(pages) <= self.wanted and not self.guest.pins)
        told = self.expect(right, given(*ranges, more=int(more), count=count))
        if right:
            self.has.difference_update(pages)
            self.gone.update(pages)
            self.got += len(pages)
            for page in pages[:1] + pages[-1:]:
                self._out_of_reach(page)
            if not more:
                self._answered("BALLOON")
        return told, len(pages)

    def _took(self, dice):
        right = self.asked == DEFLATE
        if not right and dice.random() < 0.8:   # or what was asked would seldom live long enough
            return None
        told = self.expect(right, message(9))
        if right:
            self.got = self.wanted
            self._answered("UNBALLOON")
        return told

    def _added(self, dice):
        pages = dice.choice((self.wanted, self.wanted, 0, dice.randrange(1500), number(dice, 32)))
        if self.asked != ADD and dice.random() < 0.8:
            return None
        right = self.asked == ADD and pages <= self.wanted
        told = self.expect(right, message(11, struct.pack("<II", pages, dice.randrange(2))))
        if right:
            self.has.difference_update(range(self.first + pages, self.first + self.wanted))
            self.got = pages
            self._answered("HOT_ADD")
        return told, pages

    def _answered(self, what):
        assert self.told == [(what, self.got)], "the one who asked hears of it once"
        self.asked, self.told = None, []

    def _out_of_reach(self, page):
        assert not self.guest.slat.walk(page * PAGE)[-1][2] & MAPPED, "a page that was given, and is in the table"
        try:
            self.guest.memory.write(page * PAGE, b"still mine")
        except TranslationFault:
            return
        raise AssertionError("written to a page that was given")

    def _status(self, dice):
        return self.expect(self.ready, status(number(dice, 64), number(dice, 64)))

    def _touch(self, dice):
        """What it has is its own; what it gave is out of reach."""
        if self.gone:
            self._out_of_reach(dice.choice(sorted(self.gone)))
        page = dice.choice(sorted(self.has - self.used))
        self.guest.memory.write(page * PAGE, b"secret")
        return bool(self.gone)

    def _heir(self, dice):
        """Somebody gets a page of what is free, or has enough."""
        memory = self.host.memory
        if self.heirs and dice.random() < 0.4:
            memory.free(self.heirs.pop(), 1)
        elif memory.free_pages > 40:
            spa = memory.allocate(1)
            assert memory.read(spa, PAGE) == bytes(PAGE), "what the one before has left"
            memory.write(spa, CANARY)
            self.heirs.append(spa)
        return len(self.heirs)

    def _pin(self, dice):
        """A device is given to it, or taken: not while it may give memory, but for what it says all the same."""
        if self.guest.pins:
            self.guest.pins.clear()
        elif self.asked in (None, INFLATE):
            self.guest.pins["fuzz"] = "it moves data by itself"
        return bool(self.guest.pins)

    def _start(self, dice):
        """The start-up, with a step left out, or once more."""
        self.reopen(False)
        steps = [version(dice.choice((VERSION_2, VERSION_1, VERSION_03, number(dice, 32))), dice.randrange(2)) for _ in range(3)] + [capabilities(number(dice, 64))]
        if dice.random() < 0.5:
            steps.insert(dice.randrange(5), dice.choice((message(9), given(), status(1, 1), capabilities())))
        told = []
        while steps and not self.errors:
            state, kind = self.memory.state, steps[0][0]
            told.append(self.say(steps.pop(0)))
            assert self.errors or kind == {"version": 1, "capabilities": 3, "ready": 5}.get(state), f"message {kind} in state {state}"
        self.reopen(True)
        return tuple(told)

    def _flood(self, dice):
        """Nobody reads what the host says to so many attempts: it takes no more of them."""
        self.reopen(False)
        try:
            for _ in range(2000):
                self.ours.send(version(9))
                self.host.env.run()
        except RingFull:
            kept = len(self.memory.worker._backlog)
            assert kept <= self.memory.batch, "what the host keeps for a guest has an end"
            return kept, self.reopen(True)
        raise AssertionError("the host hears all of it, and nobody hears the host")

    def _any(self, dice):
        """A message with a byte wrong, of which the host may think what it likes, as long as nothing happens to others."""
        self.say(bruised(dice, dice.choice((given((300, 4)), message(9), message(11, struct.pack("<II", 0, 1)), status(1, 2), message(dice.randrange(15), dice.randbytes(8)))), 0.9))
        self._look_again()
        return len(self.errors)

    def _noise(self, dice):
        """Indices and data that nobody meant."""
        ring = dice.choice(self.rings)
        ring.store32(dice.choice((WRITE, READ)), dice.choice((8 * dice.randrange(2048), number(dice, 32))))
        ring.write(DATA + 8 * dice.randrange(2000), dice.randbytes(64))
        self.host_end.interrupted()
        self.host.env.run()
        self._look_again()
        return len(self.errors)

    def _look_again(self):
        """Begin anew with what the guest has now: what it gave is what it has no more."""
        now = self._mapped()
        assert now <= self.has and not (self.has - now) & self.used, "taken, and not given"
        self.gone = set(range(self.guest.ram // PAGE)) & self.gone | {page for page in self.has - now if self.memory.ballooned.overlaps(page, 1)}
        self.has = now
        self.reopen(True)

    def _reset(self, dice):
        """The guest begins anew, and gets what the host has left of it."""
        self.guest.enlightened.reset()
        self.kept.pop(OVERLAID, None)           # the page over it has gone
        self.used = self.guest.used_pages()
        back = self._mapped() - self.has
        assert back <= self.gone, "memory that it never gave"
        self.has |= back
        self.gone -= back
        self._passed_over()
        self.reopen(True)
        return bool(self.gone)

    def step(self, dice, kind):
        return kind, getattr(self, "_" + kind)(dice)

    def _mapped(self):
        return {page for gpa, _, size in self.guest.backing.runs() for page in range(gpa // PAGE, (gpa + size) // PAGE)}

    def _frames(self):
        """All pages of the host's, by those who have them; the guest's by what it should have."""
        guest = self.guest
        return (self.host.memory.free_pages + len(self.has) + len(guest.slat._tables) + len(guest.enlightened.overlays._pages)
                + len(self.memory.ballooned.spare) + len(self.heirs))

    def check(self):
        """What must hold after each action."""
        memory, guest = self.memory, self.guest
        assert self._mapped() == self.has and memory.assigned == len(self.has)
        assert {page for first, count in memory.ballooned.runs for page in range(first, first + count)} == self.gone
        assert self._frames() == self.all, "a page of the host's is nobody's, or somebody's twice"
        assert all(guest.backing.spa(page * PAGE) == spa for page, spa in self.kept.items()), "a page that is in use has moved"
        assert bool(guest.memory_asked) == (self.asked in (INFLATE, ADD)), "memory may come at any time, and nobody knows"
        assert (memory.asked is None) == (self.asked is None) and memory.got <= memory.wanted
        assert all(self.host.memory.read(spa, len(CANARY)) == CANARY for spa in self.heirs), "another's page"
        assert len(memory.ballooned.spare) == 2

    def end(self):
        """After all of it the guest gets back what there is room for, and its neighbour has lost nothing; destroyed, it leaves no page."""
        self.guest.pins.clear()
        while self.heirs:
            self.host.memory.free(self.heirs.pop(), 1)
        self.reopen(True)
        back = sorted(self.gone)[:self.host.memory.free_pages // 8]         # some pages are for tables
        if back:
            self.memory.deflate(len(back))
            self.has.update(back)
            self.gone.difference_update(back)
            self._passed_over()
            self.hear()
            self.say(message(9))
            assert self.memory.asked is None and not self.errors
        assert self.neighbour.memory.read(0, self.neighbour.ram) == b"n" * self.neighbour.ram
        self.asked = None
        self.check()
        self.memory.closed()
        self.host.env.run()
        free, tables = self.host.memory.free_pages, len(self.guest.slat._tables)
        self.guest.destroy()
        assert self.host.memory.free_pages >= free + len(self.has) + tables + 2
