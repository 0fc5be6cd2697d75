"""Checkpoints of guests that have a matrix engine: doorbells, operations, turns, on-chip memory and interrupts go on in a fresh machine."""

from functools import lru_cache, partial
from typing import NamedTuple

import pytest
from tests.checkpoint_rig import held, places, with_a_surprise

from vmio.drivers.accelerator import Halted
from vmio.drivers.accelerator_vsc import Refused
from vmio.experiments import digits
from vmio.hardware.accelerator import registers as r
from vmio.hardware.accelerator.registers import DESCRIPTOR, Op
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.host.accelerator.service import AcceleratorService
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.modes import Machine, attachment


def looked_at(cpu, driver, endless=False):
    """Images in two calls; then, if so wanted, a job without an end, which the engine ends; after a reset, images again."""
    found, told = digits.load(), []
    yield from driver.load(found.network)
    for first, number in ((0, 3), (3, 2)):
        sums = yield from driver.infer(found.images[64 * first:64 * (first + number)])
        told.append((cpu.now, sums.hex()))
        yield from cpu.hlt(7_000)
    if endless:
        again = driver.tail
        for each in (DESCRIPTOR.pack(op=Op.LOAD, rows=1, cols=0xC000, address=driver.data), DESCRIPTOR.pack(op=Op.JUMP, rows=again)):
            cpu.write(driver.base + DESCRIPTOR.size * driver.tail, each)
            driver.tail += 1
        try:
            yield from driver.ring_and_wait()
        except Halted as halted:
            told.append((cpu.now, str(halted)))
    if driver.bar:
        driver.write(r.DIRECT + 4, 5)
        driver.write(r.CONTROL, r.START)        # something is under way, and is void
        yield from driver.init()
        yield from driver.load(found.network)
        driver.write(r.DIRECT + 8, 7)
    else:
        try:
            yield from driver.run([DESCRIPTOR.pack(op=Op.JUMP)])
        except Refused as refused:
            told.append((cpu.now, str(refused)))
    sums = yield from driver.infer(found.images[:64])
    return told, cpu.now, sums.hex(), driver.interrupts, driver.calls


class Plan(NamedTuple):
    """Guests with a matrix engine, or with a function each of one."""

    mode: str
    options: dict
    guests: int = 1
    endless: bool = False
    within_ns: int | None = None
    stride: int = 1

    def machine(self, checkpoints=True):
        machine = Machine(checkpoints=checkpoints, cores=self.guests + 1)
        guests = [machine.guest().attach(attachment("accelerator", self.mode, **self.options)) for _ in range(self.guests)]
        if self.guests > 1:
            split = [AcceleratorService(machine.host, slice_ns=5_000)] * self.guests if self.mode == "split" else None
            for guest, backend in zip(guests, split or HostAccelerator(machine.host, self.guests).places):
                guest.backends[0] = backend
        machine.power_on()
        return machine, [(guest, partial(looked_at, endless=self.endless)) for guest in guests]

    def started(self, checkpoints=True):
        machine, pairs = self.machine(checkpoints)
        return machine, machine.start(*pairs)

    def restored(self, state):
        machine, pairs = self.machine()
        return machine, machine.restore(state, *pairs)


def devices(machine):
    """The engine and its functions."""
    way = machine.guests[0].attachments[0]
    return next(getattr(way, name) for name in ("machine", "service", "function") if hasattr(way, name))


def outcome(machine, results):
    """Sums, times, exits, and what the engine has counted."""
    guests = [(cpu.now, cpu.idle_ns, cpu.interrupts, sorted((str(key), row.count, row.total_ns) for key, row in cpu.table.rows.items()))
              for guest in machine.guests for cpu in guest.guest.vcpus]
    way = machine.guests[0].attachments[0]
    functions = [devices(machine).function] if hasattr(way, "service") else [each.attachments[0].function for each in machine.guests]
    return results, guests, machine.host.busy_ns, way.engine.busy_ns, way.engine.turns, [(each.done, each.halts) for each in functions], switches(machine)


def switches(machine):
    """How often another guest's turn came at a service."""
    return getattr(devices(machine), "switches", None)


PLANS = {"emulated, a ring": Plan("emulated", {}, within_ns=5_000),
         "emulated, registers": Plan("emulated", {"ring": False}, within_ns=5_000, stride=5),
         "the whole of it": Plan("passthrough", {}),
         "a virtual function, a job without an end": Plan("passthrough", {"virtual": True, "delivery": "posted"}, endless=True, stride=7),
         "a virtual function each": Plan("passthrough", {"virtual": True, "delivery": "posted"}, guests=3, stride=3)}
SERVED = {"a service": Plan("split", {}), "a service for two, in slices": Plan("split", {}, guests=2)}


