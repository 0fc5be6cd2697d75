"""Images through a small network on a matrix engine, in any mode, and what that cost: exits, time, and the same without a hypervisor."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from vmio.drivers.accelerator import AcceleratorDriver
from vmio.drivers.accelerator_plan import Network
from vmio.experiments import digits
from vmio.experiments.accelerator_params import DIGITS, MODES, AcceleratorParams
from vmio.experiments.accelerator_result import AcceleratorResult, Since
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.host.accelerator.service import AcceleratorService
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes import GuestMachine, Machine, attachment

__all__ = ["MODES", "AcceleratorParams", "AcceleratorResult", "run"]


class _Guest:
    """A guest's program, and what it counts."""

    def __init__(self, network: Network, images: bytes, params: AcceleratorParams) -> None:
        self.network, self.images, self.params = network, images, params
        self.sums = b""
        self.setup_exits = self.signals = 0
        self.load: Any = None
        self.calls: Any = None

    def program(self, cpu: VCpu, driver: AcceleratorDriver, channel: Any = None) -> Steps[None]:
        """Load the network, then call after call."""
        self.setup_exits, since = cpu.exits.total, Since(cpu)
        yield from driver.load(self.network)
        yield from cpu.pay()
        self.load, since = since.part(), Since(cpu)
        before = 0 if channel is None else channel.signals
        found = []
        for images in batches(self.images, self.params.count, self.params.batch, self.network.inputs):
            found.append((yield from driver.infer(images)))
        yield from cpu.pay()
        self.calls, self.sums = since.part(), b"".join(found)
        self.signals = 0 if channel is None else channel.signals - before


def batches(images: bytes, count: int, batch: int, each: int) -> list[bytes]:
    """Return `count` images in pieces of `batch`, the last perhaps shorter; after the last image comes the first again."""
    there = len(images) // each
    many = images * (-(-batch // there) + 1)
    return [many[first % there * each:(first % there + min(batch, count - first)) * each] for first in range(0, count, batch)]


@lru_cache(16)
def _known(hidden: int) -> Network:
    return digits.load().network if hidden == DIGITS else digits.sized(hidden)


def _planned(machine: Machine, params: AcceleratorParams) -> list[GuestMachine]:
    """The guests, each with its way to the one device that they share."""
    choices: dict[str, dict[str, Any]] = {"emulated": {"ring": params.access == "ring"}, "split": {},
                                          "passthrough": {"virtual": params.function == "virtual", "delivery": params.delivery}}
    guests = [machine.guest().attach(attachment("accelerator", params.mode, **choices[params.mode])) for _ in range(params.guests)]
    if params.guests > 1:
        service = AcceleratorService(machine.host) if params.mode == "split" else None
        shared: Sequence[Any] = HostAccelerator(machine.host, params.guests).places if service is None else [service] * params.guests
        for guest, backend in zip(guests, shared):
            guest.backends[0] = backend
    machine.power_on()
    return guests


def bare_metal(network: Network, images: bytes, count: int, batch: int) -> int:
    """Return how long the host's own driver takes for these calls, in ns; those of one size take one time, so each is run once."""
    service = AcceleratorService(Machine().host)
    env, driver = service.host.env, service.driver
    pieces = batches(images, count, batch, network.inputs)
    spent = {}

    def program() -> Steps[None]:
        yield from service.begin()
        yield from driver.load(network)
        for each in {len(each): each for each in (pieces[0], pieces[-1])}.values():
            before = env.now
            yield from driver.infer(each)
            spent[len(each)] = env.now - before
    env.run(until=env.process(program()))
    return sum(spent[len(each)] for each in pieces)


def run(params: AcceleratorParams, network: Network | None = None, images: bytes | None = None, labels: bytes | None = None) -> AcceleratorResult:
    """Let guests have their images looked at; returns an `AcceleratorResult`.

    Without a `network` it is the digits', or one of `params.hidden`; without `images` they are the digits'.  ValueError for
    parameters that can't be, for a network beside another `hidden`, and for images of another shape.
    """
    params.check()
    if network is not None and params.hidden != DIGITS:
        raise ValueError(f"hidden {params.hidden}: no effect beside a network's own weights")
    network = network or _known(params.hidden)
    if images is None:
        kept = digits.load()
        images, labels = kept.images, kept.labels if params.hidden == DIGITS else None
    number = network.count(images)
    if labels is not None and len(labels) != number:
        raise ValueError(f"labels of {len(labels):,} bytes; {number:,} images have one each")
    machine = Machine(params.costs, cores=max(2, params.guests + 1), kind=params.host)
    guests = _planned(machine, params)
    runs = [_Guest(network, images, params) for _ in guests]

    def pair(guest: GuestMachine, one: _Guest) -> tuple[GuestMachine, Any]:
        vsp = getattr(guest.attachments[0], "vsp", None)
        return guest, lambda cpu, driver: one.program(cpu, driver, None if vsp is None else vsp.channel)
    machine.run(*(pair(*each) for each in zip(guests, runs)))
    return _result(params, machine, guests, runs, labels)


def _result(params: AcceleratorParams, machine: Machine, guests: list[GuestMachine], runs: list[_Guest], labels: bytes | None) -> AcceleratorResult:
    first = runs[0]
    for number, one in enumerate(runs):
        if one.sums != first.sums:
            raise RuntimeError(f"guest {number} has other sums than guest 0")
    way: Any = guests[0].attachments[0]
    said = digits.predictions(first.sums, first.network.outputs)
    right = None if labels is None else sum(a == labels[n % len(labels)] for n, a in enumerate(said))
    service = getattr(way, "service", None)
    return AcceleratorResult(
        params, images=params.count, number_of_calls=-(-params.count // params.batch), right=right,
        predictions_sha256=hashlib.sha256(said).hexdigest(), sums_sha256=hashlib.sha256(first.sums).hexdigest(),
        setup_exits=first.setup_exits, load=first.load, calls=first.calls, each_ns=[one.calls.ns for one in runs],
        device_ns=way.engine.busy_ns, bare_ns=bare_metal(first.network, first.images, params.count, params.batch),
        signals=first.signals, switches=0 if service is None else service.switches)
