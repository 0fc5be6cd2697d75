"""One guest's fault ends that guest: the others finish, the error keeps its type and says whose it was."""

import gc

import pytest

from vmio.devices.board import Board
from vmio.drivers.nvme import NvmeError
from vmio.host.block import BlockLayer
from vmio.hypervisor.host import GuestTimeout, Host
from vmio.hypervisor.program import STANDSTILL
from vmio.hypervisor.vcpu import GuestFault
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import TranslationFault
from vmio.vmbus.bus.worker import RingWorker


class Picky(Exception):
    """An error whose `args` do not make it anew."""

    def __init__(self, what, *, where):
        super().__init__()
        self.what, self.where = what, where

    def __str__(self):
        raise RuntimeError("it can't even say what it is")


class Broken:
    """A device model with a bug."""

    def read(self, offset, size):
        return [][offset]

    def write(self, offset, size, value):
        raise Picky("write", where=offset)


def steps(cpu, done=None):
    for _ in range(100):
        yield from cpu.hlt(10_000)
    if done is not None:
        done.append(cpu.now)
    return "done"


def machine(*names, cores=2):
    host = Host(memory_mib=32, cores=cores)
    return host, *[host.guest(name, 4) for name in names]


def beside_others(bad, kind, name="hostile", prepare=None, **limit):
    """The error that leaves when `bad` runs between two honest guests, which must finish as if alone."""
    alone, only = machine("only")
    expected = []
    alone.run((only.cpu, lambda cpu: steps(cpu, expected)))
    host, first, hostile, last = machine("first", "hostile", "last")
    if prepare is not None:
        prepare(hostile)
    done = []
    with pytest.raises(kind) as caught:
        host.run((first.cpu, lambda cpu: steps(cpu, done)), (hostile.cpu, bad), (last.cpu, lambda cpu: steps(cpu, done)), **limit)
    assert done == expected * 2
    assert type(caught.value) is kind and caught.value.guest == name
    assert caught.value.__notes__ == [f"in guest {name}, which has ended"]
    assert host.run((first.cpu, lambda cpu: cpu.hlt(5))) == [False]        # the host and its books are whole
    assert host.cores._free == 2 and not host.cores._line
    return caught.value


def raises(error):
    def program(cpu):
        yield from cpu.hlt(1000)
        raise error
    return program


@pytest.mark.parametrize("error", [
    Picky("x", where=1), NvmeError("read", 0x80), TranslationFault(1, 2, True), KeyError("k"), RecursionError(), MemoryError(),
    OSError(5, "text", "name"), UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), ExceptionGroup("g", [ValueError()]),
    AssertionError(), StopAsyncIteration(), GuestFault("own")], ids=lambda error: type(error).__name__)
def test_any_error_of_a_program_leaves_as_the_object_that_it_was(error):
    assert beside_others(raises(error), type(error)) is error


def test_a_general_protection_fault():
    def program(cpu):
        yield from cpu.hlt(1000)
        cpu.wrmsr(0xDEAD, 1)
    assert "#GP, WRMSR of 0xdead" in str(beside_others(program, GuestFault))


def test_an_interrupt_that_never_goes_away():
    def program(cpu):
        yield from cpu.hlt(1000)
        cpu.on_interrupt(0x30, lambda cpu: (cpu.apic.eoi(), cpu.apic.request(0x30)))
        cpu.apic.request(0x30)
        yield from cpu.hlt()
    assert "interrupts in a row" in str(beside_others(program, GuestFault))


def test_a_halt_that_nothing_ends():
    assert str(beside_others(lambda cpu: cpu.hlt(), GuestFault)) == \
        "hostile: halted and waits for an interrupt that nothing will raise"


def test_a_program_that_runs_for_ever_with_and_without_the_clock():
    def exits(cpu):
        while True:
            cpu.inb(0x500)

    def sleeps(cpu):
        while True:
            yield cpu.env.timeout(100)

    def swallows(cpu):
        while True:
            try:
                yield from exits(cpu) or ()
            except GuestTimeout:
                if cpu.now > 30_000_000:
                    raise
    for program in (exits, sleeps, swallows):
        text = str(beside_others(program, GuestTimeout, limit_ns=5_000_000))
        assert text == "hostile: still running after 5,000,000 ns of virtual time"


