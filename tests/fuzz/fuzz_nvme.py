"""The NVMe controller: registers, doorbells, commands, PRP lists; its DMA is fenced in, around the fence secrets."""

from tests.fuzz.engine import number
from tests.fuzz.nvme_prison import SECRET, WINDOW, Prison
from vmio.machine.bus import BadAccess

IO = (0, 1, 1, 2, 2, 2, 5, 8, 9, 0xC, 0x19)
ADMIN = (0, 1, 2, 4, 5, 6, 6, 8, 9, 0xA, 0xC, 0x15, 0x1C, 0x7C, 0x80)
KINDS = ("command",) * 8 + ("list", "done", "done", "bell", "read", "write", "register", "again")
HONEST = b"honest" * 85 + b".."
REGISTERS = (0x0C, 0x10, 0x14, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x2000, 0x2008, 0x200C, 0x3000)


def address(dice):
    return dice.choice((0x8000, 0x9000, 0xA000, 0x8000 + 512 * dice.randrange(32), 0x5000, 0x6000, WINDOW - 8, WINDOW,
                        1 << 47, number(dice, 64), 4 * dice.randrange(WINDOW // 4)))


def command(dice):
    """(queue, fields): a good command with one or two fields that aren't."""
    queue = int(dice.random() < 0.6)
    if queue:
        opcode, dwords = dice.choice(IO), [dice.randrange(60), 0, dice.choice((0, 1, 7, 8, 15, 40))]
        fields = [opcode, 0, dice.randrange(64), 1, 0x8000, 0x9000, *dwords]
    else:
        opcode = dice.choice(ADMIN)
        word10, word11 = {1: (0x70000 | dice.randrange(4), 0x10001), 5: (0x70000 | dice.randrange(4), 3 | dice.randrange(4) << 16),
                          2: (0x7F0000 | dice.randrange(8), 0), 6: (dice.randrange(0x20), 0), 0: (dice.randrange(4), 0),
                          4: (dice.randrange(4), 0)}.get(opcode, (dice.randrange(0x14), dice.randrange(4)))
        nsid = dice.choice((0, 1, 1, 0xFFFF_FFFF))
        fields = [opcode, 0, dice.randrange(64), nsid, dice.choice((0x3000, 0x4000, 0x9000, 0xA000)), 0, word10, word11, 0]
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        at = dice.randrange(9)
        fields[at] = (number(dice, 8), dice.choice((0x40, 0x80, 1, 2)), number(dice, 16), number(dice, 32), address(dice),
                      address(dice), number(dice, 32), number(dice, 32), number(dice, 32))[at]
    return queue, tuple(fields)


def scattered(dice, fields):
    """The same command with an SGL: a descriptor, nearly right, in place of both PRPs."""
    opcode, _, *rest = fields
    kind, size = dice.choice((0, 0, 2, 3, 1)), dice.choice((512, 4096, 16, 32, 0, number(dice, 32)))
    return (opcode, dice.choice((0x40, 0x80, 0x40, 0xC0)), *rest[:2], address(dice), size | kind << 60, *rest[4:])


class Machine(Prison):
    """The controller within its fence; `again` begins anew, and what comes late must reach nobody."""

    def __init__(self, dice):
        super().__init__(slow=dice.random() < 0.5)

    def step(self, dice, kind):
        try:
            return self.act(dice, kind)
        except BadAccess:
            return ("bad access",)

    def act(self, dice, kind):
        chip = self.chip
        if kind == "command":
            queue, fields = command(dice)
            if queue and dice.random() < 0.15:
                fields = scattered(dice, fields)
            before, admin = len(self.messages), chip.sqs.get(0)
            known = {**chip.sqs, **{("cq", id): cq for id, cq in chip.cqs.items()}}
            alone = admin is None or admin.head == admin.tail == self.tails[0]      # this command runs, and no other
            self.command(queue, fields)
            now = {**chip.sqs, **{("cq", id): cq for id, cq in chip.cqs.items()}}
            assert not alone or all(now.get(id, each) is each for id, each in known.items()), "a queue made twice"
            return kind, queue, fields[0], len(self.messages) - before, chip.read(0x1C, 4)
        if kind == "list":
            entries = b"".join(address(dice).to_bytes(8, "little") for _ in range(dice.randrange(1, 9)))
            self.memory.write(dice.choice((0x8000, 0x8FF8, 0x9000, 0x9FF0)), entries)
        elif kind == "done":
            if self.pending:
                self.pending.pop(dice.randrange(len(self.pending)))()
        elif kind == "bell":
            chip.write(0x1000 + 4 * dice.randrange(10), 4, dice.choice((dice.randrange(10), number(dice, 32))))
        elif kind == "read":
            size = dice.choice((1, 2, 4))
            return kind, chip.read(dice.randrange(0x4000 - size + 1), size) != 0
        elif kind == "write":
            size = dice.choice((1, 2, 4))
            chip.write(dice.randrange(0x4000 - size + 1), size, number(dice, 8 * size))
        elif kind == "register":
            chip.write(dice.choice(REGISTERS), 4, dice.choice((0, 1, 0x460001, 0x464001, 0x1000, 0x70007, number(dice, 32))))
        else:
            self.start(dice.random() < 0.5, dice.choice((0x70007, 0x70007, 0x70007, 0, 7, 0x70000, number(dice, 32))))
        return kind, chip.read(0x1C, 4), len(chip.sqs), len(chip.cqs)

    def start(self, reset, sizes=0x70007):
        """Off; what was under way comes back now, and changes nothing; and on again, with queues."""
        chip = self.chip
        if reset:
            chip.reset()
        chip.write(0x14, 4, 0)
        before = self.memory.read(0, WINDOW), chip.image.read(0, chip.image.sectors)
        while self.pending:
            self.pending.pop()()
        assert before == (self.memory.read(0, WINDOW), chip.image.read(0, chip.image.sectors)), "it came after the reset"
        for offset, value in ((0x24, sizes), (0x28, 0x1000), (0x30, 0x2000), (0x14, 0x460001)):
            chip.write(offset, 4, value)
        self.tails = [0, 0]
        self.memory.write(0x2000, bytes(0x1000))
        self.command(0, (5, 0, 1, 0, 0x3000, 0, 0x70001, 0x10003, 0))
        self.command(0, (1, 0, 2, 0, 0x4000, 0, 0x70001, 0x10001, 0))

    def check(self):
        """The queues are whole, and no longer than a controller allows."""
        chip = self.chip
        sqs, cqs = chip.sqs.values(), chip.cqs.values()
        assert all(2 <= queue.size <= 4096 and queue.head < queue.size and queue.tail < queue.size for queue in (*sqs, *cqs))
        assert all(chip.cqs.get(sq.cq.id) is sq.cq for sq in sqs), "a queue whose answers go nowhere"
        assert all(len(sq.requests) <= sq.in_flight <= sq.size for sq in sqs)
        assert sum(len(cq.waiting) for cq in cqs) <= sum(sq.size for sq in sqs) + 8 and len(chip.clock._heap) < 200
        self.messages.clear()

    def end(self):
        """It works after a reset, and around the fence nothing has changed."""
        while self.pending:
            self.pending.pop()()
        state = self.chip.save()
        assert state == self.chip.save()
        self.start(True)
        assert self.chip.read(0x1C, 4) == 1
        self.memory.write(0xA000, HONEST)
        for opcode, at in ((1, 0xA000), (2, 0xB000)):
            self.command(1, (opcode, 0, 9, 1, at, 0, 3, 0, 0))
            while self.pending:
                self.pending.pop()()
        assert self.memory.read(0xB000, 512) == HONEST
        for at in (self.below, self.above, self.read_only):
            assert self.host_memory.read(at, 4096) == SECRET
