"""A machine with sockets, saved: without a connection it goes on elsewhere, with one it refuses in one sentence."""

import pytest

from tests.socket_rig import PORT, echoed
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.modes import Machine, attachment


def planned():
    """(machine, guest, attachment), switched on, with a service that sends back what comes."""
    machine = Machine(checkpoints=True)
    sockets = attachment("sockets", "split")
    guest = machine.guest("a", sockets, ram_mib=8)
    machine.power_on()

    sockets.service.listen(PORT, echoed([]))
    return machine, guest, sockets


def program(cpu, sockets):
    """Two connections, one after the other, with a pause before, between and behind."""
    heard = []
    for word in (b"one", b"two"):
        yield from cpu.hlt(1_000_000)
        socket = yield from sockets.connect(PORT)
        yield from socket.send(word)
        heard.append((yield from socket.receive()))
        yield from socket.close()
    yield from cpu.hlt(1_000_000)
    return heard, cpu.now


def test_saved_between_any_two_steps_it_goes_on_or_says_why_not():
    machine, guest, sockets = planned()
    run, kept, refused = machine.start((guest, program)), [], set()
    while run.step():
        try:
            kept.append((sockets.service.made, to_json(machine.save())))
        except CheckpointRefused as error:
            refused.add(str(error).split(": ", 1)[1])
    undisturbed = run.to_the_end()
    said = "guest a has 1 sockets open, and who is connected to them on the host can't be saved"
    assert said in refused and {made for made, _ in kept} == {0, 1, 2}
    for number in (0, len(kept) // 2, len(kept) - 1):
        made, state = kept[number]
        other, its, others = planned()
        assert other.restore(from_json(state), (its, program)).to_the_end() == undisturbed and others.service.made == 2
    assert undisturbed[0][0] == [b"one", b"two"]


def test_other_options_are_refused():
    machine, guest, _ = planned()
    run = machine.start((guest, program))
    run.step()
    state = machine.save()
    other = Machine(checkpoints=True)
    its = other.guest("a", attachment("sockets", "split", pages=8), ram_mib=8)
    other.power_on()
    with pytest.raises(CheckpointRefused, match="sockets, options"):
        other.restore(state, (its, program))
