"""Checkpoints of guests that have virtual functions of a network card: rings, mailboxes, the card's switch and its times go on elsewhere."""

from functools import lru_cache

import pytest
from tests.checkpoint_rig import held, places, with_a_surprise
from tests.net_rig import BROADCAST, GROUP, PEER, US, frame

from vmio.hardware.nic import registers as r
from vmio.host.clock import Due
from vmio.host.net.nic import HostNic
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment, clone

THEM, TAGGED = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
MS = 1_000_000


class Far:
    """The station at the wire's other end: it answers what is sent to it, and keeps all."""

    def __init__(self, cable):
        self.cable, self.heard = cable, []
        cable.ends[1].connect(self)

    def receive(self, data):
        self.heard.append(data)
        if data[:6] == PEER:
            self.cable.ends[1].send(data[6:12] + data[:6] + data[12:])
        return True

    def link_changed(self, up):
        pass

    def timers(self, guest):
        return []

    def save(self, saving):
        return {"heard": self.heard, "cable": self.cable.save()}

    def restore(self, state, restoring):
        self.heard = list(state["heard"])
        self.cable.restore(state["cable"])


def at_once(driver, frames):
    """Put frames into the ring and ring once."""
    write, driver.write = driver.write, lambda register, value: None
    for each in frames:
        assert driver.send(each)
    del driver.write
    write(r.TX + r.TAIL, driver._next_tx % 1024)


def talk(own, other, again=False):
    """A program: groups, single frames, a burst that the card does not send in one go, questions to the host's driver; and, `again`, a reset."""
    def program(cpu, driver):
        told = []

        def hear(until):
            while cpu.now < until:
                yield from driver.wait(until)
                told.extend((cpu.now, each[6:12], len(each), sum(each)) for each in driver.reap())
        yield from driver.join((GROUP,))
        for seed, to in enumerate((PEER, other, GROUP, BROADCAST)):
            driver.send(frame(to, own, 60 + 200 * seed, seed))
        yield from hear(cpu.now + 200_000)
        at_once(driver, [frame(other if n % 40 else PEER, own, 100, n) for n in range(150)])
        answer = yield from driver.mailbox.ask([4 | 1 << 16, 5], 1)
        yield from hear(cpu.now + 300_000)
        driver.send(frame(other, PEER, 90))               # another's address: the card throws it away
        driver.write(r.IVAR + 2, 1)                       # (no register)
        told.append((answer, (yield from driver.mailbox.ask([2, 1, 2], 3))))
        if again:
            at_once(driver, [frame(other, own, 80, n) for n in range(140)])
            driver.__init__(cpu, driver.base, driver.tx_ring, driver.own)
            driver.write(r.CTRL, r.RESET)
            driver.write(r.V2P, r.ACK)
            yield from cpu.hlt(100_000)
            told.append(driver.mailbox.take(1))         # a refusal, the first in two seconds: a reset begins with a message
            yield from driver.init()
            driver.send(frame(PEER, own, 70))
            yield from hear(cpu.now + 300_000)
        return told, driver.sent, driver.errors, driver.mailbox.messages, [driver.read(at) for at in (r.RX_FRAMES, r.TX_BYTES, r.LOOP_RX_FRAMES)]
    return program


class Plan:
    """Guests with functions of one card: those with an address in `addresses`, each with a program; some in a VLAN of the host's."""

    def __init__(self, delivery="injected", addresses=(US, THEM), vlans=(0, 0), again=False, name="guest"):
        self.name, self.delivery, self.addresses, self.vlans, self.again = name, delivery, addresses, vlans, again

    def machine(self, checkpoints=True):
        machine, cable = Machine(checkpoints=checkpoints), Cable()
        self.far = Far(cable)
        nic = HostNic(machine.host, cable.ends[0], [*self.addresses[:-1], None], list(self.vlans))
        guests = [machine.guest(f"{self.name}{n}").attach(attachment("net", "passthrough", address=each, delivery=self.delivery), backend=place)
                  for n, (each, place) in enumerate(zip(self.addresses, nic.places))]
        machine.power_on()
        machine.beside.append(self.far)
        others = [*self.addresses[1:], self.addresses[0]]
        return machine, [(guest, talk(own, other, self.again)) for guest, own, other in zip(guests, self.addresses, others)]

    def started(self, checkpoints=True):
        machine, pairs = self.machine(checkpoints)
        return machine, machine.start(*pairs)

    def restored(self, state):
        machine, pairs = self.machine()
        return machine, machine.restore(state, *pairs)

    def outcome(self, machine, results):
        nic = machine.guests[0].attachments[0].nic
        guests = [(cpu.now, cpu.idle_ns, cpu.interrupts, sorted((str(key), row.count, row.total_ns) for key, row in cpu.table.rows.items()))
                  for guest in machine.guests for cpu in guest.guest.vcpus]
        return results, guests, machine.host.busy_ns, machine.beside[0].heard, nic.card.save(), nic.driver.turns, nic.driver.heard, nic.driver.refused, nic.iommu.iotlb.hits


