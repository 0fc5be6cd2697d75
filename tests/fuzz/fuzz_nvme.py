"""The NVMe controller: registers, doorbells, commands, PRP lists; its DMA is fenced in, around the fence secrets."""

from tests.fuzz.engine import number
from tests.property.test_nvme_hostile import SECRET, WINDOW, Prison
from vmio.machine.bus import BadAccess

START = ((0x24, 0x70007), (0x28, 0x1000), (0x30, 0x2000), (0x14, 0x460001))
IO = (0, 1, 1, 2, 2, 2, 5, 8, 9, 0xC, 0x19)
ADMIN = (0, 1, 2, 4, 5, 6, 6, 8, 9, 0xA, 0xC, 0x15, 0x1C, 0x7C, 0x80)
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


def step(prison, dice):
    chip = prison.chip
    what = dice.choice(("command",) * 8 + ("list", "done", "done", "bell", "read", "write", "register", "cure"))
    if what == "command":
        queue, fields = command(dice)
        before = len(prison.messages)
        prison.command(queue, fields)
        return what, queue, fields[0], len(prison.messages) - before, chip.read(0x1C, 4)
    if what == "list":
        entries = b"".join(address(dice).to_bytes(8, "little") for _ in range(dice.randrange(1, 9)))
        at = dice.choice((0x8000, 0x8FF8, 0x9000, 0x9FF0))
        prison.memory.write(at, entries)
    elif what == "done":
        if prison.pending:
            prison.pending.pop(dice.randrange(len(prison.pending)))()
    elif what == "bell":
        chip.write(0x1000 + 4 * dice.randrange(10), 4, dice.choice((dice.randrange(10), number(dice, 32))))
    elif what == "read":
        size = dice.choice((1, 2, 4))
        return what, chip.read(dice.randrange(0x4000 - size + 1), size) != 0
    elif what == "write":
        size = dice.choice((1, 2, 4))
        chip.write(dice.randrange(0x4000 - size + 1), size, number(dice, 8 * size))
    elif what == "register":
        chip.write(dice.choice(REGISTERS), 4, dice.choice((0, 1, 0x460001, 0x464001, 0x1000, 0x70007, number(dice, 32))))
    else:
        start(prison, dice.random() < 0.5)
    return what, chip.read(0x1C, 4), len(chip.sqs), len(chip.cqs)


def start(prison, reset):
    """Bring it up again, with its queues."""
    chip = prison.chip
    if reset:
        chip.reset()
    chip.write(0x14, 4, 0)
    for offset, value in START:
        chip.write(offset, 4, value)
    prison.tails = [0, 0]
    prison.memory.write(0x2000, bytes(0x1000))
    prison.command(0, (5, 0, 1, 0, 0x3000, 0, 0x70001, 0x10003, 0))
    prison.command(0, (1, 0, 2, 0, 0x4000, 0, 0x70001, 0x10001, 0))


def life(dice, operations, note):
    prison = Prison(slow=dice.random() < 0.5)
    for _ in range(operations):
        try:
            note(step(prison, dice))
        except BadAccess:
            note("bad access")
        chip = prison.chip
        waiting = sum(len(cq.waiting) for cq in chip.cqs.values())
        assert waiting <= sum(sq.size for sq in chip.sqs.values()) + 8 and len(chip.clock._heap) < 200
        assert all(len(sq.requests) <= sq.in_flight <= sq.size for sq in chip.sqs.values())
        prison.messages.clear()
    while prison.pending:
        prison.pending.pop()()
    state = prison.chip.save()
    assert state == prison.chip.save()
    start(prison, True)
    assert prison.chip.read(0x1C, 4) == 1
    prison.memory.write(0xA000, b"honest" * 85 + b"..")
    for opcode, at in ((1, 0xA000), (2, 0xB000)):
        prison.command(1, (opcode, 0, 9, 1, at, 0, 3, 0, 0))
        while prison.pending:
            prison.pending.pop()()
    assert prison.memory.read(0xB000, 512) == b"honest" * 85 + b".."
    for at in (prison.below, prison.above, prison.read_only):
        assert prison.host_memory.read(at, 4096) == SECRET
