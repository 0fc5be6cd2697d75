"""Synthetic timers in hostile hands: how little of the host a guest gets with them; several vCPUs on one clock."""

import pytest

from tests.timer_rig import (
    AUTO, CONFIG, COUNT, DIRECT, LAZY, MESSAGES, OWN, OWN_VECTOR, PERIODIC, VECTOR, arm, machine, time)
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.stimer import MIN_PERIOD


def test_a_periodic_timer_of_100_ns_does_not_keep_the_host_busy():
    cpu, hits = machine()
    arm(cpu, PERIODIC | AUTO | OWN_VECTOR, 1)
    start = time(cpu)
    cpu.compute(1_000_000)
    timer = cpu.guest.enlightened.synics[0].timers[0]
    assert MIN_PERIOD == 100 and len(hits) == timer.expirations == (time(cpu) - start) // 100
    assert hits[0][0] - start < 130 and timer.skipped == 99 * len(hits)


@pytest.mark.parametrize("config", [MESSAGES, OWN_VECTOR, DIRECT | 5 << 4])
def test_an_idle_guests_timers_stand_still(config):
    """Nobody takes what expires - a masked SINT, interrupts off, no such vector: HLT without an end is found out, not simulated."""
    cpu, hits = machine(sint=tlfs.MASKED)

    def program(cpu):
        for n in range(4):
            arm(cpu, PERIODIC | AUTO | config, 1, timer=n)
        cpu.cli()
        yield from cpu.hlt()

    with pytest.raises(GuestFault, match="nothing will raise"):
        cpu.guest.host.run((cpu, program))
    assert not hits and sum(timer.expirations for timer in cpu.guest.enlightened.synics[0].timers) <= 8


def test_what_stood_still_goes_on_when_the_guest_takes_it():
    cpu, hits = machine()
    arm(cpu, PERIODIC | AUTO | OWN_VECTOR, 1_000)
    start = time(cpu)
    cpu.cli()
    cpu.compute(5_050_000)                                   # 50 periods
    cpu.sti()
    assert len(hits) == 1
    cpu.compute(1_000_000)
    assert [(at - start) // 1_000 for at, _, _ in hits] == [50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60][:len(hits)] and len(hits) == 11


def test_another_vector_is_not_the_one_that_it_waits_for():
    cpu, hits = machine()
    timer = cpu.guest.enlightened.synics[0].timers[0]
    cpu.wrmsr(tlfs.TPR, 0xEF)                                # EDh is held back, F3h is not
    arm(cpu, PERIODIC | AUTO | OWN_VECTOR, 1_000)
    cpu.compute(1_000_000)
    cpu.apic.request(VECTOR)
    cpu.attend()
    assert timer.parked and timer.expirations == 1 and [vector for _, vector, _ in hits] == [VECTOR]
    cpu.wrmsr(tlfs.TPR, 0)
    assert not timer.parked and [vector for _, vector, _ in hits] == [VECTOR, OWN]


def test_a_timer_that_stood_still_is_set_anew():
    cpu, hits = machine()
    timer = cpu.guest.enlightened.synics[0].timers[0]
    arm(cpu, PERIODIC | AUTO | OWN_VECTOR, 1_000)
    cpu.cli()
    cpu.compute(1_000_000)
    assert timer.parked
    cpu.wrmsr(COUNT, 20_000)
    cpu.sti()
    assert not timer.parked and len(hits) == 1
    cpu.compute(1_900_000)
    assert len(hits) == 1 and len([each for each in cpu.guest.clock._heap if each[2].callback is not None]) == 1
    cpu.compute(200_000)
    assert len(hits) == 2


def test_lazy_timers_skip_what_comes_shortly_before_the_next():
    """A vCPU that comes 95 % of a period late: told at once if the timer is not lazy."""
    for lazy in (0, LAZY):
        cpu, hits = machine()
        arm(cpu, PERIODIC | AUTO | OWN_VECTOR | lazy, 10_000)
        cpu.now += 1_950_000                                 # it had no core for so long
        cpu.compute(100)
        assert len(hits) == (0 if lazy else 1)
        cpu.compute(1_000_000)
        assert len(hits) == (1 if lazy else 2)


def test_counts_without_end():
    cpu, hits = machine()
    for config in (AUTO | OWN_VECTOR, AUTO | PERIODIC | OWN_VECTOR):
        for count in ((1 << 64) - 1, 1 << 63, 1 << 57):
            arm(cpu, config, count)
            cpu.compute(1_000_000)
    assert not hits and len(cpu.guest.clock._heap) < 10


def test_arming_again_and_again_fills_no_memory():
    cpu, _ = machine()
    for n in range(10_000):
        cpu.wrmsr(CONFIG, AUTO | OWN_VECTOR)
        cpu.wrmsr(COUNT, time(cpu) + 1_000_000 + n)
    assert len(cpu.guest.clock._heap) < 200 and len(cpu.env._queue) < 200


def test_a_handler_that_arms_for_the_past_ends_its_guest():
    cpu, _ = machine()
    cpu.on_interrupt(OWN, lambda cpu: (cpu.wrmsr(0x80B, 0), cpu.wrmsr(COUNT, 1)))
    with pytest.raises(GuestFault, match="interrupts in a row"):
        arm(cpu, AUTO | OWN_VECTOR, 1)


# Several vCPUs on one clock.

def test_another_vcpus_time_brings_no_timer_early():
    """vCPU 0 computes a millisecond ahead of everybody; vCPU 1, asleep, is woken when its own time has come."""
    cpu, hits = machine(vcpus=2)
    second = cpu.guest.vcpus[1]
    woken = []
    second.on_interrupt(OWN, lambda cpu: woken.append(time(cpu)))

    def sleeper(cpu):
        arm(cpu, AUTO | OWN_VECTOR, 5_000)
        yield from cpu.hlt()
        return cpu.now

    def worker(cpu):
        yield from cpu.pay()
        cpu.compute(1_000_000)
        yield from cpu.pay()

    _, at = cpu.guest.host.run((cpu, worker), (second, sleeper))
    assert at == 500_000 + second.costs.wakeup_ns and woken == [at // 100]
