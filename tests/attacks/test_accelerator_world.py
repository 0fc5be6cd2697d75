"""The worlds with a matrix engine measure what they say, and a guest that dies with jobs under way harms nobody."""

import pytest

from vmio.attacks.accelerator_world import IMAGES, NETWORK, SECRET, WANTED, FunctionWorld, ServiceWorld
from vmio.attacks.verdict import FAIL, PASS, REJECT
from vmio.experiments import digits
from vmio.hardware.accelerator.registers import SRAM_BYTES, Op
from vmio.drivers.accelerator import RING_BYTES
from vmio.drivers.accelerator_plan import moves
from vmio.vmbus.accelerator import wire as w


def test_the_neighbours_sums_are_what_numpy_says():
    assert digits.sums(NETWORK, IMAGES) == WANTED


@pytest.mark.parametrize("kind", [FunctionWorld, ServiceWorld])
def test_wrong_sums_are_noticed(kind):
    def spoil(world, cpu):
        yield from world.begin(cpu)
        chip = world._ways[world.neighbour].function.sram if kind is FunctionWorld else world.service.function.sram
        chip[:4096] = bytes(4096)
    outcome = kind().attacked_by(spoil)
    assert outcome.verdict == FAIL and "neighbour's requests changed" in outcome.evidence


def test_the_secret_in_hand_is_a_leak():
    def tell(world, cpu):
        yield from world.begin(cpu)
        cpu.write(0x1234, SECRET)
    assert FunctionWorld().attacked_by(tell).evidence == "neighbour's registers leaked"


@pytest.mark.parametrize("after", range(0, 60_000, 7_000))
@pytest.mark.parametrize("kind", [FunctionWorld, ServiceWorld])
def test_a_guest_that_dies_with_jobs_under_way(kind, after):
    def die(world, cpu):
        driver = yield from world.driver(cpu)
        yield from world.begin(cpu)
        if kind is FunctionWorld:
            jobs = moves(Op.STORE, driver.data + driver.offset, 0, SRAM_BYTES) * 60
            cpu.write(driver.base, b"".join(jobs))
            cpu.store(driver.bar + 0x30, 4, len(jobs))
        else:
            jobs = moves(Op.STORE, w.place(driver.gpadl, RING_BYTES), 0, SRAM_BYTES) * 60
            cpu.write(driver.base, b"".join(jobs))
            driver.channel.end.send(w.SUBMIT.pack(gpadl=driver.gpadl, commands=len(jobs)), 1, want_completion=True)
        yield from cpu.pay()
        world.pass_on(after + 1)
    outcome = kind().attacked_by(die)
    assert outcome.verdict in (PASS, REJECT) and not outcome.touched, outcome
