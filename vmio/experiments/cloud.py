"""A cloud's storage: guests on one NVMe disk through StorVSP, a policy of the host between them, and one that gets a function of its own.

    result = run(CloudParams(policy="mclock"))
    print(result.table())

The disk's physical function is the host's: its block layer serves all guests, each on a slice.  A guest that is moved gets a
virtual function with the same bytes, while it runs: it brings the device up, lets the old way run empty, and goes on by the new one.
"""

from math import inf

from vmio.drivers.contracts import DiskDriver
from vmio.experiments.cloud_load import Load, Plan
from vmio.experiments.cloud_params import DISK_MIB, CloudGuest, CloudParams
from vmio.experiments.cloud_result import Busy, CloudResult, GuestResult
from vmio.experiments.pattern import pattern
from vmio.host.nvme import AssignableNvme
from vmio.host.physical import Slice
from vmio.host.policies import make
from vmio.hypervisor.contracts import Program, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.machine.storage import SECTOR
from vmio.modes import Machine, attachment
from vmio.modes.disk_assigned import Assignable
from vmio.modes.machine import GuestMachine
from vmio.passthrough import virtual

MIB = 1 << 20
LATER_MIB = 2                       # of a guest's RAM: for the driver of a function that comes later
RING_KIB = 32
UNSORTED = ("fifo", "limits")       # these keep no order of their own, so they hold nothing back from the disk
BEGIN_NS = 10_000_000               # since power-on: all guests are up by then, and requests begin to come


def run(params: CloudParams) -> CloudResult:
    """Run all guests to the end of their requests; a `CloudResult`."""
    return _Cloud(params.check()).result()


def _buffer(guest: CloudGuest) -> int:
    """Bytes of its longest request, in whole pages."""
    return max(PAGE, -(-max(each.sectors for each in guest.requests()) * SECTOR // PAGE) * PAGE)


class _Cloud:
    """The machine, its disk, and what each guest is to do."""

    def __init__(self, params: CloudParams) -> None:
        self.params = params
        self.media = [Overlay(pattern(DISK_MIB)) for _ in params.guests]
        machine = self.machine = Machine(params.costs, params.cores)
        self.guests = [self._plan_guest(machine, guest) for guest in params.guests]
        host = machine.host
        window = inf if params.window is None and params.policy in UNSORTED else params.window
        weights = self._weights() if params.arbitrated else ()
        self.nvme = AssignableNvme(host, self.media, used=True, arbitrated=params.arbitrated, weights=weights,
                                   scheduler=make(params.policy), window=window)
        self.functions = virtual.enable(self.nvme.disk.function, len(self.media)) if params.moved is not None else []
        layer, each = self.nvme.disk.layer, DISK_MIB * MIB // SECTOR
        for n, (guest, mine) in enumerate(zip(self.guests, params.guests)):
            guest.backends[0] = Slice(layer, n * each, each)
            layer.add(mine.name, mine.share)
        self.busy = Busy()
        watch(self.nvme.disk.medium, "begun", self.busy.begun)
        machine.power_on()
        self.began = host.env.now + BEGIN_NS
        self.loads = [Load(self._plan(n, guest)) for n, guest in enumerate(params.guests)]
        if params.moved is not None:
            host.at(self.began + params.moved_ns, lambda _: self._move())

    def _weights(self) -> list[int]:
        """Of the physical function and of each virtual one: only one of those is used."""
        own, other = self.params.function_weights
        return [own, *[other] * len(self.media)]

    @staticmethod
    def _plan_guest(machine: Machine, guest: CloudGuest) -> GuestMachine:
        disk = attachment("disk", "split", roomy=False, ring_kib=RING_KIB)
        ram = -(-(disk.driver_memory + guest.depth * _buffer(guest)) // MIB) + LATER_MIB
        return machine.guest(guest.name, disk, ram_mib=ram, later_mib=LATER_MIB)

    def _plan(self, number: int, guest: CloudGuest) -> Plan:
        """All that a guest is told of its requests."""
        params, known = self.params, guest.requests()
        at = list(guest.arrivals(params.duration_ns, params.seed))
        first = next((row for row, ns in enumerate(at) if ns >= params.moved_ns), len(at))
        return Plan([known[row % len(known)] for row in range(len(at))], at, first, guest.depth,
                    self.guests[number].attachments[0].driver_memory, _buffer(guest),
                    params.moved_ns if guest.name == params.moved else None)

    def _move(self) -> None:
        """The host gives the guest its function: the part of the disk that it has had all the time."""
        at = [guest.name for guest in self.params.guests].index(self.params.moved or "")
        self.machine.add(self.guests[at], attachment("disk", "passthrough"), backend=Assignable(self.functions[at], self.nvme))

    def result(self) -> CloudResult:
        """Run, and sort what happened."""
        def program(guest: GuestMachine, load: Load) -> Program:
            def whole(cpu: VCpu, disk: DiskDriver) -> Steps[Load]:
                yield from cpu.hlt(self.began - cpu.now)
                return (yield from load.program(guest, cpu, disk, self.began))
            return whole
        self.machine.run(*((guest, program(guest, load)) for guest, load in zip(self.guests, self.loads)))
        from_ns, until = self.params.moved_ns, max(load.last_ns for load in self.loads)
        return CloudResult(self.params, [GuestResult.of(guest, load, medium) for guest, load, medium in
                                         zip(self.params.guests, self.loads, self.media)],
                           until - from_ns, self.busy.within(self.began + from_ns, self.began + until))
