"""Guests that share the host's matrix engine as a service, and what they ask of it."""

from vmio.experiments import digits
from vmio.host.accelerator.service import AcceleratorService
from vmio.machine.clock import NEVER
from vmio.modes import Machine, attachment

FOUND = digits.load()
WANTED = digits.sums(FOUND.network, FOUND.images)


def guests(count, slice_ns=NEVER):
    """A machine whose guests share one service."""
    machine = Machine(cores=4)
    made = [machine.guest().attach(attachment("accelerator", "split")) for _ in range(count)]
    service = AcceleratorService(machine.host, slice_ns)
    for guest in made:
        guest.backends[0] = service
    machine.power_on()
    return machine, service, made


def inference(rounds=3, batch=50):
    def program(cpu, driver):
        yield from driver.load(FOUND.network)
        for n in range(rounds):
            assert (yield from driver.infer(FOUND.images[:64 * batch])) == WANTED[:40 * batch]
        return cpu.now
    return program
