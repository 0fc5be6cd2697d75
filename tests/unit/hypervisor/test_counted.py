"""What stops a guest that asked for nothing: first touch of a page, loss of the core, the host's tick; and arming a timer."""

import pytest

from vmio.devices.board import Board
from vmio.hypervisor.apic import TSC_DEADLINE
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.hypervisor.cores import MAX_SPANS
from vmio.hypervisor.kinds import KINDS
from vmio.machine.memory import PAGE
from vmio.modes import Machine, one_guest

COSTS = CostModel.preset()
INTERRUPT_NS = COSTS.hypercall_ns + COSTS.host_interrupt_ns


def guest_on(ram_mib=8, **properties):
    return one_guest(name="t", ram_mib=ram_mib, memory_mib=16, **properties).guest


def touched(guest):
    """First touches so far: {instruction: exits}."""
    return {row.instruction: row.count for row in guest.cpu.exits.rows if row.device == "RAM"}


# First touch.

@pytest.mark.parametrize("properties, exits", [
    ({}, 0), (dict(backing="pinned"), 0), (dict(backing="demand"), 64), (dict(kind="kvm"), 64),
    (dict(kind="hyper-v-containers"), 64), (dict(kind="kvm", backing="start"), 0), (dict(kind="hyper-v", backing="demand"), 64)])
def test_the_first_store_to_a_page_is_an_exit_where_ram_is_backed_on_demand(properties, exits):
    cpu = guest_on(**properties).cpu
    for _ in range(2):
        for page in range(0x100000, 0x140000, PAGE):
            cpu.store(page, 4, 1)
            cpu.load(page + 8, 4)
    assert cpu.exits.by_reason() == ({"EPT_VIOLATION": exits} if exits else {})
    assert cpu.now == cpu.exits.ns == exits * COSTS.first_touch_ns and COSTS.first_touch_ns == 9200


def test_each_way_to_reach_a_page_is_a_touch_and_no_page_is_touched_twice():
    guest = guest_on(backing="demand")
    cpu = guest.cpu
    cpu.read(0x1FF0, 2 * PAGE)                                # pages 1, 2, 3
    assert touched(guest) == {"MOV from memory": 3}
    cpu.write(0x4FFF, b"ab")                                  # 4 and 5
    cpu.store(0x6FFC, 8, 1)                                   # 6 and 7
    cpu.window((2, 8, 9)).store32(PAGE, 5)                    # 8 and 9: the driver clears what it shares
    cpu.write(0xA000, b"")
    assert touched(guest) == {"MOV from memory": 3, "MOV to memory": 6} and cpu.load(0x8000, 4) == 5
    cpu.load(guest.ram - 4, 4)
    before = cpu.exits.total
    cpu.load(guest.ram - 4, 8)                                # its second half is no RAM: one exit, as ever
    assert cpu.exits.total == before + 1 and touched(guest)["MOV from memory"] == 4


def test_the_pages_are_the_guests_not_the_vcpus():
    guest = guest_on(1, backing="demand", vcpus=2)
    for cpu in guest.vcpus:
        cpu.store(0x5000, 1, 1)
    assert [cpu.exits.total for cpu in guest.vcpus] == [1, 0]


def test_what_the_host_does_in_a_guests_memory_touches_nothing_for_it():
    guest = guest_on(backing="demand")
    Board(guest, serial=lambda byte: None)
    cpu = guest.cpu
    guest.memory.write(0x3000, b"from the host")
    cpu.insb(0x3FD, 0x4000, 16)
    cpu.outsb(0x3F8, 0x4000, 16)
    assert touched(guest) == {} and cpu.exits.total == 2
    assert cpu.read(0x3000, 4) == b"from" and cpu.read(0x4000, 2) == b"\x60\x60" and touched(guest) == {"MOV from memory": 2}


def test_a_page_of_the_hypervisors_is_there_and_what_lies_beneath_is_not():
    guest = guest_on(backing="demand")
    enable_enlightenments(guest)
    cpu = guest.cpu
    cpu.wrmsr(tlfs.SIMP, 0x5001)
    cpu.store(0x5000, 4, 1)
    assert touched(guest) == {}
    cpu.wrmsr(tlfs.SIMP, 0)
    cpu.store(0x5000, 4, 1)
    assert touched(guest) == {"MOV to memory": 1}


def test_memory_that_comes_back_is_touched_anew():
    guest = guest_on(backing="demand")
    guest.cpu.store(0x100000, 4, 1)
    guest.cpu.store(0x101000, 4, 1)
    guest.take_ram(0x100000, PAGE)
    guest.give_ram(0x100000, PAGE)
    guest.cpu.store(0x100000, 4, 1)
    guest.cpu.store(0x101000, 4, 1)
    assert touched(guest) == {"MOV to memory": 3}


