"""The host's physical disk as plain data and back: controller, driver, block layer, and all requests under way in them.

Each request is saved once, in the block layer, by a number; driver, scheduler and waiting flushes refer to it.
"""

from vmio.drivers.nvme import NvmeDriver, QueuePair
from vmio.hardware.nvme import checkpoint as nvme
from vmio.hardware.nvme.controller import NvmeController
from vmio.host import queue_checkpoint as policy
from vmio.host.block import BlockLayer, Request
from vmio.host.physical import Part, PhysicalDisk, Then
from vmio.host.service import Samples, Service
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same, same_entries

DISK = Form("physical disk", 2, "slices", "controller", "at_medium", "passed", "asked", "driver", "layer")
DRIVER = Form("NVMe driver", 1, "pairs", "submitted", "completed", "doorbells")
PAIR = Form("queue pair", 1, "tail", "head", "rung", "phase", "free", "tags")
LAYER = Form("block layer", 2, "requests", "services", "queue", "at_device", "sectors", "refused", "alarms", "ringing", "reaping",
             "asked", "depth")
REQUEST = Form("block request", 1, "guest", "op", "lba", "sectors", "pages", "submitted", "started", "part", "began", "for")
SERVICE = Form("service", 1, "counts", "stride", "skip", "values", "writes", "flushes")
COUNTS = ("requests", "bytes", "errors", "refused", "aborted", "waiting_ns", "device_ns", "outstanding")


def save(disk: PhysicalDisk, saving: Saving) -> State:
    """Return it; `CheckpointRefused` for requests that nobody else has described, or another policy."""
    numbers, requests = _numbered(disk, saving)
    return DISK.state(
        slices=[[each.first, each.sectors] for each in disk.slices], controller=nvme.save(disk.controller),
        at_medium=_at_medium(disk.controller, saving), passed=disk.time._passed, asked=disk.time.clock.asked,
        driver=_save_driver(disk.driver, numbers), layer=_save_layer(disk, numbers, requests, saving))


def restore(disk: PhysicalDisk, state: State, restoring: Restoring) -> None:
    """Take it back into one that was just brought up, after those for whom its requests are."""
    saved = DISK.take(state)
    same("physical disk, slices", saved["slices"], [[each.first, each.sectors] for each in disk.slices])
    layer = LAYER.take(saved["layer"])
    requests = [_restore_request(disk, each, restoring) for each in layer["requests"]]
    _restore_layer(disk.layer, layer, requests, restoring)
    _restore_driver(disk.driver, saved["driver"], requests)
    same_entries("medium", saved["passed"], disk.time._passed)
    disk.time._passed, disk.time.clock.asked = dict(saved["passed"]), saved["asked"]
    controller = disk.controller
    same_entries("NVMe controller", {**saved["controller"], "cqs": 0, "sqs": 0, "event_requests": 0},
                 {**controller.save(), "cqs": 0, "sqs": 0, "event_requests": 0})
    controller.forget()
    found = [nvme.restore(controller, saved["controller"], serve=False)]
    for at, which in saved["at_medium"]:
        restoring.call(at, Then(nvme.go_on(which, [controller], found)))
    nvme.all_found(found)
    controller.update_intx()


def _numbered(disk: PhysicalDisk, saving: Saving) -> tuple[dict[int, int], list[Request]]:
    """(number by id, requests) of all that the block layer has in hand."""
    layer, queue = disk.layer, disk.layer.queue
    found: list[Request] = []
    found += [tag for pair in disk.driver.pairs for tag in pair.tags if tag is not None]
    found += policy.waiting(queue)
    for service in layer.services.values():
        found += [request for request, _ in service.flushes]
        found += [request for request in service.writes if all(request is not other for other in found)]
    if layer._refused is not None:
        found.append(layer._refused)
    return {id(request): number for number, request in enumerate(found)}, found


def _save_request(request: Request, slices: list, saving: Saving) -> State:
    part = request.done
    name = saving.names.get(id(getattr(part.done, "__self__", None))) if isinstance(part, Part) else None
    if not isinstance(part, Part) or name is None:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a {request.op} of {request.guest} is for somebody who can't be saved")
    return REQUEST.state(
        guest=request.guest, op=request.op, lba=request.lba, sectors=request.sectors, pages=request.pages,
        submitted=request.submitted, started=request.started, part=slices.index(part.part), began=part.began, **{"for": name})


