"""The matrix engine as a service: guests take turns, see nothing of each other, and end only themselves."""

import pytest
from tests.accelerator_guests import FOUND, guests, inference

from vmio.drivers.accelerator import RING_BYTES, Halted
from vmio.drivers.accelerator_plan import moves
from vmio.drivers.accelerator_vsc import Refused
from vmio.drivers.errors import DriverError
from vmio.experiments import digits
from vmio.hardware.accelerator.registers import DESCRIPTOR, SRAM_BYTES, Error, Op
from vmio.modes import attachment, one_guest
from vmio.vmbus.accelerator import wire as w
from vmio.vmbus.accelerator.wire import Status


def command(op, **fields):
    return DESCRIPTOR.pack(op=op, **fields)


def test_guests_with_other_weights_take_turns_and_each_has_its_own():
    machine, service, (a, b) = guests(2)
    other = digits.sized(40)
    theirs = digits.sums(other, FOUND.images)

    def program(cpu, driver):
        yield from driver.load(other)
        for n in range(1, 5):
            assert (yield from driver.infer(FOUND.images[:64 * n])) == theirs[:40 * n]
    machine.run((a, inference(4, 9)), (b, program))
    assert service.switches >= 6 and service.function.halts == dict.fromkeys(Error, 0)


def test_alone_nobody_is_switched():
    machine, service, (a,) = guests(1)
    machine.run((a, inference()))
    assert service.switches == 1


def test_what_a_guest_finds_on_the_chip_is_its_own():
    machine, service, (a, b) = guests(2)

    def peek(cpu, driver):
        yield from cpu.hlt(3_000_000)                         # until the other has had its turn
        yield from driver.run(moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, SRAM_BYTES))
        return driver.cpu.read(driver.data, SRAM_BYTES)
    _, seen = machine.run((a, inference(1)), (b, peek))
    assert seen == bytes(SRAM_BYTES) and service.switches == 2


@pytest.mark.parametrize("bad", [
    command(Op.JUMP), command(5), command(Op.LOAD, rows=1, cols=2, output=0xFFFF), command(Op.STORE, rows=1, cols=1, address=w.place(0x77, 0)),
    command(Op.LOAD, rows=1, cols=1, address=0), command(Op.MATMUL, rows=0xFFFF, cols=1, depth=2)])
def test_a_command_that_is_not_let_through_runs_nothing(bad):
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        good = command(Op.LOAD, rows=1, cols=4, address=w.place(driver.gpadl, RING_BYTES), output=0)
        cpu.write(driver.data, b"good")
        with pytest.raises(Refused) as refused:
            yield from driver.run([good, bad])
        assert refused.value.at == 1
        yield from driver.run(moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, 4))
        assert cpu.read(driver.data, 4) == bytes(4)           # nothing of it was run
        return (yield from inference()(cpu, driver))
    guest.run(program)
    assert guest.attachments[0].vsp.refused == 1


def test_memory_that_ends_where_it_ends():
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        size = RING_BYTES + driver.data_bytes
        yield from driver.run([command(Op.STORE, rows=1, cols=16, address=w.place(driver.gpadl, size - 16))])
        with pytest.raises(Refused):
            yield from driver.run([command(Op.STORE, rows=1, cols=16, address=w.place(driver.gpadl, size - 15))])
    guest.run(program)


def test_a_buffer_that_works_too_long_ends_that_guest_s_job_alone():
    machine, service, (a, b) = guests(2)
    long = [command(Op.MATMUL, rows=128, cols=128, depth=384)] * 256       # 24.7 us each

    def hostile(cpu, driver):
        with pytest.raises(Halted) as halted:
            yield from driver.run(long)
        assert halted.value.error == Error.LIMIT
        assert "LIMIT: a job may take 2,000 us" in str(halted.value)
        return (yield from inference()(cpu, driver))          # with a chip that was emptied
    machine.run((a, inference(20)), (b, hostile))
    assert service.function.halts[Error.LIMIT] == 1