def test_pinned_ram_has_no_first_touches_left_and_cannot_be_taken():
    guest = guest_on(backing="demand")
    guest.pin_ram()
    guest.cpu.store(0x1000, 4, 1)
    assert guest.cpu.exits.total == 0
    with pytest.raises(ValueError, match="guest t: no memory taken away: the host pins its guests' RAM"):
        guest_on(backing="pinned").take_ram(0x1000, PAGE)


def test_the_trace_names_the_page():
    cpu = guest_on(backing="demand").cpu
    cpu.keep_trace()
    cpu.store(0x12345, 2, 7)
    one, = cpu.trace
    assert (one.address, one.device, one.handler, one.cost, one.write) == (0x12000, "RAM", "hypervisor", 9200, True)


@pytest.mark.parametrize("wrong, words", [
    (dict(kind="vmware"), "host: kind 'vmware'; choose one of hyper-v, hyper-v-containers, kvm"),
    (dict(backing="never"), "host: backing 'never'; choose one of demand, start, pinned"),
    (dict(tick_hz=-1), "host: tick_hz -1; whole, 0 (none) to 10,000"), (dict(tick_hz=10_001), "host: tick_hz 10001; whole, 0 (none) to 10,000"),
    (dict(tick_hz=2.5), "host: tick_hz 2.5; whole, 0 (none) to 10,000"), (dict(tick_hz=True), "host: tick_hz True; whole, 0 (none) to 10,000")])
def test_properties_that_no_host_has(wrong, words):
    with pytest.raises(ValueError) as refused:
        guest_on(**wrong)
    assert str(refused.value) == words


def test_each_kind_has_its_defaults():
    assert {kind: (host.backing, host.tick_hz, host.apic) for kind in KINDS for host in [guest_on(kind=kind).host]} == {
        "hyper-v": ("start", 0, "virtualized"), "hyper-v-containers": ("demand", 0, "virtualized"), "kvm": ("demand", 250, "virtualized")}


# Loss of the core.

def stopped(cpu):
    """Interrupts of the host's own that stopped it, by whose they were."""
    return {row.device: row.count for row in cpu.exits.rows if row.reason.value == "EXTERNAL_INTERRUPT"}


def share(program, cores=1, guests=2, costs=COSTS):
    machine = Machine(memory_mib=16, cores=cores, costs=costs)
    cpus = [machine.guest(ram_mib=1).make().cpu for _ in range(guests)]
    machine.host.run(*[(cpu, program) for cpu in cpus])
    return cpus


def test_a_vcpu_that_computes_loses_its_core_at_the_end_of_each_slice():
    """A millisecond in slices of 100 us: nine ends of slices; what the exits take makes it a tenth."""
    first, last = share(lambda cpu: cpu.compute(1_000_000))
    assert stopped(first) == stopped(last) == {"host scheduler": 10}
    assert first.exits.ns == 10 * INTERRUPT_NS == 10 * (292 + 312)
    assert last.now == 2_000_000 + 20 * INTERRUPT_NS          # one core did it all


@pytest.mark.parametrize("cores, guests", [(2, 2), (1, 1), (4, 3)])
def test_who_shares_no_core_is_not_stopped(cores, guests):
    assert all(not cpu.exits.total and cpu.now == 1_000_000 for cpu in share(lambda cpu: cpu.compute(1_000_000), cores, guests))


def test_while_an_exit_is_handled_the_core_changes_hands_without_another():
    def program(cpu):
        for _ in range(1000):
            cpu.inb(0x80)
    for cpu in share(program):
        assert cpu.exits.by_reason() == {"IO_INSTRUCTION": 1000}


def test_only_the_part_of_a_slice_in_which_the_guest_runs_counts():
    """By turns 60 us in the guest and 60 us of exits: the ends of slices fall here and there."""
    def program(cpu):
        exits = 60_000 // COSTS.access_ns("worker", True)
        for _ in range(10):
            cpu.compute(60_000)
            for _ in range(exits):
                cpu.inb(0x80)
    first, _ = share(program)
    assert 0 < stopped(first)["host scheduler"] < 11


def test_who_pays_often_is_stopped_once_a_slice_and_who_sleeps_in_between_is_not():
    def looks(cpu):
        for _ in range(1000):
            cpu.compute(1000)
            yield from cpu.pay()

    def naps(cpu):
        for _ in range(1000):
            cpu.compute(1000)
            yield from cpu.hlt(watchdog_ns=1)
    assert [stopped(cpu) for cpu in share(looks)] == [{"host scheduler": 9}] * 2
    assert [stopped(cpu) for cpu in share(naps)] == [{}, {}]