def _restore_request(disk: PhysicalDisk, state: State, restoring: Restoring) -> Request:
    saved = REQUEST.take(state)
    srb = restoring.named[tuple(saved["for"])]
    part = Part(disk.slices[saved["part"]], saved["began"], srb._done)
    request = Request(saved["guest"], saved["op"], saved["lba"], saved["sectors"], saved["pages"], part, saved["submitted"])
    request.started = saved["started"]
    return request


def _save_layer(disk: PhysicalDisk, numbers: dict[int, int], requests: list[Request], saving: Saving) -> State:
    layer, slices = disk.layer, disk.slices
    return LAYER.state(
        requests=[_save_request(each, slices, saving) for each in requests],
        services=[[name, _save_service(name, each, numbers, saving)] for name, each in layer.services.items()],
        queue=policy.save(layer.queue, numbers),
        at_device=sorted(numbers[id(each)] for each in layer.at_device), sectors=layer._sectors,
        refused=None if layer._refused is None else numbers[id(layer._refused)], alarms=saving.calls(layer._alarm),
        ringing=saving.calls(layer._ring), reaping=saving.calls(layer._reap), asked=layer._asked, depth=layer.depth)


def _restore_layer(layer: BlockLayer, saved: State, requests: list[Request], restoring: Restoring) -> None:
    layer.queue = policy.restore(saved["queue"], requests)
    layer.services.update({name: _restore_service(each, requests) for name, each in saved["services"]})
    layer.at_device = {requests[number] for number in saved["at_device"]}
    layer._sectors, layer._asked, layer.depth = saved["sectors"], saved["asked"], saved["depth"]
    layer._refused = None if saved["refused"] is None else requests[saved["refused"]]
    layer._alarms = sorted((at[0] for at in saved["alarms"]), reverse=True)
    layer._ringing, layer._reaping = bool(saved["ringing"]), bool(saved["reaping"])
    for ats, call in ((saved["alarms"], layer._alarm), (saved["ringing"], layer._ring), (saved["reaping"], layer._reap)):
        for at in ats:
            restoring.call(at, call)


def _save_service(name: str, service: Service, numbers: dict[int, int], saving: Saving) -> State:
    if not service.open or service.drained is not None:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {name} leaves the block layer; let its requests end first")
    samples = service.latencies
    return SERVICE.state(
        counts=[getattr(service, each) for each in COUNTS], stride=samples.stride, skip=samples._skip, values=samples.values,
        writes=sorted(numbers[id(each)] for each in service.writes),
        flushes=[[numbers[id(request)], sorted(numbers[id(each)] for each in earlier)] for request, earlier in service.flushes])


def _restore_service(state: State, requests: list[Request]) -> Service:
    saved = SERVICE.take(state)
    service, samples = Service(), Samples()
    for name, value in zip(COUNTS, saved["counts"], strict=True):
        setattr(service, name, value)
    samples.stride, samples._skip, samples.values = saved["stride"], saved["skip"], list(saved["values"])
    service.latencies = samples
    service.writes = {requests[number] for number in saved["writes"]}
    service.flushes = [(requests[number], {requests[each] for each in earlier}) for number, earlier in saved["flushes"]]
    return service


def _save_driver(driver: NvmeDriver, numbers: dict[int, int]) -> State:
    return DRIVER.state(pairs=[_save_pair(pair, numbers) for pair in (driver.admin, *driver.pairs)], submitted=driver.submitted,
                        completed=driver.completed, doorbells=driver.doorbells)


def _save_pair(pair: QueuePair, numbers: dict[int, int]) -> State:
    return PAIR.state(tail=pair.tail, head=pair.head, rung=pair.rung, phase=pair.phase, free=pair.free,
                      tags=[None if tag is None else numbers[id(tag)] for tag in pair.tags])


def _restore_driver(driver: NvmeDriver, state: State, requests: list[Request]) -> None:
    saved = DRIVER.take(state)
    driver.submitted, driver.completed, driver.doorbells = saved["submitted"], saved["completed"], saved["doorbells"]
    for pair, each in zip((driver.admin, *driver.pairs), saved["pairs"], strict=True):
        kept = PAIR.take(each)
        pair.tail, pair.head, pair.rung, pair.phase = kept["tail"], kept["head"], kept["rung"], kept["phase"]
        pair.free = list(kept["free"])
        pair.tags = [None if number is None else requests[number] for number in kept["tags"]]


def _at_medium(controller: NvmeController, saving: Saving) -> list:
    """[when, which command], of what the medium has in hand."""
    return [[at, nvme.under_way(then.call, [controller])]
            for then, at in saving.matching(Then, lambda then: nvme.is_ours(then.call, [controller]))]
