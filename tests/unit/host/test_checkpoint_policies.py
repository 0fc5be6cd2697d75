"""Checkpoints under each policy of the block layer: who waits, tags, deficits and tokens go on in a fresh machine."""

import pytest
from tests.checkpoint_rig import Plan, large, places, saved_and_restored, with_a_surprise

from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import Fifo
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json

BUSY = Plan("split", {}, large(200, 3), guests=3, only=slice(220, None, 50))


@pytest.mark.parametrize("policy", POLICIES)
def test_saved_and_restored_a_run_ends_as_if_undisturbed(policy):
    saved_and_restored(BUSY._replace(policy=policy))


def full(policy):
    """A state in which several requests of several guests wait in the policy."""
    machine, run = BUSY._replace(policy=policy).started()
    while run.step():
        queue = machine.guests[0].backends[0].layer.queue
        if len(queue) > 2:
            return from_json(to_json(machine.save()))
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("policy", ["limits", "mclock"])
def test_an_entry_that_nobody_knows_is_named(policy):
    state = full(policy)
    found = [path for path, _ in places(state) if path[:1] == ("hardware",) and "queue" in path]
    assert len(found) > 3
    for path in found:
        with pytest.raises(CheckpointRefused, match="surprise"):
            BUSY._replace(policy=policy).restored(with_a_surprise(state, path))


def test_the_policy_comes_with_the_state():
    machine, _ = BUSY._replace(policy="fair").restored(full("limits"))
    layer = machine.guests[0].backends[0].layer
    assert type(layer.queue) is POLICIES["limits"] and type(layer.queue.inner) is Fifo and len(layer.queue) > 2


def test_a_policy_without_a_name_is_refused():
    class Own(Fifo):
        """Somebody's own."""
    machine, run = BUSY.started()
    machine.guests[0].backends[0].layer.set_scheduler(Own())
    run.step()
    with pytest.raises(CheckpointRefused, match="checkpoint: the policy Own can't be saved; fifo, limits, drr, fair, mclock can"):
        machine.save()
    assert make("drr").quantum == 256 << 10
