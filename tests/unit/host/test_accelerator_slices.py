"""The matrix engine's service in slices: a long command buffer lets others come in between."""

import pytest
from tests.accelerator_guests import guests, inference

from vmio.drivers.accelerator import RING_BYTES
from vmio.drivers.accelerator_plan import moves
from vmio.hardware.accelerator.registers import DESCRIPTOR, Error, Op
from vmio.host.accelerator.service import ENDED, Job
from vmio.machine.clock import NEVER
from vmio.vmbus.accelerator import wire as w


def test_a_slice_has_the_commands_that_fit_and_at_least_one():
    half = DESCRIPTOR.pack(op=Op.LOAD, rows=1, cols=3938 * 2)           # 2 us over the link, 500 ns to fetch
    def sizes(slice_ns):
        job, found = Job(None, [half] * 5, None), []
        while job.descriptors:
            found.append(len(job.take(slice_ns)))
        return found
    assert [sizes(ns) for ns in (1, 2_500, 4_999, 5_000, 7_500, NEVER)] == [[1] * 5, [1] * 5, [1] * 5, [2, 2, 1], [3, 2], [5]]


@pytest.mark.parametrize("slice_ns, waits", [(NEVER, True), (20_000, False)])
def test_a_long_command_buffer_lets_others_wait_unless_it_comes_in_slices(slice_ns, waits):
    machine, service, (a, b) = guests(2, slice_ns)
    number = 200

    def long(cpu, driver):
        cpu.write(driver.data, bytes(range(256)) * 16)
        yield from driver.run([move for _ in range(number // 2) for move in
                               (*moves(Op.LOAD, w.place(driver.gpadl, RING_BYTES), 0, 4096), *moves(Op.STORE, w.place(driver.gpadl, RING_BYTES + 4096), 0, 4096))])
        assert cpu.read(driver.data + 4096, 4096) == bytes(range(256)) * 16
        return cpu.now
    ends = machine.run((a, long), (b, inference()))
    assert (ends[1] > ends[0]) == waits
    assert service.switches > 4 if not waits else service.switches <= 4
    assert service.function.halts == dict.fromkeys(Error, 0)


def test_a_guest_that_goes_between_two_slices_is_told_once():
    machine, service, (a, b) = guests(2, 1)
    context, told = service.contexts[0], []
    context.jobs.append(Job(context, [DESCRIPTOR.pack(op=Op.NOP)] * 500, told.append))

    def program(cpu, driver):
        service.work()
        yield from cpu.hlt(20_000)
        assert context.jobs or service.running
        context.forget()
        yield from cpu.hlt(1_000_000)
        assert not context.jobs and told == [ENDED]
        assert (yield from inference(1)(cpu, driver)) > 0
    machine.run((b, program))
