"""Checkpoints of a guest with accelerated networking: while its function comes, is there, and goes; and from each it goes on elsewhere."""

from functools import lru_cache, partial

import pytest
from tests.checkpoint_rig import held
from tests.net_rig import BROADCAST, PEER, US, frame

from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.clock import Timer
from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment, clone

MS = 1_000_000
FRAMES, GAP_NS = 120, 60_000
END_NS = 12 * MS
STORY = ((2 * MS, "give"), (6 * MS, "ask_back"), (8 * MS, "give"), (11 * MS, "take"))


class Outside:
    """What the host does with the function at times of the guest's clock, and who is at the wire's other end."""

    def __init__(self, guest, cable):
        self.guest, self.end, self.cable = guest.guest, cable.ends[1], cable
        self.heard, self.lost = [], 0
        acts = [(ns, getattr(guest.attachments[0], name)) for ns, name in STORY]
        says = [(MS + GAP_NS * n, partial(self._say, frame(BROADCAST if n % 7 == 6 else US, seed=n))) for n in range(FRAMES)]
        self.all = acts + says
        self.to_come = {n: self.guest.clock.call_at(ns, partial(self._do, n)) for n, (ns, _) in enumerate(self.all)}
        self.end.connect(self)

    def _do(self, number):
        del self.to_come[number]
        self.all[number][1]()

    def _say(self, data):
        self.lost += not self.end.send(data)

    def receive(self, data):
        self.heard.append(data)
        return True

    def link_changed(self, up):
        pass

    def timers(self, guest):
        return [(f"outside {n}", timer) for n, timer in self.to_come.items()]

    def save(self, saving):
        return {"heard": self.heard, "lost": self.lost, "to_come": list(self.to_come), "cable": self.cable.save()}

    def restore(self, state, restoring):
        self.heard, self.lost = list(state["heard"]), state["lost"]
        self.to_come = {n: Timer(self.all[n][0], partial(self._do, n)) for n in state["to_come"]}
        self.cable.restore(state["cable"])


def program(cpu, driver):
    """Hear all, and answer each fourth frame."""
    got, sent = [], 0
    while cpu.now < END_NS:
        yield from driver.wait(END_NS)
        for each in driver.reap():
            got.append((cpu.now, sum(each)))
            if len(got) % 4 == 0:
                while not driver.send(frame(PEER, US, seed=sent)):
                    yield from driver.wait(END_NS)
                sent += 1
    return got, sent, driver.by_card, driver.by_function, driver.lost


def made(checkpoints=True, name="guest", address=US):
    machine, cable = Machine(checkpoints=checkpoints, kind="kvm"), Cable()
    guest = machine.guest(name).attach(attachment("net", "accelerated", address=address), backend=cable.ends[0])
    machine.power_on()
    machine.beside.append(Outside(guest, cable))
    return machine, (guest, program)


def outcome(machine, results):
    guest, way = machine.guests[0], machine.guests[0].attachments[0]
    return (results, guest.cpu.now, guest.cpu.interrupts, sorted((str(key), row.count, row.total_ns) for key, row in guest.cpu.table.rows.items()),
            machine.host.busy_ns, machine.beside[0].heard, machine.beside[0].lost, way.vsp.received, way.vsp.sent, way.vsp.vf.switches,
            way.nic.card.save(), way.nic.driver.turns, way.nic.driver.heard, machine.host.memory.free_pages)


@lru_cache(1)
def undisturbed():
    machine, pair = made(checkpoints=False)
    return outcome(machine, machine.run(pair))


@lru_cache(1)
def stepped():
    """[(step, time, is the function the guest's?, state, what the card holds)] of each seventh step; the steps at which it was refused, and why."""
    machine, pair = made()
    run, number, states, refused = machine.start(pair), 0, [], []
    way = machine.guests[0].attachments[0]
    while run.step():
        number += 1
        if number % 7 == 0:
            try:
                state = to_json(machine.save())
            except CheckpointRefused as why:
                refused.append((number, str(why)))
            else:
                states.append((number, int(machine.host.env.now), way.lent is not None and not way.lent.ended, state, held(way.nic)))
    assert outcome(machine, run.to_the_end()) == undisturbed()
    return states, refused


def test_saved_while_it_comes_is_there_and_goes_a_run_ends_as_if_undisturbed():
    states, _ = stepped()
    results, *_ = undisturbed()
    (got, sent, by_card, by_function, lost), = results
    assert len(got) == FRAMES and sent == by_card + by_function and by_card > 5 and by_function > 5 and lost == 0
    assert len(states) > 100 and sum(given for _, _, given, _, _ in states) > 50
    for number, _, given, state, holds in states:
        machine, pair = made()
        run = machine.restore(from_json(state), pair)
        way = machine.guests[0].attachments[0]
        assert (way.lent is not None) == given
        assert to_json(machine.save()) == state, f"step {number}: saved again at once it is something else"
        assert held(way.nic) == holds, f"step {number}: the card holds something else"
        assert outcome(machine, run.to_the_end()) == undisturbed(), f"step {number}"


def test_only_while_it_is_asked_for_or_its_bus_goes_it_is_refused():
    _, refused = stepped()
    assert {why.partition(": ")[2] for _, why in refused} == {
        "guest guest is asked to give nic0-vf0 back; it can be saved once that is over",
        "a channel of guest guest is rescinded; only those that are open, or were not opened, can be saved"}
    assert len(refused) < 20


def given():
    """A state of a guest that has the function, by which its frames come."""
    return from_json(next(state for _, at, given, state, _ in stepped()[0] if given and at > 5 * MS))


@pytest.mark.parametrize("path, value, what", [
    (("lent", "function"), "nic0-vf1", "checkpoint, assignment: saved with"),
    (("lent",), None, "checkpoint"),
    (("association", "surprise"), 1, "checkpoint, virtual function beside a card: unknown entry 'surprise'"),
    (("card", "options", 0), PEER, "checkpoint, split network card, options: saved with"),
])
def test_a_state_that_can_t_be_is_refused(path, value, what):
    state = given()
    at = state["guests"][0]["attachments"][0]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    machine, pair = made()
    with pytest.raises(CheckpointRefused, match=what):
        machine.restore(state, pair)


def test_a_clone_is_refused_the_address_is_in_the_host_s_card():
    machine, pair = made(name="other", address=PEER)
    with pytest.raises(CheckpointRefused, match="checkpoint, virtual function of a network card, address and VLAN: saved with"):
        clone.restored(machine, given(), pair)
