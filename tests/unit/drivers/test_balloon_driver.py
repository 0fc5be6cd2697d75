"""Dynamic memory, the guest's half: Linux's floor and order, and both halves together on one machine, also saved at every step."""

import pytest

from vmio.drivers.balloon import floor
from vmio.drivers.errors import DriverError
from vmio.drivers.heap import Heap
from vmio.machine.checkpoint import from_json, to_json
from vmio.modes import Machine, attachment
from vmio.vmbus.balloon import wire as w

SECOND, MIB = 10**9, 256


@pytest.mark.parametrize("total, least", [(0, 8), (16, 16), (32, 24), (128, 72), (512, 168), (2048, 360), (8192, 744), (32768, 1512)])
def test_the_floor_is_linuxs(total, least):
    """The table beside compute_balloon_floor, where the pieces meet; the first piece has another end there."""
    assert floor(total * MIB) == least * MIB


def test_the_floor_rounds_as_linux_does():
    assert floor(128 * MIB - 1) == 8 * MIB + (128 * MIB - 1) // 2 and floor(128 * MIB + 3) == 40 * MIB + 32 * MIB
    assert floor(512 * MIB + 7) == 104 * MIB + 64 * MIB and floor(2048 * MIB + 15) == 232 * MIB + 128 * MIB


def test_programs_get_what_is_free_and_the_rest_when_it_comes():
    heap = Heap(100, 50, 200)
    heap.promise(60)
    assert (heap.resident, heap.missing, heap.available, heap.take(1)) == (50, 10, 0, None)
    heap.give_back(300, 20)
    assert (heap.resident, heap.missing, heap.available) == (60, 0, 10)
    heap.promise(5)
    assert (heap.resident, heap.available) == (5, 65)
    with pytest.raises(ValueError, match="-1 pages for programs: 0 or more"):
        heap.promise(-1)


