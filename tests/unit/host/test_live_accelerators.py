"""A matrix engine's function comes and goes while its guest runs: asked back or taken at once, and then another guest's."""

import pytest

from vmio.attacks.defence import without
from vmio.drivers.accelerator import RingDriver
from vmio.drivers.vmbus import Rescinded
from vmio.experiments import digits, serving_handover
from vmio.hardware.accelerator.function import EngineFunction
from vmio.hardware.accelerator.registers import SRAM_BYTES
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.modes import Machine, attachment
from vmio.passthrough.assignment import AssignmentRefused

KEPT = digits.load()
WANTED = digits.sums(KEPT.network, KEPT.images)


def machine_of_two():
    machine = Machine(cores=3)
    ways = [attachment("accelerator", "passthrough", virtual=True) for _ in range(2)]
    guests = [machine.guest(later_mib=9).attach(way) for way in ways]
    device = HostAccelerator(machine.host, 3)
    for guest, place in zip(guests, device.places):
        guest.backends[0] = place
    machine.power_on()
    return machine, guests, ways, device


def test_a_function_that_changes_hands_is_clean():
    found = serving_handover.run()
    assert (found.found, found.words, found.wrong) == (0, 0, 0) and found.pieces > 100
    assert min(found.answers) > 1_000 and found.asked_ns < found.given_ns
    assert serving_handover.run() == found


def test_without_the_scrub_the_newcomer_reads_all_weights():
    with without(EngineFunction, "clear", lambda self: None):
        found = serving_handover.run()
    assert found.found == found.pieces and found.words > found.pieces and found.wrong == 0


def test_the_weights_are_on_the_chip_as_long_as_they_are_served():
    """The judge of the two above looks for what is there."""
    machine, guests, ways, device = machine_of_two()

    def program(cpu, driver):
        yield from driver.load(KEPT.network)
        return bytes(device.places[0].function.device.sram)
    seen = machine.run((guests[0], program))[0]
    assert seen[:2368] == KEPT.network.constants[:2368] and len(seen) == SRAM_BYTES


def test_a_function_that_is_taken_at_once_ends_the_call_with_an_error():
    machine, guests, ways, device = machine_of_two()

    def victim(cpu, driver):
        yield from driver.load(KEPT.network)
        machine.host.at(cpu.now + 30_000, lambda _: machine.remove(ways[0], at_once=True))
        with pytest.raises(Rescinded, match="matrix engine: the host has taken it away"):
            while True:
                yield from driver.infer(KEPT.images)
        with pytest.raises(Rescinded):
            yield from driver.infer(KEPT.images)
        news = yield from guests[0].follow(cpu)
        return [what for what, _ in news]

    def other(cpu, driver):
        yield from driver.load(KEPT.network)
        for _ in range(20):
            assert (yield from driver.infer(KEPT.images)) == WANTED
    news, _ = machine.run((guests[0], victim), (guests[1], other))
    assert news == ["removed"] and device.places[0].function.assigned_to is None
    assert bytes(device.places[0].function.device.sram) == bytes(SRAM_BYTES)


def test_functions_come_and_go_again_and_again_and_nothing_is_used_up():
    machine, guests, ways, device = machine_of_two()
    free = []

    def program(cpu, driver):
        for _ in range(4):
            added = machine.add(guests[0], attachment("accelerator", "passthrough", virtual=True), backend=device.places[2])
            news = []
            while not news:
                yield from cpu.hlt(50_000)
                news = yield from guests[0].follow(cpu)
            (what, more), = news
            assert what == "added" and isinstance(more, RingDriver)
            yield from more.load(KEPT.network)
            assert (yield from more.infer(KEPT.images)) == WANTED
            machine.remove(added)
            news = []
            while not news:
                yield from cpu.hlt(50_000)
                news = yield from guests[0].follow(cpu)
            assert news == [("removed", more)]
            free.append((machine.host.memory.free_pages, more.base))
    machine.run((guests[0], program))
    assert len(set(free[1:])) == 1


def test_a_function_that_is_somebodys_is_refused_and_leaves_nothing():
    machine, guests, ways, device = machine_of_two()
    before = machine.host.memory.free_pages
    with pytest.raises(AssignmentRefused, match="is assigned to guest1 already"):
        machine.add(guests[0], attachment("accelerator", "passthrough", virtual=True), backend=device.places[1])
    assert machine.host.memory.free_pages == before
    with pytest.raises(ValueError, match="a medium or a backend is needed"):
        machine.add(guests[0], attachment("accelerator", "passthrough", virtual=True))
