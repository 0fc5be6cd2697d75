"""A disk that guests have whole or in parts, as plain data and back: its controllers, what they share of the medium, the IOMMU before it.

A command under way is saved by its controller; who has it in hand - the medium itself, a port of the arbiter, a burst that
was begun - refers to it by (controller, queue, command).
"""

from typing import Any

from vmio.hardware.nvme import checkpoint as nvme
from vmio.hardware.nvme.arbiter import Arbiter, Begun, Coming, Command, Port
from vmio.hardware.nvme.controller import NvmeController
from vmio.host.nvme import AssignableNvme
from vmio.host.physical import Then
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same, same_entries
from vmio.passthrough import checkpoint as passthrough
from vmio.passthrough.iommu import checkpoint as iommu

DISK = Form("assignable disk", 1, "iommu", "router", "function", "controllers", "arbiter", "at_medium", "passed", "asked")
ARBITER = Form("arbiter", 1, "commands", "ports", "lanes")
PORT = Form("port of a function", 1, "asked", "resets", "waiting")
LANE = Form("lane of the arbiter", 1, "turns", "under_way")
COMMAND = Form("command at the arbiter", 1, "to_begin", "to_end", "done")
# What the medium's time is for: a command, a burst of one, or a command that comes in later.
ENDS = Form("end of a command", 1, "at", "command")
BURST = Form("end of a burst", 1, "at", "lane", "command", "sectors")
COMES = Form("command that comes in", 1, "at", "port", "resets", "op", "sectors", "command")


def save(disk: AssignableNvme, saving: Saving) -> State:
    """Return it; `CheckpointRefused` while a driver of the host's has it."""
    host = disk.disk
    if host.used:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: {host.function.name} is the host's own and a guest's by turns, which "
                                "can't be saved")
    shared = Shared(disk, saving)
    return DISK.state(
        iommu=iommu.save(disk.iommu), router=passthrough.save_router(disk.router, host.host.guests),
        function=passthrough.save_function(host.function), controllers=[nvme.save(each) for each in shared.controllers],
        at_medium=shared.under_way, arbiter=shared.arbiter(), passed=host.medium._passed, asked=host.medium.clock.asked)


def restore(disk: AssignableNvme, state: State, restoring: Restoring) -> None:
    """Take it back, when host memory and guests are; the IOMMU last, for nothing that comes before may show in it."""
    saved, host = DISK.take(state), disk.disk
    controllers = _controllers(disk)
    passthrough.restore_function(host.function, saved["function"])
    same("assignable disk, controllers", len(saved["controllers"]), len(controllers))
    found = []
    for controller, each in zip(controllers, saved["controllers"]):
        same_entries("NVMe controller", {**each, "cqs": 0, "sqs": 0, "event_requests": 0},
                     {**controller.save(), "cqs": 0, "sqs": 0, "event_requests": 0})
        controller.forget()
        found.append(nvme.restore(controller, each, serve=False))
        controller.update_intx()
    kept, arbiter, ports = ARBITER.take(saved["arbiter"]), host.arbiter, _ports(controllers)
    commands = [_restore_command(each, controllers, found) for each in kept["commands"]]
    _restore_arbiter(arbiter, ports, kept, commands)
    for each in saved["at_medium"]:
        at, call = _restore_end(each, arbiter, ports, commands, controllers, found)
        restoring.call(at, Then(call))
    nvme.all_found(found)
    same_entries("medium", saved["passed"], host.medium._passed)
    host.medium._passed, host.medium.clock.asked = dict(saved["passed"]), saved["asked"]
    passthrough.restore_router(disk.router, saved["router"], host.host.guests)
    iommu.restore(disk.iommu, saved["iommu"])


def _controllers(disk: AssignableNvme) -> list[NvmeController]:
    """The physical function's, then the virtual ones'."""
    function = disk.disk.function
    return [each.device for each in (function, *function.children)]


def _ports(controllers: list[NvmeController]) -> list[Port]:
    return [each.service for each in controllers if isinstance(each.service, Port)]