@pytest.mark.parametrize("name", PLANS)
def test_saved_and_restored_a_run_ends_as_if_undisturbed(name):
    """At each step of a run, or at each third or fifth."""
    plan = PLANS[name]
    machine, run = plan.started(checkpoints=False)
    undisturbed = outcome(machine, run.to_the_end())
    machine, run = plan.started()
    number, states = 0, []
    while run.step(plan.within_ns):
        number += 1
        if number % plan.stride == 0:
            states.append((number, machine.save(), held(devices(machine))))
    assert outcome(machine, run.to_the_end()) == undisturbed and len(states) > 30
    for number, state, holds in states:
        other, again = plan.restored(from_json(to_json(state)))
        assert other.save() == state, f"step {number}: saved again at once it is something else"
        assert held(devices(other)) == holds, f"step {number}: the engine holds something else"
        assert outcome(other, again.to_the_end()) == undisturbed, f"step {number}"


@pytest.mark.parametrize("name", SERVED)
def test_a_service_is_saved_between_two_jobs_and_refused_in_one(name):
    """At each step: it is refused, and says so, or goes on elsewhere to the same end."""
    plan = SERVED[name]
    machine, run = plan.started(checkpoints=False)
    undisturbed = outcome(machine, run.to_the_end())
    machine, run = plan.started()
    states, refused = [], 0
    while run.step():
        try:
            states.append((to_json(machine.save()), held(devices(machine))))
        except CheckpointRefused as why:
            assert str(why) == (f"checkpoint at {machine.host.env.now} ns: the host's matrix engine works for a guest, and its service is saved "
                                "between two jobs")
            refused += 1
    assert outcome(machine, run.to_the_end()) == undisturbed and len(states) > 60 and refused > 30
    for state, holds in states[::2]:
        other, again = plan.restored(from_json(state))
        assert to_json(other.save()) == state and held(devices(other)) == holds
        assert outcome(other, again.to_the_end()) == undisturbed


@lru_cache(2)
def kept(mode):
    """A state of this mode in which the engine works (one that is a service waits), as JSON."""
    machine, run = plan_of(mode).started()
    while run.step(plan_of(mode).within_ns):
        way = machine.guests[0].attachments[0]
        if way.engine.current is not None and machine.host.env.now > 40_000 if mode != "split" else way.vsp.mapped and way.service.switches and way.service.waits:
            return to_json(machine.save())
    raise AssertionError("no such step")


def plan_of(mode):
    return {"emulated": PLANS["emulated, a ring"], "passthrough": PLANS["a virtual function each"], "split": SERVED["a service for two, in slices"]}[mode]


@pytest.mark.parametrize("mode", ["emulated", "passthrough", "split"])
def test_an_entry_that_nobody_knows_is_named_wherever_it_is(mode):
    state = from_json(kept(mode))
    found = [path for path, _ in places(state) if path[:1] == ("hardware",) or "attachments" in path]
    tried = [path for path in found if path[-1] not in ("refused", "handled")]       # counted by name
    assert len(tried) >= (4 if mode == "emulated" else 7)
    for path in tried:
        with pytest.raises(CheckpointRefused, match="surprise"):
            plan_of(mode).restored(with_a_surprise(state, path))


OURS, HOSTS = ("guests", 0, "attachments", 0), ("hardware", 0)


@pytest.mark.parametrize("mode, path, value, what", [
    ("emulated", (*OURS, "options"), [False], "checkpoint, emulated matrix engine, options: saved with"),
    ("emulated", (*OURS, "function", "sram"), b"", "checkpoint, function of a matrix engine, bytes: saved with"),
    ("emulated", (*OURS, "function", "error"), 77, "checkpoint: damaged, ValueError"),
    ("emulated", (*OURS, "engine", "current"), 1, "checkpoint: damaged, IndexError"),
    ("passthrough", (*OURS, "options"), [False, "posted"], "checkpoint, assigned matrix engine, options: saved with"),
    ("passthrough", (*HOSTS, "functions"), [], "checkpoint: damaged, ValueError"),
    ("passthrough", (*HOSTS, "clocks", 0, "timers"), [], "checkpoint: nothing lets the timers operation of a device come"),
    ("split", (*OURS, "vsp", "mapped"), [99], "checkpoint, accelerator's VSP: the guest has named GPADL 0x63, which is not there"),
    ("split", (*HOSTS, "fixed", 0), 7, "checkpoint, accelerator service: saved with"),
    ("split", (*HOSTS, "loaded"), 9, "checkpoint: damaged, IndexError"),
])
def test_a_state_that_can_t_be_is_refused(mode, path, value, what):
    state = from_json(kept(mode))
    at = state
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(CheckpointRefused, match=what):
        plan_of(mode).restored(state)


def test_a_service_that_has_not_begun_is_refused():
    machine, _ = SERVED["a service"].started()
    with pytest.raises(CheckpointRefused, match="checkpoint at 0 ns: the host's matrix engine works for a guest, and its service is saved between two jobs"):
        machine.save()
