"""The NVMe controller's state as plain data, and back.

What the medium, or an event, keeps waiting is saved as its 64-byte command and
started anew: until a command is answered nobody knows whether it was run, so
running it again is lawful.
"""

from vmio.hardware.nvme.queues import CompletionQueue, Request, SubmissionQueue


def save(controller):
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
            "events": events.save(), "features": controller.features.save(), "msix": controller.msix.save(),
            "counters": dict(controller.counters)}


def restore(controller, state):
    """Put `state` into a controller that has no queues."""
    controller.registers[:] = bytes.fromhex(state["registers"])
    controller.set_page(state["page"])
    controller.queues_created, controller.counters = state["queues_created"], dict(state["counters"])
    controller.features.restore(state["features"])
    controller.msix.restore(state["msix"])
    cqs, sqs, events = controller.cqs, controller.sqs, controller.events
    for saved in state["cqs"]:
        cq = cqs[saved["id"]] = CompletionQueue(0, 0, 2, 0, False)
        for name in CompletionQueue.FIELDS:
            setattr(cq, name, saved[name])
    for saved in state["sqs"]:
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
    for saved in state["sqs"]:
        for command in saved["requests"]:
            controller.start(_again(sqs[saved["id"]], command))


def _again(sq, command):
    sq.in_flight += 1
    return Request(sq, bytes.fromhex(command))
