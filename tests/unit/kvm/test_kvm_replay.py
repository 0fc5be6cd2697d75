"""A driver recorded on the model and replayed on a real processor: the same exits, the same bytes, the same end.

Recording and compiling are tested everywhere; what needs /dev/kvm is skipped where it
can't be used, with the reason.
"""

import json

import pytest

from tests.replay_rig import BAR, BUFFER, PORT, USABLE, of, on_kvm
from vmio.drivers import pic
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.machine.storage import SECTOR
from vmio.modes import attachment
from vmio.processors.kvm import compile, expect
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.compile import CODE, compile_record
from vmio.processors.kvm.programs import ANSWER, BELLS, CASES, RESULT, TEXT, chips, on
from vmio.processors.kvm.record import EXITS, Kind, record

if USABLE:
    from vmio.processors.kvm import longmode, report
    from vmio.processors.kvm.guest import DONE_PORT, Guest
    from vmio.processors.kvm.replay import replay
    from vmio.processors.kvm.vcpu import End


@pytest.fixture(scope="module")
def records():
    return {name: case.record() for name, case in CASES.items()}


def played(case, record):
    """The replay of a case, equal in all that is compared."""
    result = replay(record, case.doorbells, case.signals)
    assert result.differences == [] and result.end is End.DONE
    return result


# Everywhere.

@pytest.mark.parametrize("name", CASES)
def test_a_record_has_every_exit_of_the_model(records, name):
    record, counts = records[name], {}
    for step in record.steps:
        if step.kind in EXITS:
            counts[step.instruction] = counts.get(step.instruction, 0) + 1
    assert counts == record.exits
    assert [step.time for step in record.steps] == sorted(step.time for step in record.steps)


def test_a_handlers_accesses_stand_where_the_interrupt_came(records):
    steps = [step for step in records["uart"].steps if step.kind is not Kind.LEFT_OUT]
    at = next(at for at, step in enumerate(steps) if step.kind is Kind.INTERRUPT)
    assert steps[at].value == 0x24                                         # line 4
    assert [(s.kind, s.address) for s in steps[at + 1:at + 3]] == [(Kind.IN, 0x3FA), (Kind.OUT, 0x3F8)]
    end = next(s for s in steps[at:] if s.address == 0x20)
    assert (end.kind, end.value) == (Kind.OUT, 0x20)                       # EOI
    assert records["uart"].result == ANSWER and records["uart"].state["the line"] == TEXT + TEXT[:16]


# On a real processor.

@on_kvm
@pytest.mark.parametrize("name", CASES)
def test_every_case_replays_with_equal_counts_and_bytes(records, name):
    result = played(CASES[name], records[name])
    for instruction, count in records[name].exits.items():
        assert result.kvm[instruction] == count or instruction in result.rules and result.rules[instruction]


@on_kvm
def test_the_pic_gets_its_ends_of_interrupt_and_the_line_its_text(records):
    result = played(CASES["uart"], records["uart"])
    ends = [exit for exit in result.exits if (exit.address, exit.value, exit.write) == (0x20, 0x20, True)]
    assert len(ends) == sum(step.kind is Kind.INTERRUPT for step in records["uart"].steps) > 10


@on_kvm
def test_a_doorbell_without_an_exit_does_what_one_with_an_exit_does(records):
    """Signals and NVMe doorbells: as many, in the same order, and the same bytes in RAM."""
    for name, instruction in (("nvme", "MOV to memory"), ("storvsc", "VMCALL")):
        bells = CASES[name + "-doorbell"]
        loud, quiet = played(CASES[name], records[name]), played(bells, records[name + "-doorbell"])
        assert loud.kvm[instruction] == loud.model[instruction] == quiet.kvm[instruction] + quiet.rings[instruction]
        assert not loud.rings and quiet.rings.total() == quiet.rings[instruction] > 15
        assert records[name].memory == records[name + "-doorbell"].memory
        assert quiet.read == loud.read
    rung = [exit.address for exit in played(CASES["nvme"], records["nvme"]).exits if exit.address in BELLS]
    assert len(rung) == played(CASES["nvme-doorbell"], records["nvme-doorbell"]).rings.total()


