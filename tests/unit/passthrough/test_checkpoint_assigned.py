"""Checkpoints of guests that have a device: IOMMU, interrupts, vPCI, controllers and their commands go on in a fresh machine."""

import pytest
from tests.checkpoint_rig import (
    Plan,
    given_up,
    large,
    over_long_pauses,
    places,
    requests,
    saved_and_restored,
    with_a_surprise,
)

from vmio.experiments.disk import pattern
from vmio.host.nvme import AssignableNvme
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment
from vmio.passthrough.assignment import assign

MIXED = requests(("read", 8), ("write", 40), ("flush", 0), ("read", 40))
DEEP = requests(*[("read", 8 * n) for n in range(12)], *[("write", 8 * n) for n in range(6)], depth=16)
WAYS = {"injected": {}, "posted": {"delivery": "posted"}, "polled": {"polled": True}}
PLANS = {f"{iommu}, {way}, {depth} in flight": Plan("passthrough", {"iommu": iommu, **options}, program,
                                                     only=slice(number % 8, None, 8))
         for number, (iommu, (way, options), (depth, program)) in enumerate(
             (iommu, each, program) for iommu in ("off", "static", "strict", "lazy") for each in WAYS.items()
             for program in ((1, MIXED), (16, DEEP)))}
EVERY_STEP = ("off, polled, 16 in flight", "static, injected, 1 in flight", "strict, posted, 16 in flight")
PLANS |= {name: PLANS[name]._replace(only=slice(None)) for name in EVERY_STEP}
PLANS |= {
    "lazy, over its timer": Plan("passthrough", {"iommu": "lazy"}, over_long_pauses, within_ns=500_000, only=slice(0, None, 9)),
    "in a slot of a PC, injected": Plan("passthrough", {}, MIXED, device="nvme", within_ns=5_000, only=slice(0, None, 3)),
    "in a slot of a PC, posted, 16 in flight": Plan("passthrough", {"delivery": "posted"}, DEEP, device="nvme", within_ns=5_000, only=slice(0, None, 5)),
    "three virtual functions": Plan("passthrough", {"iommu": "strict", "delivery": "posted"}, large(200, 4), guests=3, cores=1,
                                    only=slice(0, None, 31)),
    "a reset with commands under way": Plan("passthrough", {}, given_up, only=slice(60, None)),
    "the same of a virtual function": Plan("passthrough", {}, given_up, guests=2, only=slice(140, None, 6)),
}


@pytest.mark.parametrize("name", PLANS)
def test_saved_and_restored_a_run_ends_as_if_undisturbed(name):
    saved_and_restored(PLANS[name])


def under_way():
    """The state of three guests with commands at the medium, at the arbiter, and on their way to it, and its plan."""
    plan = Plan("passthrough", {"iommu": "lazy", "delivery": "posted"}, large(200, 4), guests=3)
    machine, run = plan.started()
    while run.step():
        if len(machine.host.env.to_come()) > 4:
            state = from_json(to_json(machine.save()))
            kinds = {tuple(each) for each in state["hardware"][0]["at_medium"]}
            if len(kinds) == 2 and any(port["waiting"]["read"] for port in state["hardware"][0]["arbiter"]["ports"]):
                return state, plan
    raise AssertionError("no such step")


def test_an_entry_that_nobody_knows_is_named_wherever_it_is():
    state, plan = under_way()
    found = [path for path, _ in places(state) if path[:1] == ("hardware",) or "attachments" in path]
    tried = [path for path in found if path[-1] not in ("refused", "handled")]       # counted by name
    assert len(tried) > 40
    for path in tried:
        with pytest.raises(CheckpointRefused, match="surprise"):
            plan.restored(with_a_surprise(state, path))


@pytest.mark.parametrize("path, value, what", [
    (("hardware", 0, "iommu", "domains", 0, "requesters"), [1], "checkpoint, domain: saved with"),
    (("hardware", 0, "iommu", "owners", 0, 1), 7, "checkpoint, IOMMU, who is in which domain: saved with"),
    (("hardware", 0, "at_medium"), [], "checkpoint, NVMe: nobody goes on with [0-9]+ commands"),
    (("hardware", 0, "function", "name"), "nvme1", "checkpoint, host's function: saved with"),
    (("guests", 0, "attachments", 0, "lent", "posted"), False, "checkpoint, assignment: saved with"),
    (("guests", 0, "attachments", 0, "lent", "mapped"), [], "who answers where"),
])
def test_a_state_that_can_t_be_is_refused(path, value, what):
    state, plan = under_way()
    at = state
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(CheckpointRefused, match=what):
        plan.restored(state)


def test_a_device_that_was_given_by_hand_is_refused():
    machine = Machine(checkpoints=True)
    guest = machine.guest("g", attachment("disk", "split"), Overlay(pattern(1)))
    machine.power_on()
    other = AssignableNvme(machine.host, [Overlay(pattern(1))])
    assign(other.disk.function, guest.guest, guest.platform.bus, other.router)
    machine.start((guest, lambda cpu, disk: iter(())))
    with pytest.raises(CheckpointRefused, match="at 0 ns: nvme0 was given to guest g by hand; only a device that the machine has"):
        machine.save()


def test_a_device_that_was_taken_back_is_refused():
    machine, run = Plan("passthrough", {}, MIXED).started()
    machine.guests[0].attachments[0].lent.take_back()
    with pytest.raises(CheckpointRefused, match="nvme0 was taken back from guest guest0; only a machine that has all of its devices"):
        machine.save()


def test_a_vector_that_waits_in_a_posted_descriptor_still_does():
    plan = Plan("passthrough", {"delivery": "posted"}, MIXED)
    machine, _ = plan.started()

    def descriptor(machine):
        guest = machine.guests[0]
        return guest.attachments[0].lent.router.descriptor(guest.cpu)
    descriptor(machine).suppress()
    descriptor(machine).post(0x55)
    other, _ = plan.restored(from_json(to_json(machine.save())))
    assert descriptor(other).pending == 1 << 0x55 and (descriptor(other).posts, descriptor(other).notifications) == (1, 0)