@pytest.mark.parametrize("after", range(0, 60_000, 4_000))
def test_memory_taken_back_in_the_middle_ends_the_job_and_spares_the_neighbour(after):
    machine, service, (a, b) = guests(2)

    def leaves(cpu, driver):
        yield from driver.load(FOUND.network)
        cpu.write(driver.base, b"".join(driver.plan.call(450, w.place(driver.gpadl, RING_BYTES), w.place(driver.gpadl, RING_BYTES))))
        driver.channel.end.send(w.SUBMIT.pack(gpadl=driver.gpadl, commands=4), 1, want_completion=True)
        yield from cpu.hlt(after + 1)
        yield from driver.client.teardown_gpadl(driver.channel, driver.gpadl)
        cpu.write(driver.data, b"mine" * 1000)
        yield from cpu.hlt(1_000_000)
        assert cpu.read(driver.data, 4000) == b"mine" * 1000   # nobody writes there any more
        driver.gpadl = yield from driver.client.create_gpadl(driver.channel, tuple(range(driver.base >> 12, (driver.base >> 12) + 64)))
        answer = yield from driver._ask(w.MAP.pack(gpadl=driver.gpadl), w.ANSWER)
        assert answer.status == Status.SUCCESS
        driver.data_bytes = 1 << 17
        return (yield from inference(1)(cpu, driver))
    machine.run((a, inference(12, 100)), (b, leaves))


@pytest.mark.parametrize("unmapped", [False, True])
def test_memory_taken_back_is_not_written_whether_it_was_unmapped_before_or_not(unmapped):
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        commands = [command(Op.MATMUL, rows=128, cols=128, depth=384)] * 20 + moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, 4096)     # 0.5 ms
        cpu.write(driver.base, b"".join(commands))
        driver.channel.end.send(w.SUBMIT.pack(gpadl=driver.gpadl, commands=len(commands)), 1, want_completion=True)
        yield from cpu.hlt(20_000)
        if unmapped:
            driver.channel.end.send(w.UNMAP.pack(gpadl=driver.gpadl), 2, want_completion=True)
            yield from cpu.hlt(20_000)
        yield from driver.client.teardown_gpadl(driver.channel, driver.gpadl)
        cpu.write(driver.data, b"mine" * 1000)
        for _ in range(3):
            yield from cpu.hlt(1_000_000)
        assert cpu.read(driver.data, 4000) == b"mine" * 1000
    guest.run(program)


def test_a_channel_closed_in_the_middle_opens_again():
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        yield from driver.load(FOUND.network)
        cpu.write(driver.base, b"".join(driver.plan.call(450, w.place(driver.gpadl, RING_BYTES), w.place(driver.gpadl, RING_BYTES))))
        driver.channel.end.send(w.SUBMIT.pack(gpadl=driver.gpadl, commands=4), 1, want_completion=True)
        yield from driver.client.close(driver.channel)
        yield from driver.init()
        return (yield from inference()(cpu, driver))
    guest.run(program)


def test_messages_that_are_none_end_the_channel():
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        driver.channel.end.send((77).to_bytes(4, "little"), 1, want_completion=True)
        yield from cpu.hlt(1_000_000)
    guest.run(program)
    assert "type 77" in str(guest.attachments[0].vsp.channel.error)


@pytest.mark.parametrize("message, status", [
    (w.MAP.pack(gpadl=0x99), Status.NO_MEMORY), (w.UNMAP.pack(gpadl=0x99), Status.NO_MEMORY),
    (w.SUBMIT.pack(gpadl=0x99, commands=1), Status.NO_MEMORY)])
def test_memory_that_was_not_named(message, status):
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        return (yield from driver._ask(message, w.ANSWER)).status
    assert guest.run(program) == status


@pytest.mark.parametrize("number, offset", [(0, 0), (257, 0), (0xFFFF_FFFF, 0), (1, 0xFFFF_FFE1), (2, RING_BYTES + (4 << 20) - 32)])
def test_command_buffers_that_cannot_be(number, offset):
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        return (yield from driver._ask(w.SUBMIT.pack(gpadl=driver.gpadl, offset=offset, commands=number), w.ANSWER)).status
    assert guest.run(program) == Status.NO_MEMORY


def test_no_version_no_work():
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        refused = yield from driver._ask(w.VERSION.pack(version=0), w.CAPABILITIES)
        assert refused.status == Status.NOT_NOW
        with pytest.raises(DriverError):
            yield from driver.load(FOUND.network)
    guest.run(program)


