"""The arbiter under any commands, resets and answers: each command ends once, the window holds, turns are fair."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.hardware.nvme.arbiter import BURST, Arbiter, Port

WINDOW = 3 * BURST
STEPS = st.lists(st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 2), st.integers(1, 20 * BURST)),
    st.tuples(st.just("end"), st.integers(0, 1 << 16)),
    st.tuples(st.just("forget"), st.integers(0, 2))), max_size=60)


class World:
    def __init__(self):
        self.under_way = []                  # (sectors, done) at the medium
        arbiter = Arbiter(self.service, {"read": WINDOW})
        self.ports = [Port(arbiter) for _ in range(3)]
        self.ended, self.void, self.asked = [], set(), []
        self.begun = 0

    def service(self, op, sectors, done):
        assert op == "read" and 1 <= sectors <= BURST
        self.under_way.append((sectors, done))
        self.begun += sectors
        assert sum(n for n, _ in self.under_way) < WINDOW + BURST

    def step(self, what, *arguments):
        if what == "ask":
            port, sectors = arguments
            number = len(self.asked)
            self.asked.append((port, sectors))
            self.ports[port]("read", sectors, lambda: self.ended.append(number))
        elif what == "end" and self.under_way:
            self.under_way.pop(arguments[0] % len(self.under_way))[1]()      # the medium answers in any order
        elif what == "forget":
            self.ports[arguments[0]].forget()
            self.void |= {n for n, (port, _) in enumerate(self.asked) if port == arguments[0] and n not in self.ended}


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_every_command_ends_once(steps):
    world = World()
    for step in steps:
        world.step(*step)
    while world.under_way:
        world.step("end", 0)
    assert len(set(world.ended)) == len(world.ended)
    assert set(range(len(world.asked))) - set(world.ended) <= world.void
    if not world.void:
        assert world.begun == sum(sectors for _, sectors in world.asked)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(BURST // 4, 8 * BURST), min_size=3, max_size=3), st.integers(1, 60))
def test_functions_that_always_wait_get_the_same(sizes, parts):
    """Whatever the sizes of their commands: to within two commands and what the first had before the others came."""
    world = World()
    for port, sectors in enumerate(sizes):
        for _ in range(-(-60 * BURST // sectors)):
            world.step("ask", port, sectors)
    for _ in range(parts):
        world.step("end", 0)
    served = [0, 0, 0]
    for number in world.ended:
        port, sectors = world.asked[number]
        served[port] += sectors
    assert max(served) - min(served) <= 2 * max(sizes) + WINDOW + BURST
