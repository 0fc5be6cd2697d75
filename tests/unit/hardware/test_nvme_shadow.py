"""Doorbells in memory: what the host writes there is found, and what it must still write into registers is as the specification says."""

import pytest

from tests.nvme_rig import DISK, READ, Bench
from vmio.machine.memory import MemoryFault

DBBUF, SHADOW, EVENTS = 0x7C, 0x20000, 0x21000
TAIL, HEAD = 8, 12                      # of queue 1, in either page


class Shadowed(Bench):
    """A bench whose doorbells of queue 1 are in memory; a host rings the register only if it must."""

    def __init__(self, service=None, interrupt="message", entries=4):
        super().__init__(service, interrupt)
        self.io_queue(entries, vector=0 if interrupt == "line" else 1)
        self.seen = {TAIL: 0, HEAD: 0}
        self.rings_of = []
        assert self.ask(0, DBBUF, prp1=SHADOW, prp2=EVENTS) == 0

    def word(self, page, at):
        return int.from_bytes(self.memory.read(page + at, 4), "little")

    def tell(self, at, value):
        """As the specification has it: into memory, and into the register if that steps beyond the event index."""
        old, self.seen[at] = self.seen[at], value
        self.memory.write(SHADOW + at, value.to_bytes(4, "little"))
        if (value - self.word(EVENTS, at) - 1) % 65536 < (value - old) % 65536:
            self.rings_of.append(at)
            self.chip.write(0x1000 + at, 4, value)

    def ring(self, queue):
        if queue:
            self.tell(TAIL, self.rings[1][0])
        else:
            super().ring(queue)

    def read(self, lba):
        self.put(1, READ, nsid=1, prp1=self.BUFFER, d10=lba)

    def take(self):
        found = self.answers(1, acknowledge=False)
        if found:
            self.tell(HEAD, self.rings[1][1])
        return found


def test_one_command_at_a_time_rings_as_ever():
    bench = Shadowed()
    for lba in range(9):                # twice around the ring
        bench.read(lba)
        bench.ring(1)
        (status, *_), = bench.take()
        assert status == 0 and bench.memory.read(bench.BUFFER, 512) == DISK[512 * lba:512 * lba + 512]
    assert bench.rings_of == [TAIL, HEAD] * 9


def test_what_comes_while_the_medium_works_needs_no_register():
    """The controller looks at the tail again at each end of a command."""
    ends = []
    bench = Shadowed(lambda op, sectors, done: ends.append(done), entries=8)
    bench.read(0)
    bench.ring(1)
    assert bench.word(EVENTS, TAIL) == 1
    bench.memory.write(SHADOW + TAIL, (3).to_bytes(4, "little"))       # two more, and the host keeps them to itself
    bench.read(1)
    bench.read(2)
    assert len(ends) == 1
    ends.pop()()
    assert len(ends) == 2 and bench.word(EVENTS, TAIL) == 3
    for done in ends:
        done()
    assert [status for status, *_ in bench.take()] == [0, 0, 0]


def test_each_step_of_the_head_is_told_so_that_the_pin_falls():
    """Two answers, taken one by one: the second step is told, too, though nothing was answered between them."""
    bench = Shadowed(interrupt="line", entries=8)
    bench.read(0)
    bench.read(1)
    bench.ring(1)
    assert bench.line.level
    bench.tell(HEAD, 1)
    assert bench.line.level
    bench.tell(HEAD, 2)
    assert not bench.line.level and bench.rings_of == [TAIL, HEAD, HEAD]


def test_a_head_in_memory_makes_room():
    """The host has written it there, and is not yet at the register."""
    bench = Shadowed(entries=2)         # room for one answer
    bench.read(0)
    bench.ring(1)
    assert len(bench.answers(1, acknowledge=False)) == 1
    bench.memory.write(SHADOW + HEAD, (1).to_bytes(4, "little"))
    bench.read(1)
    bench.ring(1)
    assert len(bench.answers(1, acknowledge=False)) == 1


def test_the_admin_queue_rings_by_register_and_its_shadow_follows():
    bench = Shadowed()
    assert bench.ask(0, 0x06, prp1=0x30000, d10=1) == 0
    assert (bench.word(SHADOW, 0), bench.word(SHADOW, 4)) == (bench.rings[0][0], bench.rings[0][1])


def test_queues_go_on_from_where_they_were():
    bench = Bench()
    bench.io_queue(8)
    assert [bench.io(READ, lba, 1) for lba in range(3)] == [0, 0, 0]
    assert bench.ask(0, DBBUF, prp1=SHADOW, prp2=EVENTS) == 0
    words = [int.from_bytes(bench.memory.read(page + at, 4), "little") for page in (SHADOW, EVENTS) for at in (TAIL, HEAD)]
    assert words == [3, 3, 3, 3]


@pytest.mark.parametrize("prp1, prp2, status", [(SHADOW + 4, EVENTS, 2), (SHADOW, EVENTS + 512, 2), (1 << 40, EVENTS, 4), (SHADOW, 1 << 40, 4)])
def test_no_pages(prp1, prp2, status):
    bench = Bench()
    assert bench.ask(0, DBBUF, prp1=prp1, prp2=prp2) & 0xFF == status
    assert not bench.chip.shadow.on


def test_an_index_out_of_the_ring_is_ignored():
    bench = Shadowed()
    bench.memory.write(SHADOW + TAIL, (0xFFFF_FFFF).to_bytes(4, "little"))
    bench.memory.write(SHADOW + HEAD, (9).to_bytes(4, "little"))
    bench.chip.write(0x1000 + TAIL, 4, 0)
    assert bench.answers(1, acknowledge=False) == [] and bench.chip.read(0x1C, 4) == 1
    bench.read(5)
    bench.ring(1)
    assert bench.take()[0][0] == 0


def test_memory_that_goes_away_is_fatal_and_the_reset_ends_all_of_it():
    bench = Shadowed()

    class Gone:
        def read(self, address, count):
            raise MemoryFault(address, count, "nothing there")
        write = read
    there, bench.chip.memory = bench.chip.memory, Gone()
    bench.chip.write(0x1000 + TAIL, 4, 1)
    assert bench.chip.read(0x1C, 4) & 2
    bench.chip.memory = there
    bench.chip.write(0x14, 4, 0)
    assert not bench.chip.shadow.on and bench.enable() == 1


def test_a_checkpoint_keeps_them():
    bench, other = Shadowed(), Bench()
    state = bench.chip.save()
    other.chip.restore(state)
    assert other.chip.shadow.save() == {"on": True, "doorbells": SHADOW, "events": EVENTS} and other.chip.save() == state