def test_a_limit_dies_with_its_program():
    host, guest = machine("one")
    with pytest.raises(KeyError):
        host.run((guest.cpu, raises(KeyError())), limit_ns=100_000)
    assert host.run((guest.cpu, steps), limit_ns=10**9) == ["done"]
    assert host.run((guest.cpu, steps)) == ["done"]


@pytest.mark.parametrize("call, kind", [(lambda cpu: cpu.inb(0x700), IndexError), (lambda cpu: cpu.outb(0x701, 1), Picky)])
def test_an_error_of_a_device_model(call, kind):
    def program(cpu):
        yield from cpu.hlt(1000)
        call(cpu)
    beside_others(program, kind, prepare=lambda guest: guest.io.attach(0x700, 4, Broken(), "broken"))


def test_an_error_of_a_device_models_timer():
    def program(cpu):
        cpu.clock.call_later(50_000, lambda: [][1])
        yield from cpu.hlt()
    beside_others(program, IndexError)


def test_an_error_of_a_worker_on_a_guests_behalf():
    def worker(guest):
        yield guest.host.env.timeout(20_000)
        raise Picky("worker", where=0)
    beside_others(lambda cpu: cpu.hlt(), Picky, prepare=lambda guest: guest.host.process(guest, worker(guest)))


def test_an_error_of_the_hosts_own_leaves_at_once_and_as_it_was():
    host, guest = machine("one")
    error = Picky("host", where=0)

    def own():
        yield host.env.timeout(15_000)
        raise error
    host.env.process(own())
    with pytest.raises(Picky) as caught:
        host.run((guest.cpu, steps))
    assert caught.value is error and not hasattr(error, "guest")
    assert host.run((guest.cpu, steps)) == ["done"]


def test_an_error_outside_of_a_run_is_not_lost():
    host, guest = machine("one")
    with pytest.raises(KeyError):
        host.fault(guest, KeyError())


def test_the_first_error_has_the_others_in_its_notes():
    host, a, b, c = machine("a", "b", "c")

    def late(cpu):
        yield from cpu.hlt(5_000)
        raise NvmeError("read", 0x80)
    with pytest.raises(KeyError) as caught:
        host.run((a.cpu, late), (b.cpu, raises(KeyError("k"))), (c.cpu, late))
    assert caught.value.guest == "b"
    assert caught.value.__notes__ == ["in guest b, which has ended",
                                      "in guest a, too: vmio.drivers.nvme.NvmeError: NVMe read: status 080h",
                                      "in guest c, too: vmio.drivers.nvme.NvmeError: NVMe read: status 080h"]
    host, a, b = machine("a", "b")
    with pytest.raises(KeyError) as caught:
        host.run((a.cpu, raises(KeyError())), (b.cpu, raises(Picky("x", where=0))))
    assert "Picky: <exception str() failed>" in caught.value.__notes__[1]


@pytest.mark.parametrize("what", [5, None, "text", [], object(), 1.5], ids=repr)
def test_a_yield_of_what_nobody_can_wait_for(what):
    def program(cpu):
        yield from cpu.hlt(1000)
        yield what
    assert "nothing to wait for" in str(beside_others(program, TypeError))


def test_a_yield_without_from_or_of_another_hosts_event():
    def without(cpu):
        yield cpu.hlt(1000)

    def foreign(cpu):
        yield Host(memory_mib=16).env.timeout(5)

    def stubborn(cpu):
        while True:
            try:
                yield 5
            except TypeError:
                pass

    def gives_in(cpu):
        try:
            yield 5
        except TypeError:
            pass
    for program in (without, foreign, stubborn, gives_in):
        beside_others(program, TypeError)


def test_what_a_failed_event_brings_is_thrown_as_it_is():
    def child():
        raise Picky("child", where=0)
        yield

    def program(cpu):
        with pytest.raises(Picky):
            yield cpu.env.process(child())
        yield from cpu.hlt(1000)
        return "went on"
    host, guest = machine("one")
    assert host.run((guest.cpu, program)) == ["went on"]


def test_a_stop_iteration():
    def plain(cpu):
        next(iter(()))

    def generator(cpu):
        yield from cpu.hlt(1000)
        next(iter(()))
    beside_others(plain, StopIteration)
    assert "StopIteration" in str(beside_others(generator, RuntimeError))   # what Python makes of it, PEP 479


