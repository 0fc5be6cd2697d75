"""A model that is served: requests come to several guests when they like, each puts some into a call, and all share an engine, or don't.

    result = run(ServingParams("functions", batch=16, bully="huge calls"))
    print(result.table())

Each tenant has the digits' network on the engine, and its requests are the 450 digits, again and again; what the engine says of each
is compared with what numpy says of it.  Beside the tenants may be a bully, who has work for the engine all the time.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from vmio.drivers.accelerator import MEMORY, RING_BYTES, AcceleratorDriver, Halted
from vmio.drivers.accelerator_plan import Network
from vmio.drivers.accelerator_vsc import Refused
from vmio.experiments import digits
from vmio.experiments.accelerator_params import DIGITS
from vmio.experiments.accelerator_result import Since
from vmio.experiments.serving_params import ENGINES, FUNCTIONS, HUGE, NOBODY, SERVICE, ServingParams
from vmio.experiments.serving_requests import Requests, listen, poisson
from vmio.experiments.serving_result import BullyResult, ServingResult, TenantResult
from vmio.hardware.accelerator.registers import DESCRIPTOR, Op
from vmio.host.accelerator.assignable import HostAccelerator
from vmio.host.accelerator.service import AcceleratorService
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.modes import Machine, attachment

START_NS = 5_000_000        # all guests are up by then, and requests begin to come
HUGE_CALL = 16_384          # images of a bully's call
SHARED = RING_BYTES + (64 << 10)    # bytes that a tenant shares with the host's service: its calls are small, a bully's are not
AGAIN_NS = 100_000          # a bully whose job was refused tries again after so long


class _Guest:
    """A guest, and when the engine has worked for it: `spans` of (from, until) in ns."""

    def __init__(self, params: ServingParams, network: Network) -> None:
        self.params, self.network = params, network
        self.spans: list[tuple[int, int]] = []

    def engine_ns(self, until: int) -> int:
        """Return how long the engine has worked for it, from the beginning until then."""
        return sum(max(min(end, until) - max(start, START_NS), 0) for start, end in self.spans)

    def begin(self, cpu: VCpu, driver: AcceleratorDriver) -> Steps[None]:
        """Load the network, and wait for the beginning."""
        yield from driver.load(self.network)
        yield from cpu.pay()
        if cpu.now >= START_NS:
            raise RuntimeError(f"guest {cpu.guest.name} is up at {cpu.now:,} ns, after requests began to come")
        yield from cpu.hlt(START_NS - cpu.now)


class _Tenant(_Guest):
    """One to whom requests come."""

    def __init__(self, params: ServingParams, network: Network, number: int) -> None:
        super().__init__(params, network)
        self.name = f"tenant {number}"
        self.requests = Requests(poisson(params.count, params.rate, START_NS, f"{params.seed} {number}"), params.batch, params.wait_us * 1000)
        self.latencies: list[int] = []
        self.calls = self.wrong = self.ended_ns = 0
        self.since: Since

    def program(self, cpu: VCpu, driver: AcceleratorDriver) -> Steps[None]:
        """Answer all requests."""
        yield from self.begin(cpu, driver)
        listen(cpu)
        self.since = Since(cpu)
        images, answers = digits.load().images, known(self.params.hidden)
        times = self.requests.times
        while len(self.latencies) < len(times):
            numbers = yield from self.requests.take(cpu)
            which = [each % digits.IMAGES for each in numbers]
            sums = yield from driver.infer(b"".join(images[digits.PIXELS * at:digits.PIXELS * (at + 1)] for at in which))
            said = digits.predictions(sums, self.network.outputs)
            self.wrong += sum(one != answers[at] for one, at in zip(said, which, strict=True))
            self.latencies += [cpu.now - times[each] for each in numbers]
            self.calls, self.ended_ns = self.calls + 1, cpu.now

    def result(self, until: int) -> TenantResult:
        """Return what it has counted by now, of the engine's time what was before `until`."""
        part = self.since.part()
        return TenantResult(self.name, tuple(self.latencies), self.calls, self.wrong, part.exits, part.exits_by_instruction,
                            self.engine_ns(until), self.ended_ns - START_NS)


