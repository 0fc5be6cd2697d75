"""The NVMe controller's state as plain data, and back.

What the medium, or an event, keeps waiting is saved as its 64-byte command and
started anew: until a command is answered nobody knows whether it was run, so
running it again is lawful.  Who has kept the medium's time, too, goes on with it
(`under_way`, `go_on`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.queues import CompletionQueue, Request, SubmissionQueue
from vmio.machine.checkpoint import CheckpointRefused, same_entries
from vmio.machine.contracts import State

Found: TypeAlias = dict[tuple[int, bytes], list[Request]]      # (queue, command) -> those that the medium had


def save(controller: Controller) -> State:
    """Registers, queues, answers that wait for room, commands under way, features, MSI-X."""
    events = controller.events
    return {"registers": controller.registers.hex(), "page": controller.page,
            "queues_created": controller.queues_created,
            "cqs": [cq.save() | {"waiting": [[request.sq.id, request.command.hex(), request.result, request.status]
                                             for request in cq.waiting]} for cq in controller.cqs.values()],
            "sqs": [sq.save() | {"requests": sorted(request.command.hex() for request in sq.requests
                                                    if request not in events.requests)}
                    for sq in controller.sqs.values()],
            "event_requests": [request.command.hex() for request in events.requests],
            "events": events.save(), "shadow": controller.shadow.save(), "features": controller.features.save(), "msix": controller.msix.save(),
            "counters": dict(controller.counters)}


def restore(controller: Controller, state: State, serve: bool = True) -> Found:
    """Put `state` into a controller that has no queues.

    Commands that the medium had begin anew, or are, without `serve`, returned by (queue, command): who has kept the
    medium's time goes on with them (`go_on`).
    """
    controller.registers[:] = bytes.fromhex(state["registers"])
    controller.set_page(state["page"])
    controller.queues_created, controller.counters = state["queues_created"], dict(state["counters"])
    controller.features.restore(state["features"])
    controller.shadow.restore(state["shadow"])
    controller.msix.restore(state["msix"])
    cqs, sqs, events = controller.cqs, controller.sqs, controller.events
    for saved in state["cqs"]:
        same_entries("NVMe, completion queue", saved, dict.fromkeys((*CompletionQueue.FIELDS, "waiting")))
        cq = cqs[saved["id"]] = CompletionQueue(0, 0, 2, 0, False)
        for name in CompletionQueue.FIELDS:
            setattr(cq, name, saved[name])
    for saved in state["sqs"]:
        same_entries("NVMe, submission queue", saved, dict.fromkeys((*SubmissionQueue.FIELDS, "cq", "requests")))
        sq = sqs[saved["id"]] = SubmissionQueue(saved["id"], saved["base"], saved["size"], cqs[saved["cq"]])
        sq.head, sq.tail = saved["head"], saved["tail"]
    for saved in state["cqs"]:
        for id, command, result, status in saved["waiting"]:
            request = _again(sqs[id], command)
            request.result, request.status, request.done = result, status, True
            cqs[saved["id"]].waiting.append(request)
    events.restore(state["events"])
    for command in state["event_requests"]:
        request = _again(sqs[0], command)
        events.requests.append(request)
        request.sq.requests.add(request)
    found: Found = {}
    for saved in state["sqs"]:
        for command in saved["requests"]:
            request = _again(sqs[saved["id"]], command)
            found.setdefault((saved["id"], request.command), []).append(request)
            if serve:
                controller.start(request)
    return found


def is_ours(done: Any, controllers: Sequence[Any]) -> bool:
    """Return whether this is what a medium calls when a command of one of the controllers is over."""
    return isinstance(done, partial) and getattr(done.func, "__self__", None) in controllers


def under_way(done: Any, controllers: Sequence[Any]) -> list | None:
    """Return the command that this ends as [number of the controller, queue, command, its memory]; None for one that has gone."""
    request, = done.args
    if request.done:
        return None
    return [controllers.index(done.func.__self__), request.sq.id, request.command, request.pieces or []]


def go_on(saved: list | None, controllers: Sequence[Any], found: Sequence[Found]) -> Callable[[], None]:
    """Return what the medium calls at the end of a command that was `under_way`; `found` has what `restore` found.

    `CheckpointRefused` for a command that the medium can't have had.
    """
    if saved is None:
        gone: Any = Request(None, b"")  # type: ignore[arg-type]  # its queue has gone, too
        gone.done = True
        return partial(controllers[0]._ready, gone)
    number, queue, command, pieces = saved
    controller, requests = controllers[number], found[number].get((queue, command))
    commands = controller.nvm if queue else controller.admin
    if not requests or command[0] not in commands.ends:
        raise CheckpointRefused(f"checkpoint, NVMe: the medium can't have had the command {command.hex()}")
    request = requests.pop()
    if queue:
        controller.nvm.place(request)
    request.pieces = [tuple(piece) for piece in pieces]
    request.sq.requests.add(request)
    return partial(controller._ready, request)


def all_found(found: Sequence[Found]) -> None:
    """`CheckpointRefused` unless the medium goes on with all that it had."""
    left = sum(len(requests) for each in found for requests in each.values())
    if left:
        raise CheckpointRefused(f"checkpoint, NVMe: nobody goes on with {left} commands that the medium had")


def _again(sq: SubmissionQueue, command: str) -> Request:
    sq.in_flight += 1
    return Request(sq, bytes.fromhex(command))