class Pair:
    """A guest with dynamic memory, whose host does `at` {second: call(memory)}."""

    def __init__(self, at, seconds=8, ram_mib=256, promise=0, memory_mib=1024, **options):
        self.machine = Machine(memory_mib=memory_mib)
        self.guest = self.machine.guest("g", attachment("memory", "split", **{"report_delay": 0, **options}), ram_mib=ram_mib)
        self.machine.power_on()
        self.memory, self.log = self.guest.attachments[0].memory, []
        for second, call in at.items():
            self.machine.host.at(second * SECOND + SECOND // 2, lambda _, call=call: call(self.memory))

        def program(cpu, balloon):
            self.balloon = balloon
            balloon.heap.promise(promise)
            for second in range(1, seconds):
                yield from balloon.serve(second * SECOND)
                self.log.append((self.memory.ballooned.total, balloon.ballooned, balloon.heap.available))
        self.machine.run((self.guest, program))


def test_up_and_down_and_more_than_there_was():
    pair = Pair({1: lambda m: m.inflate(10 * 512), 2: lambda m: m.deflate(3 * 512 + 5), 3: lambda m: m.hot_add(1 << 15)}, maximum=512)
    free = 256 * MIB - 18 * MIB
    assert pair.log == [(0, 0, free), (5120, 5120, free - 5120), (3579, 3579, free - 3579)] + [(3579, 3579, free - 3579 + 32768)] * 4
    assert pair.balloon.maximum == 512 * MIB and pair.balloon.version == w.V2_0 and pair.memory.assigned == 256 * MIB - 3579 + 32768
    assert pair.memory.corrupt == 0 and pair.memory.heard["STATUS_REPORT"] == 6


def test_what_it_reports_is_linuxs_sum():
    """Committed: what programs were promised, what the host has, and the floor of what is left."""
    pair = Pair({1: lambda m: m.inflate(10 * 512)}, promise=5000)
    assert pair.memory.report.committed == 5000 + 5120 + floor(256 * MIB - 5120)
    assert pair.memory.report.available == (256 - 18) * MIB - 5000 - 5120


def test_it_keeps_its_floor_and_gives_the_rest():
    pair = Pair({1: lambda m: m.inflate(100 * 512)}, promise=20_000)
    available = (256 - 18) * MIB - 20_000
    wanted = available - floor(256 * MIB)
    assert pair.balloon.partial == 1 and pair.memory.ballooned.total == wanted - wanted % 512 and pair.memory.asked is None
    nothing = Pair({1: lambda m: m.inflate(512)}, promise=50_000)
    assert nothing.memory.ballooned.total == 0 and nothing.memory.asked is None and nothing.balloon.partial == 1


def test_pieces_of_2_mib_first_then_single_pages_510_in_a_message():
    """Programs that have every second page leave nothing larger."""
    class Sparse(Heap):
        def __init__(self, first, pages, total):
            super().__init__(first, pages, total)
            for page in range(first, first + pages, 2):
                if page % 8192 >= 1024:
                    self.free.remove(page, 1)
    pair = Pair({1: lambda m: m.inflate(20 * 512)}, ram_mib=1024, memory_mib=2048, heap=Sparse)
    assert pair.memory.ballooned.total == 20 * 512 and pair.memory.heard["BALLOON_RESPONSE"] == 1
    many = Pair({1: lambda m: m.inflate(100 * 512)}, ram_mib=1024, memory_mib=2048, heap=Sparse)
    large = sum(count // 512 for _, count in many.memory.ballooned.runs)
    assert many.memory.ballooned.total == 100 * 512 and large < 100
    assert many.memory.heard["BALLOON_RESPONSE"] == 1 + -(-(100 - large) * 512 // 510)


def test_reports_begin_when_linuxs_do():
    pair = Pair({}, seconds=60, report_delay=45)
    assert pair.memory.heard["STATUS_REPORT"] == 58 - 45 and Pair({}, seconds=5).memory.heard["STATUS_REPORT"] == 3


def test_a_host_that_speaks_nothing_it_knows():
    machine = Machine(memory_mib=256)
    guest = machine.guest("g", attachment("memory", "split"), ram_mib=64)
    machine.power_on()
    guest.attachments[0].memory.versions = (9,)
    with pytest.raises(DriverError, match="balloon: no version in common with the host"):
        machine.run((guest, lambda cpu, balloon: None))
    assert guest.attachments[0].memory.heard["VERSION_REQUEST"] == 3


def test_a_guest_that_has_nothing_to_give_is_not_switched_on():
    machine = Machine(memory_mib=256)
    machine.guest("g", attachment("memory", "split"), ram_mib=16)
    with pytest.raises(ValueError, match="guest g: RAM ends at 0x1000000; the memory that it can give away begins at 0x1200000"):
        machine.power_on()


def planned():
    machine = Machine(memory_mib=272, checkpoints=True)
    guest = machine.guest("g", attachment("memory", "split", report_delay=0, maximum=256), ram_mib=64)
    machine.power_on()
    return machine, guest


def program(cpu, balloon):
    balloon.heap.promise(200)
    yield from balloon.serve(3 * SECOND)
    return balloon.ballooned, balloon.heap.available, dict(balloon.heard)


def as_host(machine):
    """What the host does between two steps: a function of the state alone, so that a restored machine does it, too."""
    memory = machine.guests[0].attachments[0].memory
    if memory.state == "ready" and memory.asked is None:
        if not memory.heard["STATUS_REPORT"]:
            return
        if not memory.heard["BALLOON_RESPONSE"]:
            memory.inflate(512 * 4)
        elif not memory.heard["UNBALLOON_RESPONSE"]:
            memory.deflate(600)
        elif not memory.heard["HOT_ADD_RESPONSE"]:
            memory.hot_add(1 << 15)


def ended(machine, run):
    """Step to the end; what may be told afterwards."""
    while run.step():
        as_host(machine)
    guest = machine.guests[0]
    memory = guest.attachments[0].memory
    return (run.to_the_end(), memory.ballooned.runs, memory.assigned, dict(memory.heard), guest.guest.backing.runs(), machine.host.env.now,
            guest.cpu.exits.by_reason(), machine.host.memory.free_pages)


def test_saved_at_every_step_it_ends_as_if_undisturbed():
    machine, guest = planned()
    undisturbed = ended(machine, machine.start((guest, program)))
    assert undisturbed[3]["HOT_ADD_RESPONSE"] == 1 and undisturbed[0][0][:1] == (1024 - 600,)
    machine, guest = planned()
    run, states = machine.start((guest, program)), []
    while run.step():
        as_host(machine)
        states.append(to_json(machine.save()))
    assert len(states) > 50
    for state in states:
        other, guest = planned()
        assert ended(other, other.restore(from_json(state), (guest, program))) == undisturbed
