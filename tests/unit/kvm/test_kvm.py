"""A guest on a real processor: exits with addresses and values, ends, and what is given back.

What needs /dev/kvm is skipped where it can't be used, with the reason; hosts without
it are common.  Encodings, structures and the probe's words are tested everywhere.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from vmio.hypervisor.exits import ExitReason
from vmio.processors.kvm import probe
from vmio.processors.kvm.code import Code

LINUX = sys.platform.startswith("linux")
USABLE, REASON = probe.usable()
on_kvm = pytest.mark.skipif(not USABLE, reason=f"NOT RUN ON REAL HARDWARE: {REASON}")
on_linux = pytest.mark.skipif(not LINUX, reason=f"KVM's interface exists on Linux only, this is {sys.platform}")

if LINUX:
    from vmio.processors.kvm import api
    from vmio.processors.kvm.fast import Coalesced, Doorbell
    from vmio.processors.kvm.guest import DATA, DONE_PORT, Guest
    from vmio.processors.kvm.vcpu import End, Vcpu
    from vmio.processors.kvm.vm import KvmError, Vm

BAR, HOLE = 0xE0000000, 0xFEB00000
IO, EPT = ExitReason.IO_INSTRUCTION, ExitReason.EPT_VIOLATION


def told(run):
    """(reason, address, size, value, write, count) of every exit but the last, which says "finished"."""
    assert run.end is End.DONE
    assert (run.exits[-1].address, run.exits[-1].write) == (DONE_PORT, True)
    return [(e.reason, e.address, e.size, e.value, e.write, e.count) for e in run.exits[:-1]]


@pytest.fixture
def guest():
    with Guest() as guest:
        yield guest


# On a real processor.

@on_kvm
def test_the_exact_sequence_of_exits(guest):
    answers = {0x3FD: 0x60, HOLE + 0x20: 0xCAFE}
    run = guest.run(Code().out(0x3F8, 0x41).out(0x1F0, 0xBEEF, 2).out(0xCF8, 0x80000000, 4).in_(0x3FD, 1, to=DATA)
                    .store(HOLE + 0x10, 0x12345678).load(HOLE + 0x20, 2, to=DATA + 8).store(DATA + 16, 0x55AA, 2),
                    lambda exit: answers.get(exit.address))
    assert told(run) == [
        (IO, 0x3F8, 1, 0x41, True, 1), (IO, 0x1F0, 2, 0xBEEF, True, 1), (IO, 0xCF8, 4, 0x80000000, True, 1),
        (IO, 0x3FD, 1, 0x60, False, 1), (EPT, HOLE + 0x10, 4, 0x12345678, True, 1), (EPT, HOLE + 0x20, 2, 0xCAFE, False, 1)]
    assert guest.ram.read(DATA, 18) == b"\x60" + bytes(7) + b"\xfe\xca" + bytes(6) + b"\xaa\x55"


@on_kvm
def test_hlt_ends_the_run():
    """In real mode, where a vCPU starts: ring 3 may not halt."""
    with Vm() as vm:
        vm.add_slot(0, 4096).write(0, b"\xe6\x80\xf4")            # OUT 80h, AL; HLT
        vcpu = Vcpu(vm)
        sregs = vcpu.special_registers()
        sregs.cs.base = sregs.cs.selector = 0
        vcpu.set_special_registers(sregs)
        vcpu.set_registers(rip=0, rax=7, rflags=2)
        run = vcpu.run()
    assert run.end is End.HALTED and run.rip == 3
    assert [(e.reason, e.address, e.value) for e in run.exits] == [(IO, 0x80, 7), (ExitReason.HLT, 0, 0)]


@on_kvm
def test_an_empty_bus_reads_all_ones(guest):
    guest.run(Code().in_(0x80, 4, to=DATA).load(HOLE, 4, to=DATA + 4).rep_ins(0x80, DATA + 8, 8))
    assert guest.ram.read(DATA, 16) == b"\xff" * 16


@on_kvm
def test_string_io_moves_every_byte_in_order(guest):
    """Output comes one exit a unit; input is read ahead, up to 1,024 bytes an exit."""
    guest.ram.write(DATA, bytes(range(200)))
    out = told(guest.run(Code().rep_outs(0x3F8, DATA, 200)))
    assert b"".join(value.to_bytes(count, "little") for *_, value, _, count in out) == bytes(range(200))
    sector = bytes(i * 7 & 0xFF for i in range(512))
    supply = iter(sector)

    def answer(exit):
        return int.from_bytes(bytes(next(supply) for _ in range(exit.size * exit.count)), "little")
    reads = told(guest.run(Code().rep_ins(0x1F0, DATA, 256, 2), answer))
    assert sum(count for *_, count in reads) == 256 and len(reads) < 256
    assert guest.ram.read(DATA, 512) == sector


@on_kvm
def test_a_mapped_bar_costs_no_exit_and_takes_exits_again_when_unmapped(guest):
    bar = guest.vm.add_slot(BAR, 4096)
    code = Code().store(BAR + 8, 0x1234).load(BAR + 12, 4, to=DATA)
    bar.write(BAR + 12, b"host")
    assert told(guest.run(code)) == []
    assert bar.read(BAR + 8, 4) == b"\x34\x12\0\0" and guest.ram.read(DATA, 4) == b"host"
    guest.vm.remove_slot(bar)
    assert told(guest.run(code, lambda exit: 0)) == [(EPT, BAR + 8, 4, 0x1234, True, 1), (EPT, BAR + 12, 4, 0, False, 1)]


@on_kvm
def test_a_read_only_slot_exits_on_writes_alone(guest):
    rom = guest.vm.add_slot(BAR, 4096, readonly=True)
    rom.write(BAR, b"firm")
    assert told(guest.run(Code().load(BAR, 4, to=DATA).store(BAR, 0xDEAD))) == [(EPT, BAR, 4, 0xDEAD, True, 1)]
    assert rom.read(BAR, 4) == b"firm" and guest.ram.read(DATA, 4) == b"firm"


@on_kvm
def test_what_lies_outside_every_slot_is_reported_and_its_neighbour_untouched(guest):
    neighbour = guest.vm.add_slot(BAR, 4096)
    assert told(guest.run(Code().store(BAR - 4, 1).store(BAR + 4096, 2).load(BAR + 4100), lambda exit: 3)) == [
        (EPT, BAR - 4, 4, 1, True, 1), (EPT, BAR + 4096, 4, 2, True, 1), (EPT, BAR + 4100, 4, 3, False, 1)]
    assert neighbour.read(BAR, 4096) == bytes(4096)


@on_kvm
@pytest.mark.parametrize("port", [False, True])
def test_a_doorbell_rings_without_an_exit(guest, port):
    address = 0x84 if port else HOLE
    bell = Doorbell(guest.vm, address, 4, port)
    code, write = Code(), Code.out if port else Code.store
    for value in range(100):
        write(code, address, value, 4)
    assert told(guest.run(code)) == [] and (bell.rings(), bell.rings()) == (100, 0)


@on_kvm
def test_a_doorbell_of_one_value_lets_the_others_exit(guest):
    bell = Doorbell(guest.vm, HOLE, 4, value=7)
    exits = told(guest.run(Code().store(HOLE, 7).store(HOLE, 8).store(HOLE, 7)))
    assert exits == [(EPT, HOLE, 4, 8, True, 1)] and bell.rings() == 2


@on_kvm
def test_coalesced_writes_wait_in_order(guest):
    ring = Coalesced(guest.vcpu, guest.vm)
    ring.add(HOLE, 16)
    writes = [(HOLE + 4 * (i % 4), 4, i, False) for i in range(50)]
    code = Code()
    for address, size, value, _ in writes:
        code.store(address, value, size)
    for _ in range(5):                                            # 250 in all: the ring wraps round
        assert told(guest.run(code)) == []
        assert ring.drain() == writes and ring.drain() == []


@on_kvm
def test_coalesced_ports_and_memory_share_one_order(guest):
    ring = Coalesced(guest.vcpu, guest.vm)
    if not guest.vm.capability(api.CAP_COALESCED_PIO):
        with pytest.raises(OSError, match="KVM_CAP_COALESCED_PIO"):
            ring.add(0x80, 4, port=True)
        pytest.skip("NOT RUN ON REAL HARDWARE: this host's KVM can't put off writes to ports (KVM_CAP_COALESCED_PIO)")
    ring.add(0x80, 4, port=True)
    ring.add(HOLE, 4)
    code = Code().out(0x80, 1).store(HOLE, 2).out(0x82, 0x3333, 2).out(0x80, 4, 4)
    assert told(guest.run(code.out(0x84, 5).in_(0x80))) == [                 # one port further; and reads never wait
        (IO, 0x84, 1, 5, True, 1), (IO, 0x80, 1, 0xFF, False, 1)]
    assert ring.drain() == [(0x80, 1, 1, True), (HOLE, 4, 2, False), (0x82, 2, 0x3333, True), (0x80, 4, 4, True)]


@on_kvm
def test_a_full_ring_makes_the_next_write_an_exit_and_keeps_the_order(guest):
    ring = Coalesced(guest.vcpu, guest.vm)
    ring.add(HOLE, 4)
    code, order = Code(), []
    for value in range(2 * ring.length):
        code.store(HOLE, value)

    def answer(exit):
        order.extend(write.value for write in ring.drain())
        order.append(exit.value)
    exits = told(guest.run(code, answer))
    order.extend(write.value for write in ring.drain())
    assert order == list(range(2 * ring.length)) and 0 < len(exits) <= 2


@on_kvm
def test_faults_are_ends_and_the_guest_can_start_again(guest):
    fault = guest.run(Code().hlt())
    assert fault.end is End.TRIPLE_FAULT and fault.exits == [] and "triple fault" in str(fault)
    assert guest.run(Code().raw(b"\x0f\x0b")).end is End.TRIPLE_FAULT                         # UD2
    nowhere = Code().raw(b"\x48\xb8" + HOLE.to_bytes(8, "little") + b"\xff\xe0")              # JMP to no memory
    assert guest.run(nowhere).end is End.NOT_EMULATED
    assert told(guest.run(Code().out(0x80, 1))) == [(IO, 0x80, 1, 1, True, 1)]


@on_kvm
def test_a_port_that_the_task_state_does_not_grant_faults():
    with Guest(ports=[0x80, DONE_PORT]) as guest:
        assert told(guest.run(Code().out(0x80, 1))) == [(IO, 0x80, 1, 1, True, 1)]
        run = guest.run(Code().out(0x80, 1).out(0x81, 1))
        assert run.end is End.TRIPLE_FAULT and [exit.address for exit in run.exits] == [0x80]


@on_kvm
@pytest.mark.parametrize("code", [Code().loop_forever(), Code().raw(b"\xba\x80\0\0\0\xee\xeb\xfd")],
                         ids=["without exits", "of exits"])
def test_an_endless_loop_ends_at_its_deadline(guest, code):
    run = guest.run(code, seconds=0.05)
    assert run.end is End.TIMEOUT and 0.05e9 <= run.ns < 2e9
    assert guest.run(Code()).end is End.DONE


@on_kvm
def test_a_device_that_fails_leaves_a_guest_that_runs(guest):
    def broken(exit):
        raise LookupError("no such register")
    with pytest.raises(LookupError):
        guest.run(Code().in_(0x80), broken)
    assert told(guest.run(Code().out(0x80, 1))) == [(IO, 0x80, 1, 1, True, 1)]


@on_kvm
def test_stopped_within_a_string_instruction_no_exit_is_lost(guest):
    guest.ram.write(DATA, b"abcd")
    seen = []

    def broken(exit):
        seen.append(exit)
        raise LookupError
    with pytest.raises(LookupError):
        guest.run(Code().rep_outs(0x80, DATA, 4), broken)
    if guest.vcpu.midway:
        with pytest.raises(RuntimeError):
            guest.run(Code())
    seen += guest.vcpu.run(done_port=DONE_PORT).exits[:-1]
    assert b"".join(e.value.to_bytes(e.count, "little") for e in seen) == b"abcd"


@on_kvm
def test_every_file_and_mapping_is_given_back():
    def held():
        with open("/proc/self/maps", encoding="utf-8") as maps:
            return len(os.listdir("/proc/self/fd")), sum("kvm" in line for line in maps)
    before = held()
    for _ in range(20):
        with Guest() as guest:
            guest.vm.add_slot(BAR, 4096)
            Doorbell(guest.vm, HOLE)
            guest.run(Code().hlt())
            assert held()[0] > before[0] and held()[1] == 1
        guest.close()
        with pytest.raises(KvmError, match="KVM_SET_USER_MEMORY_REGION"), Vm() as vm:
            vm.add_slot(0, 8192)
            vm.add_slot(4096, 4096)                               # overlaps
    assert held() == before


@on_kvm
def test_everything_at_once_is_given_back_and_so_are_the_signals():
    """Slots, doorbells, a ring, interrupts, a run that ended by its deadline; the mask of signals is what it was before."""
    import signal

    from vmio.processors.kvm import irq, steps
    held = len(os.listdir("/proc/self/fd"))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for _ in range(5):
        with steps.Rig() as rig, pytest.raises(RuntimeError, match="timeout"):
            rig.run(Code().loop_forever(), seconds=0.02)
        with pytest.raises(OSError), Guest() as guest:            # no controller: it fails half-way
            irq.Interrupt(guest, 0x40, DATA)
    assert len(os.listdir("/proc/self/fd")) == held
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before and not signal.sigpending()


@on_kvm
def test_an_endless_guest_is_stopped_in_any_thread():
    """A widget's messages may be handled in another thread than the main one."""
    from vmio.processors.kvm import steps

    def endless():
        with steps.Rig() as rig, pytest.raises(RuntimeError, match="timeout"):
            rig.run(Code().loop_forever(), seconds=0.02)
        return "stopped"
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: endless(), range(4))) == ["stopped"] * 4


@on_kvm
def test_counts_measured_are_exact():
    from vmio.processors.kvm import measure
    rows = {row.name: (row.accesses, row.exits, row.rings) for row in measure.measure(accesses=64, rounds=2)}
    assert [rows[name] for name in ("OUT", "IN", "MMIO write", "MMIO read", "write to a read-only slot")] == [(64, 64, 0)] * 5
    assert rows["doorbell (ioeventfd), port"] == rows["doorbell (ioeventfd), memory"] == (64, 0, 64)
    assert rows["write to a mapped BAR"] == (64 * 512, 0, 0) and rows["REP INSB"] == (4096, 4, 0)
    assert rows["coalesced write"] == (64, 0, 0) and rows["CPUID"][1:] == (0, 0)


@on_linux
def test_the_command_prints_one_object():
    done = subprocess.run([sys.executable, "-m", "vmio", "kvm", "--json"], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["usable"] == USABLE and result["reason"] == REASON and bool(result["exits"]) == USABLE