def test_too_deep_a_recursion():
    def deeper(cpu):
        return deeper(cpu)

    def waits(cpu):
        yield from waits(cpu)
    beside_others(deeper, RecursionError)
    beside_others(waits, RecursionError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_stops_everything_at_once(kind):
    host, a, b = machine("a", "b")
    ended = []

    def honest(cpu):
        try:
            yield from steps(cpu)
        finally:
            ended.append(cpu.now)
    with pytest.raises(kind):
        host.run((a.cpu, honest), (b.cpu, raises(kind())))
    assert len(ended) == 1 and ended[0] < 100_000
    assert host.run((a.cpu, steps), (b.cpu, steps)) == ["done", "done"]


def test_a_guests_other_vcpus_end_with_it_and_in_order():
    host = Host(memory_mib=32)
    guest, other = host.guest("two", 4, vcpus=2), host.guest("other", 4)
    ended = []

    def sibling(cpu):
        try:
            yield from cpu.hlt()
        finally:
            ended.append(cpu.index)
            raise ValueError("on the way out")
    with pytest.raises(KeyError) as caught:
        host.run((guest.vcpus[1], sibling), (guest.cpu, raises(KeyError())), (other.cpu, steps))
    assert ended == [1] and caught.value.__notes__ == ["in guest two, which has ended"]


def test_a_guest_that_ends_while_it_waits_for_a_core_leaves_the_line():
    """Both ways of waiting: for the first turn, and for the next slice."""
    for lead in (0, 5_000_000):
        host, holder, hostile, honest = machine("holder", "hostile", "honest", cores=1)

        def computes(ns):
            def program(cpu):
                cpu.compute(ns)
                yield from cpu.pay()
                return cpu.now
            return program

        def breaks():
            yield host.env.timeout(lead + 1000)
            raise KeyError
        host.process(hostile, breaks())
        with pytest.raises(KeyError):
            host.run((holder.cpu, computes(20_000_000)), (hostile.cpu, computes(20_000_000)), (honest.cpu, computes(1_000_000)))
        assert (host.cores._free, len(host.cores._line)) == (1, 0)
        assert host.run((honest.cpu, steps)) == ["done"]


def test_interrupts_to_a_guest_that_has_ended_wait_for_its_next_program():
    host, guest = machine("one")
    with pytest.raises(KeyError):
        host.run((guest.cpu, raises(KeyError())))
    seen = []
    guest.cpu.on_interrupt(0x40, lambda cpu: (cpu.apic.eoi(), seen.append(cpu.now)))
    guest.cpu.apic.request(0x40)
    assert host.run((guest.cpu, lambda cpu: cpu.hlt())) == [True] and len(seen) == 1


def test_a_program_that_ended_stuck_never_wakes_up_again():
    host, guest = machine("one")
    woke = []

    def program(cpu):
        yield from cpu.hlt()
        woke.append(cpu.now)
    with pytest.raises(GuestFault, match="nothing will raise"):
        host.run((guest.cpu, program))
    guest.cpu.apic.request(0x40)
    host.run((guest.cpu, lambda cpu: cpu.hlt(10_000)))
    assert not woke


def test_time_that_stands_still_is_a_fault():
    def pays(cpu):
        while True:
            yield from cpu.pay()

    def waits(cpu):
        while True:
            yield cpu.env.timeout(0)

    def happened(cpu):
        event = cpu.env.timeout(10)
        while True:
            yield event
    for program in (pays, waits, happened):
        assert "no time passes" in str(beside_others(program, GuestFault))
    assert STANDSTILL == 100_000


def test_the_memory_of_a_destroyed_guest_is_out_of_its_reach():
    host, victim = machine("victim")
    victim.cpu.store(0x1000, 4, 7)
    victim.destroy()
    heir = host.guest("heir", 4)
    heir.memory.write(0, b"secret.." * (heir.ram // 8))
    assert victim.cpu.read(0x1000, 64) == b"\xff" * 64
    victim.cpu.write(0x1000, bytes(PAGE))
    assert heir.memory.read(0, heir.ram) == b"secret.." * (heir.ram // 8)
    with pytest.raises(ValueError, match="victim, vCPU 0: the guest has been destroyed"):
        host.run((victim.cpu, steps))


# What is no run.

def test_no_programs_no_results():
    assert Host(memory_mib=16).run() == []


def test_programs_that_are_no_generators():
    host, guest = machine("one")
    generator = steps(guest.cpu)
    assert host.run((guest.cpu, generator)) == ["done"]
    assert host.run((guest.cpu, generator)) == [None]          # at its end already
    assert host.run((guest.cpu, lambda cpu: 5)) == [5]
    for call, words in (((guest.cpu, 5), "program 5; a function of the vCPU, or a generator"), ((guest.cpu, None), "program None"),
                        (guest.cpu, "pairs"), (5, "pairs"), ((guest, steps), "is no vCPU of this host"),
                        ((machine("far")[1].cpu, steps), "is no vCPU of this host")):
        with pytest.raises(ValueError, match=words):
            host.run(call)
    for limit in (-1, 1.5, float("nan"), "1"):
        with pytest.raises(ValueError, match=f"limit_ns {limit}; whole ns"):
            host.run((guest.cpu, steps), limit_ns=limit)
    with pytest.raises(TypeError):
        host.run((guest.cpu, lambda: None))


def test_the_same_vcpu_or_generator_twice():
    host, a, b = machine("a", "b")
    with pytest.raises(ValueError, match="guest a, vCPU 0: the vCPU or its generator is there twice"):
        host.run((a.cpu, steps), (a.cpu, steps))
    generator = steps(a.cpu)
    with pytest.raises(ValueError, match="guest b, vCPU 0: .* twice"):
        host.run((a.cpu, generator), (b.cpu, generator))
    assert host.run((a.cpu, steps), (b.cpu, steps)) == ["done", "done"]


def test_a_run_inside_a_run():
    host, a, b = machine("a", "b")
    with pytest.raises(RuntimeError, match="one run at a time") as caught:
        host.run((a.cpu, lambda cpu: host.run((b.cpu, steps))), (b.cpu, steps))
    assert caught.value.guest == "a"


def test_many_faults_leave_nothing_behind():
    host, guest = machine("one")
    Board(guest)

    def life():
        with pytest.raises(KeyError):
            host.run((guest.cpu, raises(KeyError())), limit_ns=10**6)

    def kept():
        for _ in range(150):
            life()
        gc.collect()
        return len(gc.get_objects()), len(host.env._queue), len(guest.clock._heap)
    (objects, events, _), (more, later, timers) = kept(), kept()
    assert more <= objects + 100 and later <= events + 1 and timers <= 70


class Driver:
    """A disk's driver with an answer to everything that was asked."""

    def __init__(self):
        self.pairs, self.asked = [type("Pair", (), {"entries": 8})()], []

    def submit(self, kind, lba, sectors, pages, request):
        self.asked.append((request, 0))
        return True

    def ring_doorbell(self):
        pass

    def reap(self):
        over, self.asked = self.asked, []
        return over


def test_an_answer_that_fails_is_that_guests_fault_and_the_others_get_theirs():
    host, hostile, honest = machine("hostile", "honest")
    layer, answers = BlockLayer(host, Driver()), []

    def buggy(status):
        raise Picky("answer", where=status)
    layer.submit("hostile", "read", 0, 8, (4096,), buggy)
    layer.submit("honest", "read", 0, 8, (4096,), answers.append)
    host.env.timeout(50_000).callbacks.append(lambda _: layer.interrupt())
    with pytest.raises(Picky) as caught:
        host.run((hostile.cpu, steps), (honest.cpu, steps))
    assert answers == [0] and caught.value.guest == "hostile" and not layer.at_device
    layer.submit("nobody", "read", 0, 8, (4096,), buggy)
    layer.interrupt()
    with pytest.raises(Picky) as caught:                    # nobody to blame: the host's own
        host.run((honest.cpu, steps))
    assert not hasattr(caught.value, "guest")


def test_a_ring_worker_that_fails_is_its_guests_fault():
    host, hostile, honest = machine("hostile", "honest")

    class End:
        def begin_read(self):
            raise Picky("worker", where=0)
    RingWorker(host, End(), None, None, guest=hostile)
    done = []
    with pytest.raises(Picky) as caught:
        host.run((hostile.cpu, lambda cpu: cpu.hlt()), (honest.cpu, lambda cpu: steps(cpu, done)))
    assert caught.value.guest == "hostile" and len(done) == 1
