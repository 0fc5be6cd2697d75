"""One guest's fault ends that guest: the others finish, the error keeps its type and says whose it was."""

import gc

import pytest

from tests.survivors_rig import Broken, Picky, beside_others, machine, raises, steps
from vmio.devices.board import Board
from vmio.drivers.nvme import NvmeError
from vmio.host.block import BlockLayer
from vmio.hypervisor.host import GuestTimeout, Host
from vmio.hypervisor.vcpu import GuestFault
from vmio.machine.pagetable import TranslationFault
from vmio.vmbus.bus.worker import RingWorker


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


@pytest.mark.parametrize("what", [5, None, "text", [], object(), 1.5], ids=lambda what: type(what).__name__)
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

    def submit(self, op, lba, sectors, pages, request):
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