def _peek(driver):
    """Generator: what the guest finds on the chip."""
    yield from driver.run(moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, SRAM_BYTES))
    return driver.cpu.read(driver.data, SRAM_BYTES)


def test_a_job_that_halts_leaves_its_guest_an_empty_chip():
    machine, service, (a, b) = guests(2)

    def hostile(cpu, driver):
        cpu.write(driver.data, b"before" * 100)
        yield from driver.run(moves(Op.LOAD, w.place(driver.gpadl, RING_BYTES), 0, 600))
        yield from cpu.hlt(1_000_000)                         # the neighbour's turn: what is on the chip is kept
        with pytest.raises(Halted):
            yield from driver.run([command(Op.MATMUL, rows=128, cols=128, depth=384)] * 256)
        return (yield from _peek(driver))
    _, seen = machine.run((a, inference(20)), (b, hostile))
    assert seen == bytes(SRAM_BYTES)


def test_a_guest_that_begins_anew_finds_an_empty_chip():
    machine, service, (a, b) = guests(2)

    def anew(cpu, driver):
        cpu.write(driver.data, b"before" * 100)
        yield from driver.run(moves(Op.LOAD, w.place(driver.gpadl, RING_BYTES), 0, 600))
        yield from cpu.hlt(1_000_000)                         # likewise
        assert service.loaded is not b.attachments[0].context
        yield from driver._wanted(w.UNMAP.pack(gpadl=driver.gpadl))
        yield from driver._wanted(w.MAP.pack(gpadl=driver.gpadl))
        return (yield from _peek(driver))
    _, seen = machine.run((a, inference(40)), (b, anew))
    assert seen == bytes(SRAM_BYTES)


def test_each_guest_has_one_job_a_round():
    machine, service, made = guests(3)
    order, run = [], service._done

    def told(job):
        order.append(service.contexts.index(job.context))
        return (yield from run(job))
    service._done = told

    def many(cpu, driver):
        cpu.write(driver.base, command(Op.MATMUL, rows=128, cols=128, depth=384) * 40)      # 1 ms: the others' are there when it ends
        for n in range(4):
            driver.channel.end.send(w.SUBMIT.pack(gpadl=driver.gpadl, commands=40), n, want_completion=True)
        yield from cpu.hlt(40_000_000)
    machine.run(*((guest, many) for guest in made))
    assert len(order) == 12 and all(sorted(order[at:at + 3]) == [0, 1, 2] for at in (3, 6)), order


def test_a_channel_that_is_closed_has_its_jobs_ended():
    guest = one_guest(attachment("accelerator", "split"))
    service = guest.attachments[0].service

    def program(cpu, driver):
        cpu.write(driver.base, command(Op.MATMUL, rows=128, cols=128, depth=384) * 60)
        for n in range(2):
            driver.channel.end.send(w.SUBMIT.pack(gpadl=driver.gpadl, commands=60), n, want_completion=True)
        yield from cpu.hlt(50_000)
        assert service.running is not None and service.running.context.jobs
        yield from driver.client.close(driver.channel)
        yield from cpu.hlt(100_000)
        assert service.running is None and not service.context().jobs
    guest.run(program)


def test_the_host_alone_says_after_which_command_it_is_interrupted():
    guest = one_guest(attachment("accelerator", "split"))
    service = guest.attachments[0].service

    def program(cpu, driver):
        before = service.driver.interrupts
        yield from driver.run([command(Op.NOP, flags=1)] * 20)
        return service.driver.interrupts - before
    assert guest.run(program) == 2                            # the switch to this guest, and the end of its buffer


def test_memory_has_one_name_at_a_time_and_only_so_much_is_named():
    guest = one_guest(attachment("accelerator", "split"))

    def program(cpu, driver):
        assert (yield from driver._ask(w.MAP.pack(gpadl=driver.gpadl), w.ANSWER)).status == Status.NO_MEMORY
        first, found = driver.base >> 12, []
        for n in range(w.MAX_MAPPED):
            more = yield from driver.client.create_gpadl(driver.channel, (first + n,))
            found.append((yield from driver._ask(w.MAP.pack(gpadl=more), w.ANSWER)).status)
        return found
    assert guest.run(program) == [Status.SUCCESS] * (w.MAX_MAPPED - 1) + [Status.NO_MEMORY]