PLANS = {"injected": (Plan(), 1), "posted": (Plan("posted"), 4),
         "three, one in a VLAN, all reset": (Plan("posted", (US, TAGGED, THEM), (0, 7, 0), again=True), 13)}


PLAN = Plan("posted", again=True)


@pytest.mark.parametrize("name", PLANS)
def test_saved_and_restored_a_run_ends_as_if_undisturbed(name):
    """At every step of the first, at each fourth and thirteenth of the others."""
    plan, stride = PLANS[name]
    machine, run = plan.started(checkpoints=False)
    undisturbed = plan.outcome(machine, run.to_the_end())
    machine, run = plan.started()
    number, states = 0, []
    while run.step():
        number += 1
        if number % stride == 0:
            states.append((number, machine.save(), held(machine.guests[0].attachments[0].nic)))
    assert plan.outcome(machine, run.to_the_end()) == undisturbed and len(states) > 30
    for number, state, holds in states:
        other, again = plan.restored(from_json(to_json(state)))
        assert other.save() == state, f"step {number}: saved again at once it is something else"
        assert held(other.guests[0].attachments[0].nic) == holds, f"step {number}: the card holds something else"
        assert plan.outcome(other, again.to_the_end()) == undisturbed, f"step {number}"


@lru_cache(1)
def first_with():
    """{what is under way: the state of the first step of a run with two guests, both reset, at which it is, as JSON}."""
    found = {}
    machine, run = PLAN.started()
    while run.step():
        nic = machine.guests[0].attachments[0].nic
        timers = [name for each in nic.card.functions for name, _ in each.timers()]
        cancelled = any(due.timer.callback is None for _, _, event in machine.host.env.to_come() for due in event.callbacks if isinstance(due, Due))
        for what, there in (("a message", "message 1" in timers), ("a burst", "transmit 0" in timers), ("work", nic.driver._coming),
                            ("cancelled", cancelled)):
            if there and what not in found:
                found[what] = to_json(machine.save())
    return found


def under_way(what="a burst"):
    return from_json(first_with()[what])


@pytest.mark.parametrize("what", ["a message", "a burst", "work", "cancelled"])
def test_a_run_goes_on_from_where_that_is_under_way(what):
    machine, run = PLAN.started(checkpoints=False)
    undisturbed = PLAN.outcome(machine, run.to_the_end())
    other, again = PLAN.restored(under_way(what))
    assert PLAN.outcome(other, again.to_the_end()) == undisturbed


def test_an_entry_that_nobody_knows_is_named_wherever_it_is():
    state = under_way()
    found = [path for path, _ in places(state) if path[:1] == ("hardware",) or "attachments" in path]
    tried = [path for path in found if path[-1] not in ("refused", "handled")]       # counted by name
    assert len(tried) > 40
    for path in tried:
        with pytest.raises(CheckpointRefused, match="surprise"):
            PLAN.restored(with_a_surprise(state, path))


@pytest.mark.parametrize("path, value, what", [
    (("driver", "spoofing"), True, "checkpoint, driver of the host's network card, spoofing: saved with"),
    (("driver", "vfs", 1, "vlan"), 9, "checkpoint, virtual function of a network card, address and VLAN: saved with"),
    (("driver", "vfs"), [], "checkpoint: damaged, ValueError"),
    (("card", "dropped"), {}, "checkpoint, 82576, counts of what was dropped: saved with"),
    (("card", "functions"), [], "checkpoint: damaged, ValueError"),
    (("router", "own"), [], "checkpoint, interrupt router, interrupts of the host's own drivers: saved with"),
    (("clocks", 1, "timers"), [], "checkpoint: nothing lets the timers .* of a device come"),
    (("clocks", 1, "timers", 0, 1), "message 7", "checkpoint: the timer 'message 7' of [0-9]+ ns was not set again"),
    (("clocks", 1, "timers", 0, 0, 0), 5, "checkpoint: the timer '.*' of 5 ns was not set again"),
])
def test_a_state_that_can_t_be_is_refused(path, value, what):
    state = under_way()
    at = state["hardware"][0]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(CheckpointRefused, match=what):
        PLAN.restored(state)


def test_other_options_of_the_card_are_refused():
    with pytest.raises(CheckpointRefused, match="checkpoint, assigned network card, options: saved with"):
        Plan("injected", again=True).restored(under_way())


def test_a_clone_of_a_guest_with_a_function_is_refused():
    machine, pairs = Plan("posted", (PEER, TAGGED), again=True, name="other").machine()
    with pytest.raises(CheckpointRefused, match="checkpoint, virtual function of a network card, address and VLAN: saved with"):
        clone.restored(machine, under_way(), *pairs)


def test_a_timer_on_a_device_s_clock_that_is_nobody_s_is_refused():
    machine, _ = PLANS["injected"][0].started()
    machine.guests[0].attachments[0].card.clock.call_later(500, lambda: None)
    with pytest.raises(CheckpointRefused, match="checkpoint at 0 ns: a device's timer of 500 ns is nobody's who can be saved"):
        machine.save()