def test_disks_give_what_is_on_them(records):
    for name in ("nvme", "storvsc"):
        data = records[name].result
        assert data[4 * SECTOR:4 * SECTOR + len(TEXT)] == TEXT and data[:8] == (96).to_bytes(8, "little")
        assert records[name].memory[RESULT:RESULT + len(data)] == data


@on_kvm
def test_the_report_says_equal(records):
    replays = {name: played(CASES[name], records[name]) for name in ("uart", "nvme-doorbell")}
    text = report.to_table(replays)
    assert text.count(", equal") == 2 and "ioeventfd" in text
    plain = json.loads(json.dumps(report.to_dict(replays)))
    assert plain["nvme-doorbell"]["differences"] == [] and plain["nvme-doorbell"]["rings"] == {"MOV to memory": 18}


@pytest.mark.parametrize("memory, size, count, groups", [
    (0x2000, 1, 1, [1]), (0x2000, 2, 256, [256]), (0x2000, 1, 1024, [1024]), (0x2000, 1, 1025, [1024, 1]),
    (0x2000, 2, 513, [512, 1]), (0x2000, 4, 600, [256, 256, 88]),
    (0x2F00, 1, 300, [256, 44]),                       # up to the end of the page
    (0x2FFF, 1, 3, [1, 2]), (0x2FFF, 2, 3, [1, 2]),    # a word across it
    (0x2E00, 2, 600, [512, 88]),                       # KVM takes bytes for units: 512 words though 512 bytes are left
    (0x2FFD, 4, 9, [3, 6]),
])
def test_string_input_is_grouped(memory, size, count, groups):
    assert expect.groups(memory, size, count) == groups


@pytest.mark.parametrize("address, size, parts", [
    (BAR, 8, [(0, 8)]), (BAR + 1, 4, [(0, 4)]), (BAR + 0xFFF, 2, [(0, 1), (1, 1)]), (BAR + 0xFFD, 8, [(0, 3), (3, 5)]),
    (BAR, 16, [(0, 8), (8, 8)])])
def test_memory_accesses_are_cut_at_pages_and_after_8_bytes(address, size, parts):
    assert list(expect.pieces(address, size)) == parts


