"""Synthetic timers: configuration, count, expiration by message and by vector."""

import pytest

from tests.timer_rig import (
    AUTO, CONFIG, COUNT, DIRECT, ENABLE, LAZY, MESSAGES, OWN, OWN_VECTOR, PAGE_M, PERIODIC, SINT, VECTOR, arm, machine, time)
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs


def test_values_after_reset_and_what_reads_back():
    cpu, _ = machine()
    assert [cpu.rdmsr(CONFIG + n) for n in range(8)] == [0] * 8
    for n in range(4):
        cpu.wrmsr(CONFIG + 2 * n, PERIODIC | LAZY | 0xAB << 4 | (n + 1) << 16)
        cpu.wrmsr(COUNT + 2 * n, (1 << 64) - 1 - n)
    assert [cpu.rdmsr(CONFIG + 2 * n) for n in range(4)] == [0x0001_0AB6 + (n << 16) for n in range(4)]
    assert [cpu.rdmsr(COUNT + 2 * n) for n in range(4)] == [(1 << 64) - 1 - n for n in range(4)]
    cpu.guest.enlightened.reset()
    assert [cpu.rdmsr(CONFIG + n) for n in range(8)] == [0] * 8


@pytest.mark.parametrize("bit", [13, 14, 15, *range(20, 64)])
def test_reserved_bits_are_a_fault_and_change_nothing(bit):
    cpu, _ = machine()
    cpu.wrmsr(CONFIG + 6, AUTO | MESSAGES)
    with pytest.raises(GuestFault, match="#GP, STIMER3_CONFIG"):
        cpu.wrmsr(CONFIG + 6, ENABLE | MESSAGES | 1 << bit)
    assert cpu.rdmsr(CONFIG + 6) == AUTO | MESSAGES


def test_what_enables_and_what_disables():
    cpu, _ = machine()
    far = 1 << 40
    arm(cpu, MESSAGES, far)
    assert cpu.rdmsr(CONFIG) == MESSAGES                     # the count alone doesn't
    arm(cpu, MESSAGES | AUTO, far)
    assert cpu.rdmsr(CONFIG) == MESSAGES | AUTO | ENABLE     # with AutoEnable it does
    cpu.wrmsr(COUNT, 0)
    assert cpu.rdmsr(CONFIG) == MESSAGES | AUTO              # 0 stops it, whatever AutoEnable says
    cpu.wrmsr(CONFIG, ENABLE | PERIODIC)
    assert cpu.rdmsr(CONFIG) == PERIODIC                     # messages to SINT 0 are not permitted
    arm(cpu, AUTO, far)
    assert cpu.rdmsr(CONFIG) == AUTO
    arm(cpu, AUTO | OWN_VECTOR, far)
    assert cpu.rdmsr(CONFIG) == AUTO | OWN_VECTOR | ENABLE   # in direct mode SINT is of no interest


def test_a_one_shot_sends_its_message_in_time_and_is_disabled():
    cpu, hits = machine()
    due = time(cpu) + 5_000
    arm(cpu, MESSAGES | AUTO, due, timer=2)
    cpu.compute((due - time(cpu)) * 100 - 1_000)
    assert hits == [] and cpu.rdmsr(CONFIG + 4) & ENABLE
    cpu.compute(10_000)
    (at, _, message), = hits
    assert (message.message_type, message.size, message.flags, message.reserved, message.sender) == (0x8000_0010, 24, 0, 0, 0)
    assert message.payload[:24] == bytes.fromhex("02000000 00000000") + due.to_bytes(8, "little") + due.to_bytes(8, "little")
    assert due <= at < due + 50 and cpu.rdmsr(CONFIG + 4) == MESSAGES | AUTO
    cpu.compute(10_000_000)
    assert len(hits) == 1


def test_arming_for_the_past_expires_at_once_within_the_exit():
    cpu, hits = machine()
    cpu.compute(1_000_000)
    before = cpu.exits.by_reason()
    arm(cpu, OWN_VECTOR | AUTO, 1)
    assert [vector for _, vector, _ in hits] == [OWN] and not cpu.rdmsr(CONFIG) & ENABLE
    assert cpu.exits.by_reason() - before == {"WRMSR": 2, "RDMSR": 1}        # no interrupt of the host's beside it


def test_a_count_that_is_now_has_come():
    cpu, hits = machine()
    cpu.wrmsr(CONFIG, OWN_VECTOR | AUTO)
    cpu.wrmsr(COUNT, cpu.guest.reference_time(cpu.now + cpu.costs.hypercall_ns))       # what the write itself takes
    assert len(hits) == 1


def test_what_expires_within_the_guests_own_exit_is_no_interrupt_of_the_hosts():
    cpu, hits = machine()
    cpu.cli()
    before = cpu.exits.by_reason()
    arm(cpu, OWN_VECTOR | AUTO, 1)
    cpu.compute(10_000)
    assert cpu.exits.by_reason() - before == {"WRMSR": 2} and cpu.apic.irr == 1 << OWN


@pytest.mark.parametrize("vector, taken", [(15, 0), (16, 1), (255, 1)])
def test_vectors_of_direct_mode(vector, taken):
    """The APIC takes 16 to 255 (SDM vol. 3A, "Valid Interrupt Vectors")."""
    cpu, _ = machine()
    got = []
    cpu.on_interrupt(vector, lambda cpu: got.append(vector))
    arm(cpu, DIRECT | vector << 4 | AUTO, 1)
    assert len(got) == taken and not cpu.rdmsr(CONFIG) & ENABLE


