"""CONTRIBUTING's recipe for a network device or mode, tried: a card, a driver, an attachment, one line in the registry."""

import pytest

from tests.net_device import BASE, DATA, KEPT, SIZE, LetterCard, LetterNet
from vmio.machine.bus import BadAccess
from vmio.machine.checkpoint import from_json, to_json
from vmio.machine.net import frames
from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment, attachments

ME, YOU = bytes.fromhex("00155d000001"), bytes.fromhex("00155d000002")
HELLO, ANSWER = YOU + ME + b"\x08\x00" + b"hello".ljust(46, b"\0"), ME + YOU + b"\x08\x00" + b"to you".ljust(46, b"\0")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The one line."""
    monkeypatch.setitem(attachments.ATTACHMENTS, ("net", "letters"), LetterNet)


def two(checkpoints=False):
    """A guest with the new card and one with a split card, at the ends of a cable; (machine, the two)."""
    machine = Machine(memory_mib=128, checkpoints=checkpoints)
    cable = Cable()
    guests = [machine.guest(mode, ram_mib=32).attach(attachment("net", mode, address=address), backend=end)
              for mode, address, end in (("letters", ME, cable.ends[0]), ("split", YOU, cable.ends[1]))]
    machine.power_on()
    return machine, guests


def says(cpu, card):
    """Say hello until somebody answers."""
    while not (got := card.reap()):
        card.send(HELLO)
        yield from card.wait(cpu.now + 5_000_000)
    return got


def answers(cpu, card):
    """Answer the first frame."""
    while not (got := card.reap()):
        yield from card.wait()
    card.send(ANSWER)
    yield from card.wait(cpu.now + 1_000_000)
    return got[:1]


def test_its_frames_reach_a_card_of_another_mode_and_each_byte_is_an_exit():
    machine, (mine, yours) = two()
    heard, got = machine.run((mine, says), (yours, answers))
    assert heard == [ANSWER] and got == [HELLO]
    exits = mine.guest.cpu.exits.by_device()["letter card"]
    assert exits > len(ANSWER) + 2 and (exits - len(ANSWER) - 2) % (len(HELLO) + 1) == 0     # the answer once; hello until it came


def test_a_run_goes_on_elsewhere_from_between_any_two_of_its_steps():
    straight, (mine, yours) = two(checkpoints=True)
    run, states = straight.start((mine, says), (yours, answers)), []
    while run.step():
        states.append(to_json(straight.save()))
    told = run.to_the_end()
    assert told == [[ANSWER], [HELLO]] and len(states) > 20
    for state in states[::max(len(states) // 8, 1)]:
        other, (mine, yours) = two(checkpoints=True)
        assert other.restore(from_json(state), (mine, says), (yours, answers)).to_the_end() == told


def test_whatever_a_guest_asks_for_is_an_answer_or_a_bad_access():
    card, cable = LetterCard(ME), Cable()
    got = []

    class Peer:
        def receive(self, frame):
            got.append(frame)
            return True

        def link_changed(self, up):
            pass
    cable.ends[1].connect(Peer())
    card.plug_in(cable.ends[0])
    for offset in range(8):
        for size in (1, 2, 4):
            for act in (lambda: card.read(offset, size), lambda: card.write(offset, size, 1)):
                try:
                    act()
                except BadAccess:
                    pass
    with pytest.raises(BadAccess):
        for _ in range(frames.MAX + 1):
            card.write(DATA, 1, 0)
    card.write(SIZE, 4, 0)
    assert [len(each) for each in got] == [frames.MAX]
    for n in range(KEPT + 3):
        assert cable.ends[1].send(ANSWER) is (n < KEPT)
    assert card.read(SIZE, 4) == len(ANSWER) and bytes(card.read(DATA, 1) for _ in range(6)) == ME
    cable.link(False)
    assert not card.up and BASE % 4096 == 0
