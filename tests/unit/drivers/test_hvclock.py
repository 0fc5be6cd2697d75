"""The guest's clock and timer on Hyper-V: what they cost, and where they fall back to."""

import pytest

from tests.bus_rig import echoes, machine, run
from vmio.drivers.errors import DriverError
from vmio.drivers.hvclock import HvTimer, ReferenceClock
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.modes import one_guest


def guest(privileges=tlfs.PRIVILEGES, **host):
    guest = one_guest(ram_mib=4, **host).guest
    enable_enlightenments(guest, privileges=privileges)
    return guest, GuestPages(0x20_0000, 0x21_0000)


def exits(cpu, do):
    before = cpu.exits.by_reason()
    result = do()
    return result, dict(cpu.exits.by_reason() - before)


def test_the_time_by_page_and_by_msr():
    for without, cost in ((0, {}), (tlfs.REFERENCE_TSC_BIT, {"RDMSR": 1})):
        one, pages = guest(tlfs.PRIVILEGES & ~without)
        clock = ReferenceClock(one.cpu, pages)
        one.cpu.compute(12_345)
        assert exits(one.cpu, lambda: clock.now(one.cpu)) == (one.cpu.now // 100, cost)


def test_a_page_that_says_it_is_not_reliable():
    one, pages = guest()
    clock = ReferenceClock(one.cpu, pages)
    one.host.memory.write(one.enlightened.reference.page, bytes(4))
    assert exits(one.cpu, lambda: clock.now(one.cpu)) == (one.cpu.now // 100, {"RDMSR": 1})
    clock.disable(one.cpu)
    assert clock.page is None and not one.cpu.rdmsr(tlfs.REFERENCE_TSC) & 1


def test_no_clock_and_no_timer():
    one, pages = guest(tlfs.PRIVILEGES & ~(tlfs.REFERENCE_TSC_BIT | tlfs.TIME_COUNT_BIT))
    with pytest.raises(DriverError, match="neither the reference TSC page"):
        ReferenceClock(one.cpu, pages)
    one, pages = guest(tlfs.PRIVILEGES & ~tlfs.STIMER_BIT)
    with pytest.raises(DriverError, match="no synthetic timers"):
        HvTimer(one.cpu, ReferenceClock(one.cpu, pages))
    one.cpuid_leaves[0x4000_0003] = (tlfs.PRIVILEGES & 0xFFFF_FFFF, 0, 0, 0)
    with pytest.raises(DriverError, match="only send messages"):
        HvTimer(one.cpu, ReferenceClock(one.cpu, pages))


@pytest.mark.parametrize("apic, end", [("virtualized", {}), ("emulated", {"WRMSR": 1})])
def test_a_sleep_is_an_msr_and_a_halt(apic, end):
    """Arming is an ordinary WRMSR at the price of any; only an emulated APIC adds the end of the interrupt."""
    one, pages = guest(apic=apic)

    def program(cpu):
        timer = HvTimer(cpu, ReferenceClock(cpu, pages))
        before = cpu.exits.by_reason()
        start = timer.clock.now(cpu)
        yield from timer.sleep(50_000)
        assert timer.clock.now(cpu) >= start + 500 and timer.fired == 1
        return dict(cpu.exits.by_reason() - before)

    found, = one.host.run((one.cpu, program))
    expected = {"WRMSR": 1, "HLT": 1}
    expected.update({name: expected[name] + count for name, count in end.items()})
    assert found == expected
    arming, = (row for row in one.cpu.exits.rows if row.address == tlfs.STIMER0_CONFIG + 1)
    assert (arming.count, arming.cost) == (1, one.cpu.costs.hypercall_ns)


def test_a_handler_in_time_and_shut_off():
    one, pages = guest()
    called = []

    def program(cpu):
        timer = HvTimer(cpu, ReferenceClock(cpu, pages))
        start = timer.clock.now(cpu)
        timer.start(100_001, lambda cpu: called.append(timer.clock.now(cpu) - start))
        cpu.compute(200_000)
        timer.start(100_000, lambda cpu: called.append("late"))
        timer.stop()
        cpu.compute(200_000)
        yield from cpu.pay()
        return [cpu.rdmsr(tlfs.STIMER0_CONFIG + n) for n in (0, 1)]

    assert one.host.run((one.cpu, program)) == [[0, 0]]
    assert len(called) == 1 and 1_001 <= called[0] <= 1_030


def test_a_timer_by_messages_beside_a_working_bus():
    """Where timers can't interrupt by themselves they share SINT 2 with the bus, as in Linux's vmbus_isr."""
    host, one, server, _ = machine()
    privileges, calls, ecx, features = one.cpuid_leaves[0x4000_0003]
    one.cpuid_leaves[0x4000_0003] = privileges, calls, ecx, features & ~tlfs.HAS_DIRECT_TIMERS

    def program(cpu):
        client, echo = yield from echoes(1)(cpu)
        timer = HvTimer(cpu, ReferenceClock(cpu, client.pages), client._synics[0])
        for n in range(3):
            timer.start(10_000)
            assert (yield from echo.ask(b"%8d" % n)) == b"%8d" % n
            yield from timer.sleep(20_000)
        return timer.fired, client.ignored

    fired, ignored = run(host, one, program)
    assert (fired, ignored) == (6, 0)
