"""A replay that differs from its record, or cannot be, says where and how."""

import os

import pytest

from tests.replay_rig import BAR, PORT, USABLE, Port, Registers, of, on_kvm
from vmio.processors.kvm import compile, expect
from vmio.processors.kvm.compile import compile_record
from vmio.processors.kvm.record import Kind, record

if USABLE:
    from vmio.processors.kvm.replay import replay


# What can't be.

@pytest.mark.parametrize("calls, words", [
    ([("outb", 0xF4, 1)], "port 0xf4"), ([("outl", 0xF6, 1)], "port 0xf8"), ([("inw", 0xFFFF)], "beyond port 0xffff")])
def test_ports_that_the_replay_needs_are_refused(calls, words):
    with pytest.raises(ValueError, match=words):
        compile_record(of(*calls))


def test_a_passed_through_register_is_refused():
    def direct(plan):
        plan.guest.direct.attach(BAR, 4096, Registers())
        return {}
    with pytest.raises(ValueError, match="accesses don't exit"):
        record(direct, lambda cpu: cpu.store(BAR, 4, 1))


@pytest.mark.parametrize("address", [1 << 32, compile.BASE])
def test_device_memory_that_the_tables_do_not_show_is_refused(address):
    with pytest.raises(ValueError, match="below 4 GiB"):
        compile_record(of(("load", address, 4)))


@pytest.mark.parametrize("call", ["insb", "outsb"])
def test_string_io_with_device_memory_is_refused(call):
    with pytest.raises(ValueError, match="no RAM"):
        of((call, PORT, BAR, 4))


def test_an_unknown_way_to_signal_is_refused():
    with pytest.raises(ValueError, match="choose exit or doorbell"):
        compile_record(of(), signals="shout")


def held():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return len(os.listdir("/proc/self/fd")), sum("kvm" in line for line in maps)


@on_kvm
@pytest.mark.parametrize("spoil, end, words", [
    (lambda code: code.hlt(), "triple fault", "triple fault"),
    (lambda code: code.out(0x99, 1), "triple fault", "triple fault"),               # a port that wasn't granted
    (lambda code: code.loop_forever(), "timeout", "timeout"),
    (lambda code: code.out(PORT, 7), None, "an exit too many"),
    (lambda code: code.store(0x9000_0000, 7), None, "an exit too many"),            # no memory there
    (lambda code: code.store(compile.BASE, 0, 4).load(compile.BASE + 0x80_0000, 4), None, "an exit too many"),
])
def test_a_program_gone_wrong_is_a_result_and_all_is_given_back(spoil, end, words):
    taken, before = of(("outb", PORT, 5), ("inb", PORT)), held()
    pieces = compile_record(taken)
    spoil(pieces[-1].code)
    result = replay(taken, pieces=pieces, seconds=0.1)
    assert result.end == end and len(result.differences) == 1 and words in result.differences[0]
    assert not result.equal and result.kvm == {"OUT": 1, "IN": 1}
    assert "OUT" in result.table() and result.to_dict()["differences"] == result.differences
    assert held() == before


@on_kvm
def test_a_missing_exit_is_a_difference():
    taken = of(("outb", PORT, 5), ("outb", PORT, 6))
    pieces = compile_record(taken)
    pieces[0].expected.append((expect.exits(taken.steps[0])[0], 1))
    assert "ended too early" in replay(taken, pieces=pieces).differences[0]


@on_kvm
@pytest.mark.parametrize("change, words", [
    (dict(value=6), "expected"), (dict(address=PORT + 1), "expected"), (dict(kind=Kind.IN), "expected")])
def test_another_exit_than_the_records_is_a_difference(change, words):
    taken = of(("outb", PORT, 5), ("inb", PORT + 1))
    pieces = compile_record(taken._replace(steps=[taken.steps[0]._replace(**change), *taken.steps[1:]]))
    right = compile_record(taken)
    for piece, other in zip(pieces, right):
        piece.steps, piece.expected, piece.log = other.steps, other.expected, other.log
    assert words in replay(taken, pieces=pieces).differences[0]


@on_kvm
def test_a_device_that_answers_otherwise_is_a_difference():
    salt = iter((1, 2))

    def moody(plan):
        port = Port()
        port.told = next(salt) * 100
        plan.guest.io.attach(PORT, 4, port, "port", width=4)
        return {"port": lambda: port.told}

    assert "the device answered" in replay(record(moody, lambda cpu: cpu.inl(PORT))).differences[0]
    salt = iter((1, 2))
    result = replay(record(moody, lambda cpu: cpu.outb(PORT, 1)))
    assert result.differences == ["the state of port at the end: 100 on the model, 200 under KVM"]


@on_kvm
def test_ram_that_ends_otherwise_is_a_difference():
    taken = of(("store", 0x5000, 1, 7))
    memory = bytearray(taken.memory)
    memory[0x5001] = 9
    result = replay(taken._replace(memory=bytes(memory)))
    assert result.differences == ["RAM at 0x5001: the model has 09h, the guest under KVM 00h"]
