"""How much StorVSP takes at a time, when it signals, and what becomes of requests when the channel closes."""

import pytest

from tests.storage_rig import Rig, read10, srb
from vmio.vmbus.storage import vstor as v

INQUIRY = "12 00 00 00 24 00"


def test_completions_come_in_the_order_of_the_disk():
    rig = Rig(hold=True, batch=1).ready()
    for number in range(1, 6):
        rig.end.send(*_request(number))
    assert rig.run() == [] and rig.vsp.in_flight == 5
    got = []
    for at in (4, 0, 2, 0, 0):
        rig.backend.release(at)
        got += [packet.transaction_id for packet in rig.run()]
    assert got == [5, 1, 4, 2, 3]


def _request(number, sectors=8):
    payload, ranges = srb(read10(number * 8, sectors), sectors * 512, gpa=0x10000 + number * 0x1000)
    return payload, number, True, ranges


def test_a_batch_is_published_together_and_the_rest_is_not_forgotten():
    rig = Rig(hold=True, batch=4).ready()
    for number in range(1, 7):
        rig.end.send(*_request(number))
    rig.run()
    before = rig.interrupts
    for _ in range(3):
        rig.backend.release()
    assert rig.run() == []                       # three of four, and more are in flight
    rig.backend.release()
    assert rig.interrupts == before + 1 and len(rig.run()) == 4
    rig.backend.release()
    assert rig.run() == []
    rig.backend.release()                        # the last: no other could complete the batch
    assert len(rig.run()) == 2


def test_no_more_in_flight_than_allowed_and_none_lost():
    rig = Rig(hold=True, queue_depth=3, batch=2).ready()
    for number in range(1, 9):
        rig.end.send(*_request(number))
    rig.run()
    assert len(rig.backend.held) == 3
    got = []
    while rig.backend.held:
        assert len(rig.backend.held) <= 3
        rig.backend.release()
        got += [packet.transaction_id for packet in rig.run()]
    assert got == list(range(1, 9))


def test_a_guest_that_does_not_read_its_ring():
    rig = Rig(pages=2, hold=True, batch=2).ready()
    sent = 0
    for _ in range(30):
        for _ in range(10):
            sent += 1
            rig.end.send(*_request(sent % 100))
        rig.host.env.run()
        while rig.backend.held:
            rig.backend.release()
        rig.host.env.run()
        if rig.vsp.worker._backlog:
            break
    worker = rig.vsp.worker
    assert worker._backlog and rig.errors == []
    taken = worker.taken
    rig.end.send(*_request(1))
    rig.host.env.run()
    assert worker.taken == taken                 # what it doesn't read the answers of is not begun
    got = len(rig.run())
    for _ in range(10):
        while rig.backend.held:
            rig.backend.release()
        got += len(rig.run())
    assert got == sent + 1 and not worker._backlog and worker.completed == worker.taken


def test_closing_waits_for_what_is_in_flight():
    rig = Rig(hold=True).ready()
    rig.end.send(*_request(1))
    rig.end.send(*_request(2))
    rig.host.env.run()
    worker = rig.vsp.worker
    drained = rig.vsp.closed()
    assert drained is not None and not drained.triggered
    with pytest.raises(RuntimeError, match="2 requests"):
        rig.guest.destroy()
    rig.backend.release()
    assert not drained.triggered
    rig.backend.release()
    assert drained.triggered and worker.dropped == 2
    rig.open()
    rig.backend.hold = False
    assert rig.ready().srb(INQUIRY, 36).srb_status == 1
    assert rig.vsp.closed() is None
    rig.guest.destroy()


def test_what_comes_back_late_is_not_sent_into_a_newer_life():
    rig = Rig(hold=True).ready()
    rig.end.send(*_request(1))
    rig.host.env.run()
    rig.vsp.closed()
    rig.open()
    rig.backend.release()
    assert rig.run() == []
    assert rig.control(v.BEGIN_INITIALIZATION)[0] == 0


def test_a_unit_that_was_stopped_is_ready_in_the_next_life():
    rig = Rig().ready()
    assert rig.srb("1b 00 00 00 00 00").srb_status == 1
    answer = rig.srb(read10(0, 8), 4096)
    assert (answer.srb_status, answer.cdb[2], answer.cdb[12:14]) == (0x84, 2, b"\x04\x02")
    rig.vsp.closed()
    rig.open()
    assert rig.ready().srb(read10(0, 8), 4096).srb_status == 1


def test_the_worker_costs_time_and_sleeps():
    rig = Rig().ready()
    costs, worker = rig.host.costs, rig.vsp.worker
    started, wakeups = rig.host.env.now, worker.wakeups
    rig.srb("00 00 00 00 00 00")
    assert rig.host.env.now - started == costs.worker_wakeup_ns + costs.host_request_ns
    assert worker.wakeups == wakeups + 1
    rig.host_end.interrupted()                          # for nothing
    rig.host.env.run()
    assert worker.wakeups == wakeups + 2 and rig.host.env.peek() == float("inf")


def test_no_signals_while_the_worker_is_awake():
    rig = Rig().ready()
    signals = rig.end.events
    rig.end.send(*_request(1))
    rig.host.env.run(until=rig.host.env.now + 1)
    for number in range(2, 9):
        rig.end.send(*_request(number))
    assert rig.end.events == signals + 1
    assert len(rig.run()) == 8


def test_answers_hold_nothing_but_the_guests_own_bytes():
    """Every byte of an answer is zero, the guest's, or a field that has a meaning."""
    rig = Rig().ready()
    payload, ranges = srb(read10(0, 8), 4096, reserved1=0x5A, reserved2=0xA5A5, sort_key=0xDEADBEEF, timeout=0x12345678)
    answer = v.SRB.parse(rig.ask(payload, 7, ranges))
    assert (answer.reserved1, answer.reserved2, answer.sort_key, answer.timeout) == (0x5A, 0xA5A5, 0xDEADBEEF, 0x12345678)
    assert answer.cdb == bytes(20)


@pytest.mark.parametrize("options", [{"batch": 0}, {"batch": 2000}])
def test_parameters(options):
    with pytest.raises(ValueError, match="batch"):
        Rig(**options)
