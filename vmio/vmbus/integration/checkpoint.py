"""An integration service as plain data and back: what was agreed on, what the guest was asked, and when it is asked again.

The bus saves rings and workers.  Who hears an answer is saved by name; a caller's own function has none.
"""

from collections import Counter, deque

from vmio.hypervisor.pending import Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same_entries
from vmio.vmbus.integration.service import MOST, Request, Service

SERVICE = Form("integration service", 1, "framework", "agreed", "up", "asked", "waiting", "refused", "counts", "due")
REQUEST = Form("request of an integration service", 1, "kind", "body", "answers")


def save(service: Service, saving: Saving) -> State:
    """Return it; `CheckpointRefused` while somebody else than the service itself waits for an answer."""
    asked = service._asked
    return SERVICE.state(
        framework=service.framework, agreed=service.version, up=service.up, asked=asked and _save_request(service, asked, saving),
        waiting=[_save_request(service, each, saving) for each in service._waiting], refused=dict(service.refused),
        counts={name: getattr(service, name) for name in service.counts}, due=service.timer and service.timer.when)


def restore(service: Service, state: State) -> None:
    """Take it back, after the bus: its channel is open if it was."""
    saved = SERVICE.take(state)
    (major, minor), (newest, lesser) = saved["framework"], saved["agreed"]
    service.framework, service.version, service.up = (major, minor), (newest, lesser), saved["up"]
    if len(saved["waiting"]) > MOST:
        raise CheckpointRefused(f"checkpoint, integration service: {len(saved['waiting'])} requests wait; at most {MOST}")
    service._asked = None if saved["asked"] is None else _restore_request(service, saved["asked"])
    service._waiting = deque(_restore_request(service, each) for each in saved["waiting"])
    service.refused = Counter(saved["refused"])
    same_entries("integration service, counts", saved["counts"], dict.fromkeys(service.counts))
    for name in service.counts:
        setattr(service, name, saved["counts"][name])
    service.timer = None if saved["due"] is None else service.guest.clock.call_at(saved["due"], service.tick)


def _save_request(service: Service, request: Request, saving: Saving) -> State:
    name = next((name for name, answered in service.answers.items() if answered == request.answered), None)
    if name is None:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: guest {service.guest.name} is asked something, and who waits for the answer "
                                "can't be saved")
    return REQUEST.state(kind=request.kind, body=request.body, answers=name)


def _restore_request(service: Service, state: State) -> Request:
    saved = REQUEST.take(state)
    return Request(saved["kind"], saved["body"], service.answers[saved["answers"]])