class Shared:
    """What several controllers have in hand together, with a number for each command at the arbiter."""

    def __init__(self, disk: AssignableNvme, saving: Saving) -> None:
        self.controllers = _controllers(disk)
        self._arbiter = disk.disk.arbiter
        self._ports = _ports(self.controllers)
        self._commands = [command for port in self._ports for waiting in port.waiting.values() for command in waiting]
        self.under_way = [self._end(then.call, at) for then, at in saving.matching(Then, self._is_ours)]

    def _is_ours(self, then: Then) -> bool:
        call: Any = then.call
        if isinstance(call, Begun):
            return call.lane.arbiter is self._arbiter
        return call.port in self._ports if isinstance(call, Coming) else nvme.is_ours(call, self.controllers)

    def _end(self, call: Any, at: list[int]) -> State:
        """What happens when the medium, or the time, is there."""
        if isinstance(call, Begun):
            return BURST.state(at=at, lane=call.lane.op, command=self._number(call.command), sectors=call.sectors)
        if isinstance(call, Coming):
            gone = call.resets != call.port.resets
            return COMES.state(at=at, port=self._ports.index(call.port), resets=call.resets, op=call.op, sectors=call.sectors,
                               command=None if gone else nvme.under_way(call.done, self.controllers))
        return ENDS.state(at=at, command=nvme.under_way(call, self.controllers))

    def _number(self, command: Command) -> int:
        """The number of a command, which gets one if it has none: all of it has begun."""
        for number, each in enumerate(self._commands):
            if each is command:
                return number
        self._commands.append(command)
        return len(self._commands) - 1

    def arbiter(self) -> State:
        """Return who waits for the medium, and in which order."""
        places = [(number, waiting) for number, port in enumerate(self._ports) for waiting in port.waiting.values()]
        return ARBITER.state(
            ports=[PORT.state(asked=port.asked, resets=port.resets, waiting={
                op: [self._number(each) for each in waiting] for op, waiting in port.waiting.items()}) for port in self._ports],
            lanes={op: LANE.state(under_way=lane.under_way, turns=[
                next(number for number, waiting in places if waiting is turn) for turn in lane.turns])
                for op, lane in self._arbiter.lanes.items()},
            commands=[COMMAND.state(to_begin=each.to_begin, to_end=each.to_end, done=nvme.under_way(each.done, self.controllers))
                      for each in self._commands])


def _restore_command(state: State, controllers: list[NvmeController], found: list[nvme.Found]) -> Command:
    saved = COMMAND.take(state)
    command = Command(0, nvme.go_on(saved["done"], controllers, found))
    command.to_begin, command.to_end = saved["to_begin"], saved["to_end"]
    return command


def _restore_arbiter(arbiter: Arbiter, ports: list[Port], saved: State, commands: list[Command]) -> None:
    for port, each in zip(ports, saved["ports"], strict=True):
        kept = PORT.take(each)
        same("port of a function, what waits", sorted(kept["waiting"]), sorted(port.waiting))
        port.asked, port.resets = kept["asked"], kept["resets"]
        for op, numbers in kept["waiting"].items():
            port.waiting[op].clear()
            port.waiting[op].extend(commands[number] for number in numbers)
    same("arbiter, lanes", sorted(saved["lanes"]), sorted(arbiter.lanes))
    for op, each in saved["lanes"].items():
        lane, kept = arbiter.lanes[op], LANE.take(each)
        lane.under_way = kept["under_way"]
        lane.turns.clear()
        lane.turns.extend(ports[number].waiting[op] for number in kept["turns"])


def _restore_end(state: State, arbiter: Arbiter, ports: list[Port], commands: list[Command], controllers: list[NvmeController],
                 found: list[nvme.Found]) -> tuple[list[int], Any]:
    """(when, what the medium calls then)."""
    if "lane" in state:
        burst = BURST.take(state)
        return burst["at"], Begun(arbiter.lanes[burst["lane"]], commands[burst["command"]], burst["sectors"])
    if "port" in state:
        coming = COMES.take(state)
        return coming["at"], Coming(ports[coming["port"]], coming["resets"], coming["op"], coming["sectors"],
                                    nvme.go_on(coming["command"], controllers, found))
    end = ENDS.take(state)
    return end["at"], nvme.go_on(end["command"], controllers, found)