class _Bully(_Guest):
    """One who has work for the engine as long as there are requests."""

    def __init__(self, params: ServingParams, network: Network, tenants: list[_Tenant]) -> None:
        super().__init__(params, network)
        self.tenants = tenants
        self.calls: list[int] = []          # when each has ended, in ns
        self.ended: list[int] = []          # when the engine has ended a job
        self.refused: list[int] = []        # when the host has refused one

    def program(self, cpu: VCpu, driver: Any) -> Steps[None]:
        """Call after call, or job after job."""
        yield from self.begin(cpu, driver)
        blank = bytes(digits.PIXELS * HUGE_CALL)
        while any(len(each.latencies) < self.params.count for each in self.tenants):
            if self.params.bully == HUGE:
                yield from driver.infer(blank)
                self.calls.append(cpu.now)
            else:
                yield from self._endless(cpu, driver)

    def _endless(self, cpu: VCpu, driver: Any) -> Steps[None]:
        """A job that jumps back to its beginning; with a ring of one's own it ends by the engine's limit, in the host's service by a look."""
        job = [DESCRIPTOR.pack(op=Op.LOAD, rows=256, cols=256, address=driver.data), DESCRIPTOR.pack(op=Op.JUMP, rows=0)]
        try:
            if self.params.way == SERVICE:
                yield from driver.run(job)
            else:
                yield from driver.init()
                cpu.write(driver.base, b"".join(job))
                driver.tail = len(job)
                yield from driver.ring_and_wait()
        except Halted:
            self.ended.append(cpu.now)
        except Refused:
            self.refused.append(cpu.now)
            yield from cpu.hlt(AGAIN_NS)

    def result(self, until: int) -> BullyResult:
        """Return what it has counted, of all that was before `until`."""
        calls, ended, refused = (sum(ns <= until for ns in times) for times in (self.calls, self.ended, self.refused))
        return BullyResult(HUGE_CALL * calls, ended, refused, self.engine_ns(until))


@lru_cache(16)
def network(hidden: int) -> Network:
    """Return the network that was trained, or one of another size."""
    return digits.load().network if hidden == DIGITS else digits.sized(hidden)


@lru_cache(16)
def known(hidden: int) -> bytes:
    """Return what numpy says of the 450 digits with that network, a byte each."""
    return digits.predictions(digits.sums(network(hidden), digits.load().images))


class Serving:
    """A run of these `ServingParams`, which goes on in parts: `advance`.  ValueError for parameters that can't be."""

    def __init__(self, params: ServingParams) -> None:
        self.params = params.check()
        machine = Machine(params.costs, cores=params.guests + 1)
        self.guests = [machine.guest().attach(attachment("accelerator", "split", shared=MEMORY if bully else SHARED) if params.way == SERVICE
                                              else attachment("accelerator", "passthrough", virtual=params.way == FUNCTIONS))
                       for bully in [False] * params.tenants + [True] * (params.guests - params.tenants)]
        self._share(machine)
        machine.power_on()
        whole = network(params.hidden)
        self.tenants = [_Tenant(params, whole, number) for number in range(1, params.tenants + 1)]
        self.bully = _Bully(params, whole, self.tenants) if params.bully != NOBODY else None
        programs: list[Any] = [*self.tenants, *([self.bully] if self.bully else [])]
        for guest, one in zip(self.guests, programs, strict=True):
            guest.attachments[0].watch(one.spans.append, lambda span: None)
        self._run = machine.start(*((guest, one.program) for guest, one in zip(self.guests, programs)))

    def _share(self, machine: Machine) -> None:
        """Let all guests have what they share, with slices as long as it was said."""
        slice_ns, self.service = self.params.slice_us * 1000, None
        if self.params.way == SERVICE:
            self.service = AcceleratorService(machine.host, slice_ns)
            backends: list[Any] = [self.service] * len(self.guests)
        elif self.params.way == FUNCTIONS:
            device = HostAccelerator(machine.host, len(self.guests))
            device.engine.slice_ns = slice_ns
            backends = list(device.places)
        else:
            backends = [None] * len(self.guests)
        for guest, backend in zip(self.guests, backends):
            guest.backends[0] = backend

    def advance(self, answers: int | None = None) -> ServingResult:
        """Go on until each tenant has so many answers (None: all), and return what was counted until then."""
        if answers is None:
            self._run.to_the_end()
        else:
            while any(len(each.latencies) < min(answers, self.params.count) for each in self.tenants) and self._run.step():
                pass
        until = max(each.ended_ns for each in self.tenants)
        bully = self.bully.result(until) if self.bully else None
        return ServingResult(self.params, tuple(each.result(until) for each in self.tenants), bully,
                             engines=len(self.guests) if self.params.way == ENGINES else 1,
                             switches=self.service.switches if self.service else 0)


def run(params: ServingParams) -> ServingResult:
    """Serve all requests; a `ServingResult`.  ValueError for parameters that can't be."""
    return Serving(params).advance()


def in_parts(params: ServingParams, parts: int = 4) -> Iterator[ServingResult]:
    """Yield what was counted when a part of the requests has been answered, then two, and so on; the last is what `run` returns."""
    serving = Serving(params)
    for part in range(1, parts):
        yield serving.advance(params.count * part // parts)
    yield serving.advance()
