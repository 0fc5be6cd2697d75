"""What a run of guest programs is, and isn't; and what the end of one leaves to the others."""

import pytest

from tests.survivors_rig import beside_others, machine, raises, steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.program import STANDSTILL
from vmio.hypervisor.vcpu import GuestFault
from vmio.machine.memory import PAGE


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
