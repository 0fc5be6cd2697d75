"""A machine with guests in three modes at once, saved where hypothesis says; files that hypothesis has changed; states that can't be."""

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkpoint_rig import outcome, places, requests

from vmio.experiments.disk import pattern
from vmio.machine import checkpoint_file
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

READS = requests(("read", 8), ("write", 40), ("flush", 0), ("read", 40), depth=2)


def mixed():
    """(machine, its pairs): emulated, split on two vCPUs with a channel each, and a device of its own."""
    machine = Machine(cores=2, checkpoints=True)
    guests = [machine.guest("old", attachment("disk", "emulated", transfer="dma"), Overlay(pattern(1))),
              machine.guest("new", attachment("disk", "split"), Overlay(pattern(1)), vcpus=2),
              machine.guest("fast", attachment("disk", "passthrough", iommu="lazy", delivery="posted"), Overlay(pattern(1)))]
    machine.power_on()
    old, new, fast = (guest.attachments[0].driver_memory for guest in guests)
    return machine, list(zip(guests, (READS(old), [READS(new), READS(new + (1 << 17))], READS(fast))))


def started():
    machine, pairs = mixed()
    return machine, machine.start(*pairs)


@lru_cache
def undisturbed():
    """(steps of a run, its outcome)."""
    machine, run = started()
    steps = 0
    while run.step():
        steps += 1
    return steps, outcome(machine, run.to_the_end())


@lru_cache
def text_of(step):
    """The state after so many steps, as JSON."""
    machine, run = started()
    for _ in range(step):
        run.step()
    return to_json(machine.save())


def restored(state):
    machine, pairs = mixed()
    return machine, machine.restore(state, *pairs)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.floats(0, 1))
def test_guests_of_three_modes_go_on_as_if_nothing_had_been(done):
    steps, ended = undisturbed()
    state = from_json(text_of(int(done * steps)))
    machine, run = restored(state)
    assert machine.save() == state
    assert outcome(machine, run.to_the_end()) == ended


def test_through_a_file(tmp_path):
    steps, ended = undisturbed()
    checkpoint_file.write(tmp_path / "half.vmio", from_json(text_of(steps // 2)))
    machine, run = restored(checkpoint_file.read(tmp_path / "half.vmio"))
    assert outcome(machine, run.to_the_end()) == ended


# Files.

SMALL = {"version": 1, "memory": b"\x00\x01 text", "list": [1, None, "two", {"deep": [True]}]}


def test_a_file_says_what_it_is_and_is_read_back(tmp_path):
    path = tmp_path / "small"
    checkpoint_file.write(path, SMALL)
    first, body = path.read_text().split("\n")
    assert first.startswith(f"vmio checkpoint 1 {len(body)} ") and from_json(body) == SMALL == checkpoint_file.read(path)
    with pytest.raises(CheckpointRefused, match="small/no: it can't be read: Not a directory"):
        checkpoint_file.read(path / "no")


@pytest.mark.parametrize("change, what", [
    (lambda data: b"", "it is none; its first line is not that of a checkpoint"),
    (lambda data: data[1:], "it is none; its first line"),
    (lambda data: data.replace(b"checkpoint 1", b"checkpoint 2"), "format '2'; format 1 can be read"),
    (lambda data: data[:-1], "bytes of state, where its first line says .*; it is not whole, or was added to"),
    (lambda data: data + b" ", "it is not whole, or was added to"),
    (lambda data: data.replace(b"two", b"six"), "its content is not what was written; it has been altered"),
    (lambda data: checkpoint_file._header(b"[1]") + b"[1]", "a list was written, where a machine's state belongs"),
    (lambda data: checkpoint_file._header(b"[" * 100_000) + b"[" * 100_000, "what was written is no plain data"),
    (lambda data: checkpoint_file._header(b'{"bytes": 5}') + b'{"bytes": 5}', "what was written is no plain data"),
])
def test_each_kind_of_damage_has_its_sentence(tmp_path, change, what):
    path = tmp_path / "file"
    checkpoint_file.write(path, SMALL)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointRefused, match=f"checkpoint .*file: .*{what}"):
        checkpoint_file.read(path)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4))
def test_no_change_of_a_file_goes_unnoticed(tmp_path_factory, at, gone, come):
    path = tmp_path_factory.getbasetemp() / "changed"
    checkpoint_file.write(path, SMALL)
    before = path.read_bytes()
    after = before[:at] + come + before[at + gone:]
    path.write_bytes(after)
    if after == before:
        assert checkpoint_file.read(path) == SMALL
    else:
        with pytest.raises(CheckpointRefused, match=r"^checkpoint [^\n]*$"):
            checkpoint_file.read(path)


def test_what_can_t_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file"
    checkpoint_file.write(path, SMALL)
    with pytest.raises(AttributeError):
        checkpoint_file.write(path, {"no": object()})
    assert checkpoint_file.read(path) == SMALL and [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_state_of_another_machine_is_refused():
    machine = Machine(checkpoints=True)
    guest = machine.guest("old", attachment("disk", "emulated"), Overlay(pattern(1)))
    machine.power_on()
    with pytest.raises(CheckpointRefused, match="checkpoint, plan: saved with"):
        machine.restore(from_json(text_of(40)), (guest, READS(1 << 20)))
    with pytest.raises(CheckpointRefused, match=r"programs are told again what they were told; Machine\(checkpoints=True\)"):
        Machine().power_on().restore(from_json(text_of(40)))


# States that were never a machine's: whoever has made one up gets a sentence, or a machine.

ODD = st.sampled_from([None, -1, 0, 1, 7, 1 << 40, 1 << 70, "x", b"", [], {}, [[0]]])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.floats(0, 1), st.data())
def test_a_state_that_was_made_up_ends_in_a_sentence_or_a_machine(which, data):
    state = from_json(text_of(undisturbed()[0] // 2))
    dicts = [at for path, at in places(state) if at and "answers" not in path]
    at = dicts[min(int(which * len(dicts)), len(dicts) - 1)]
    at[data.draw(st.sampled_from(sorted(at)))] = data.draw(ODD)
    try:
        restored(state)
    except CheckpointRefused as error:
        assert str(error).startswith("checkpoint") and "\n" not in str(error)