def test_a_host_that_loses_a_core_stops_who_is_on_it():
    machine = Machine(memory_mib=16, cores=2)
    cpus = [machine.guest(ram_mib=1).make().cpu for _ in range(2)]
    machine.host.at(150_000, lambda _: machine.host.set_cores(1))
    machine.host.run(*[(cpu, lambda cpu: cpu.compute(250_000)) for cpu in cpus])
    assert [stopped(cpu) for cpu in cpus] == [{"host scheduler": 1}, {"host scheduler": 1}]


def test_slices_shorter_than_an_exit_end_all_the_same():
    first, last = share(lambda cpu: cpu.compute(50), costs=COSTS.with_(slice_ns=1))
    assert stopped(first) == {"host scheduler": 49} and last.now == 100 + (49 + stopped(last)["host scheduler"]) * INTERRUPT_NS


def test_time_asleep_is_asleep_and_time_stopped_is_an_exit():
    def program(cpu):
        cpu.compute(1_000_000)
        yield from cpu.hlt(50_000)
    for cpu in share(program):
        assert cpu.exits.by_reason()["EXTERNAL_INTERRUPT"] >= 9
        assert cpu.compute_ns + cpu.idle_ns + cpu.exits.ns == cpu.now


def test_a_program_that_never_waits_is_remembered_within_bounds():
    cpu = guest_on().cpu
    for _ in range(MAX_SPANS + 10):
        cpu.compute(1)
        cpu.cpuid(0)
    assert len(cpu.in_guest.edges) <= 2 * MAX_SPANS


# The host's tick.

def test_each_tick_that_finds_the_guest_running_stops_it():
    cpu = guest_on(tick_hz=250).cpu
    cpu.compute(10_000_000)                                   # ticks at 4 and 8 ms
    assert stopped(cpu) == {"host timer": 2} and cpu.now == 10_000_000 + 2 * INTERRUPT_NS
    cpu.compute(12_000_000 - cpu.now)
    assert stopped(cpu) == {"host timer": 3}                  # at its very end


def test_a_tick_while_it_sleeps_or_exits_is_none_of_its():
    guest = guest_on(tick_hz=1000)

    def program(cpu):
        yield from cpu.hlt(100_000_000)
        for _ in range(5000):
            cpu.inb(0x80)
    guest.host.run((guest.cpu, program))
    assert guest.cpu.now > 105_000_000 and stopped(guest.cpu) == {}


def test_ticks_and_a_timer_of_the_guests_come_in_order():
    guest = guest_on(tick_hz=1000)
    seen = []
    guest.cpu.on_interrupt(0x40, lambda cpu: (seen.append(cpu.now), cpu.wrmsr(0x80B, 0)))
    for ns in (1_000_000, 1_500_000):
        guest.clock.call_at(ns, lambda: guest.cpu.apic.request(0x40))
    guest.cpu.compute(2_000_000)
    assert seen == [1_000_000, 1_500_000] and stopped(guest.cpu) == {"host timer": 2}


# A timer of the guest's.

def test_a_guest_that_sleeps_for_a_time_arms_its_timer_first():
    guest = guest_on()
    guest.cpu.keep_trace()
    assert guest.host.run((guest.cpu, lambda cpu: cpu.hlt(5000))) == [False]
    assert [(one.reason.value, one.address, one.value) for one in guest.cpu.trace] == [("WRMSR", TSC_DEADLINE, 5000), ("HLT", 0, 0)]
    assert guest.cpu.now == 5000                              # the deadline is a time, not a while


def test_a_watchdog_was_armed_long_before():
    guest = guest_on()
    assert guest.host.run((guest.cpu, lambda cpu: cpu.hlt(watchdog_ns=5000))) == [False]
    assert guest.cpu.exits.by_reason() == {"HLT": 1}


def test_who_is_woken_early_and_sleeps_on_need_not_arm_again():
    guest = guest_on()
    guest.cpu.on_interrupt(0x40, lambda cpu: cpu.wrmsr(0x80B, 0))
    guest.clock.call_at(20_000, lambda: guest.cpu.apic.request(0x40))

    def program(cpu):
        woken = []
        while cpu.now < 50_000:
            woken.append((yield from cpu.hlt(50_000 - cpu.now, watchdog_ns=10**9)))
        return woken
    assert guest.host.run((guest.cpu, program)) == [[True, False]]
    assert guest.cpu.exits.by_reason() == {"HLT": 2, "WRMSR": 1} and guest.cpu.now == 50_000


def test_an_interrupt_between_arming_and_sleeping_is_not_slept_through():
    guest = guest_on()
    guest.cpu.on_interrupt(0x40, lambda cpu: cpu.wrmsr(0x80B, 0))
    guest.clock.call_at(400, lambda: guest.cpu.apic.request(0x40))    # WRMSR ends at 292 ns, HLT at 584
    assert guest.host.run((guest.cpu, lambda cpu: cpu.hlt(10**6))) == [True] and guest.cpu.now == 584