@on_kvm
@pytest.mark.parametrize("size, letter", [(1, "b"), (2, "w"), (4, "l")])
def test_string_io_of_any_length_to_any_place(size, letter):
    calls = []
    for place in (0, 1, 0xC01, 0xE00, 0xF00, 0xFFD, 0xFFE, 0xFFF):
        for count in (1, 5, 255, 600, 1025, 2600):
            calls += [("ins" + letter, PORT, BUFFER + place, count), ("outs" + letter, PORT, BUFFER + place + 3, 3)]
    taken = of(*calls)
    result = replay(taken)
    assert result.differences == []
    assert result.kvm == {"REP INS": sum(len(expect.exits(s)) for s in taken.steps if s.kind is Kind.INS),
                          "REP OUTS": 3 * len(calls) // 2}
    assert max(exit.size * exit.count for exit in result.exits) == expect.READ_AHEAD


@on_kvm
def test_device_memory_at_every_size_and_across_a_page():
    calls = []
    for size in (1, 2, 4, 8):
        for at in (0x10, 0x11, 0xFF9, 0xFFC, 0xFFD, 0xFFF):
            calls += [("store", BAR + at, size, 0x8877_6655_4433_2211 & (1 << 8 * size) - 1), ("load", BAR + at, size)]
    calls.append(("write", BAR + 0x1100, bytes(range(20))))             # more than 8 bytes: the model cuts it as well
    result = replay(of(*calls))
    assert result.differences == []
    assert result.model == {"MOV to memory": 27, "MOV from memory": 24}
    assert result.kvm == {"MOV to memory": 34, "MOV from memory": 31}          # seven of each lie across the page


@on_kvm
def test_a_store_of_16_bytes_is_two_exits():
    with Guest() as guest:
        guest.load(Code().raw(b"\x48\xbf" + BAR.to_bytes(8, "little") + b"\x0f\x11\x07"))      # MOVUPS [RDI], XMM0
        longmode.enter_user_mode(guest.vcpu)
        special = guest.vcpu.special_registers()
        special.cr4 |= 0x200                                                                # OSFXSR: SSE is on
        guest.vcpu.set_special_registers(special)
        run = guest.vcpu.run(done_port=DONE_PORT)
    assert [(e.address, e.size) for e in run.exits[:-1]] == [(BAR, 8), (BAR + 8, 8)]


@on_kvm
def test_ram_and_its_reads_cost_no_exit_however_many():
    data = bytes(n * 31 >> 4 & 0xFF for n in range(300_000))
    taken = of(("write", 0x20_001, data), ("read", 0x1_F000, 310_000), ("store", 0x10, 8, 1 << 63), ("load", 0x13, 4),
               *[("read", 0x20_000, 250_000)] * 6)
    result = replay(taken)
    assert result.differences == [] and result.kvm == {} and result.read == 310_000 + 4 + 6 * 250_000
    assert result.pieces > 1                                              # the log is full twice


def ticking(cpu):
    """Two ticks of the timer while the guest computes, one that waits for STI; the handler counts in RAM."""
    def tick(cpu):
        cpu.store(0x1000, 4, cpu.load(0x1000, 4) + 1)
    pic.init(cpu)
    pic.connect(cpu, 0, tick)
    for port, value in ((0x43, 0x34), (0x40, 0), (0x40, 8)):          # every 1.7 ms
        cpu.outb(port, value)
    cpu.compute(4_000_000)
    cpu.cli()
    cpu.compute(2_000_000)
    cpu.sti()
    return cpu.load(0x1000, 4)


@on_kvm
def test_interrupts_come_between_the_same_two_accesses():
    taken = record(lambda plan: chips(on(plan, attachment("serial", "emulated")).board), ticking)
    assert taken.result == taken.exits["EXTERNAL INTERRUPT"] + taken.exits["INTERRUPT WINDOW"] == 3
    result = replay(taken)
    assert result.differences == [] and set(result.rules) == {"EXTERNAL INTERRUPT", "INTERRUPT WINDOW"}
    assert result.kvm == {name: taken.exits[name] for name in ("IN", "OUT")}


@on_kvm
def test_a_page_that_the_hypervisor_shows_over_ram_is_a_slot_of_its_own():
    def knowing(plan):
        enable_enlightenments(plan.guest)
        return {}

    def program(cpu):
        cpu.store(0x5000, 4, 0x1234)
        cpu.wrmsr(tlfs.GUEST_OS_ID, 1)
        cpu.wrmsr(tlfs.HYPERCALL, 0x5000 | tlfs.ENABLE)
        code = cpu.load(0x5000, 4)
        cpu.store(0x5000, 4, 0x5678)                   # read-only: an exit
        cpu.wrmsr(tlfs.HYPERCALL, 0)
        return code, cpu.load(0x5000, 4)
    taken = record(knowing, program)
    assert taken.result[0] != taken.result[1] == 0x1234
    result = replay(taken)
    assert result.differences == [] and result.kvm == {"WRMSR": 3, "MOV to memory": 1}


def test_a_long_record_is_cut_into_pieces(monkeypatch):
    monkeypatch.setattr(compile, "LITERALS", CODE + 10_000)
    taken = of(*[("outl", PORT, n) for n in range(2_000)])
    pieces = compile_record(taken)
    assert len(pieces) == 3 and sum(len(piece.steps) for piece in pieces) == 2_000
    assert all(len(piece.code) < 10_000 for piece in pieces)
    assert bytes(pieces[0].code)[:11] == bytes.fromhex("ba00030000 b800000000 ef")


@on_kvm
def test_a_program_of_several_pieces_runs_through(monkeypatch):
    monkeypatch.setattr(compile, "LITERALS", CODE + 2000)
    result = replay(of(*[("outl", PORT, n) for n in range(500)], ("inw", PORT)))
    assert result.differences == [] and result.pieces == 3 and result.kvm.total() == 501