def test_a_halted_guest_is_woken_in_time():
    cpu, hits = machine()

    def program(cpu):
        due = time(cpu) + 1_234
        arm(cpu, OWN_VECTOR | AUTO, due)
        yield from cpu.hlt()
        return due

    due, = cpu.guest.host.run((cpu, program))
    assert len(hits) == 1 and due * 100 + cpu.costs.wakeup_ns == cpu.now and hits[0][0] == cpu.now // 100


@pytest.mark.parametrize("apic, vector", [("virtualized", OWN), ("emulated", OWN), ("virtualized", VECTOR)])
def test_a_timer_that_runs_out_while_the_guest_runs_stops_it(apic, vector):
    """The host's timer interrupts the core: one exit; asleep, HLT was the exit."""
    cpu, hits = machine(apic=apic)
    arm(cpu, AUTO | (OWN_VECTOR if vector == OWN else MESSAGES), time(cpu) + 100)
    before = cpu.exits.by_reason()
    cpu.compute(100_000)
    eoi = {} if apic == "virtualized" else {"WRMSR": 1}
    assert len(hits) == 1 and cpu.exits.by_reason() - before == {"EXTERNAL_INTERRUPT": 1, **eoi}
    assert cpu.apic.isr == 0


def test_a_periodic_timer_keeps_to_its_grid():
    cpu, hits = machine()
    arm(cpu, PERIODIC | AUTO | MESSAGES, 10_000)
    start = time(cpu)
    cpu.compute(10_500_000)
    assert [int.from_bytes(m.payload[8:16], "little") for _, _, m in hits] == [start + 10_000 * n for n in range(1, 11)]
    assert cpu.rdmsr(CONFIG) & ENABLE and cpu.rdmsr(COUNT) == 10_000
    cpu.wrmsr(CONFIG, 0)
    cpu.compute(10_000_000)
    assert len(hits) == 10


def test_an_enabled_timer_starts_again_when_its_count_is_written():
    cpu, hits = machine()
    arm(cpu, AUTO | OWN_VECTOR, time(cpu) + 5_000)
    cpu.wrmsr(COUNT, time(cpu) + 50_000)
    cpu.compute(1_000_000)
    assert hits == []
    cpu.wrmsr(CONFIG, OWN_VECTOR)                            # off; the count stays
    cpu.compute(10_000_000)
    assert hits == []
    cpu.wrmsr(CONFIG, OWN_VECTOR | ENABLE)                   # on: its end has passed
    assert len(hits) == 1


# The slot is taken: TLFS, "Messages".

def test_a_message_waits_for_its_slot_and_eom_brings_it():
    cpu, hits = machine()
    synic = cpu.guest.enlightened.synics[0]
    cpu.cli()
    synic.post(SINT, 1, b"first")
    due = time(cpu) + 100
    arm(cpu, MESSAGES | AUTO, due, timer=1)
    cpu.compute(50_000)
    slot = PAGE_M + 256 * SINT
    assert cpu.load(slot, 4) == 1 and cpu.load(slot + 5, 1) == 1          # it asks for EOM
    assert not cpu.rdmsr(CONFIG + 2) & ENABLE and len(synic.queues[SINT]) == 1
    cpu.sti()
    (_, _, first), (at, _, timer) = hits                                  # the handler's EOM, and the second interrupt
    assert (first.message_type, first.flags, timer.message_type, timer.flags) == (1, 1, tlfs.TIMER_EXPIRED, 0)
    record = tlfs.TIMER_PAYLOAD.parse(timer.payload)
    assert record.timer == 1 and record.expiration == due and record.delivery > due + 400
    assert at - record.delivery < 50


def test_the_timers_buffers_are_not_the_ports():
    """Sixteen messages wait already; the four timers' come behind them."""
    cpu, hits = machine(sint=tlfs.MASKED)
    synic = cpu.guest.enlightened.synics[0]
    while synic.post(SINT, 1, b"x"):
        pass
    assert len(synic.queues[SINT]) == 16
    for n in range(4):
        arm(cpu, MESSAGES | AUTO | PERIODIC, 1_000, timer=n)
    cpu.compute(10_000_000)
    assert len(synic.queues[SINT]) == 20 and not synic.post(SINT, 1, b"x")
    for _ in range(17):
        cpu.store(PAGE_M + 256 * SINT, 4, 0)
        cpu.wrmsr(tlfs.EOM, 0)
    assert cpu.load(PAGE_M + 256 * SINT, 4) == tlfs.TIMER_EXPIRED and not hits


def test_a_write_takes_back_what_was_not_delivered():
    cpu, _ = machine(sint=tlfs.MASKED)
    synic = cpu.guest.enlightened.synics[0]
    synic.post(SINT, 1, b"x")
    arm(cpu, MESSAGES | AUTO, 1)
    arm(cpu, MESSAGES | AUTO, 1, timer=1)
    assert len(synic.queues[SINT]) == 2
    cpu.wrmsr(COUNT, 0)
    assert [message[1][0] for message in synic.queues[SINT]] == [1]
    cpu.guest.enlightened.reset()
    assert not synic.queues[SINT] and not any(timer.waiting for timer in synic.timers)


def test_with_the_synic_off_the_message_waits():
    cpu, hits = machine()
    cpu.wrmsr(tlfs.SCONTROL, 0)
    arm(cpu, MESSAGES | AUTO, 1)
    assert not hits
    cpu.wrmsr(tlfs.SCONTROL, 1)
    assert len(hits) == 1
