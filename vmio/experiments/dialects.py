"""What split drivers speak, VMBus or virtio, and which parameters of a run belong to one of the two alone."""

from typing import Any

from vmio.experiments import params as declared
from vmio.modes.attachments import DIALECTS

ONLY = {"vmbus": ("ring_kib", "doorbell", "vcpus", "channels", "confidential", "pool_kib", "signals"),
        "virtio": ("virtqueue", "entries", "indirect", "event_idx")}


def check(params: Any, *more: str) -> None:
    """Raise ValueError, one sentence, for a value other than the default that the other dialect alone has; `more` are VMBus's in this run."""
    if params.mode != "split":
        return
    specs = declared.specs(type(params))
    for dialect in DIALECTS:
        for name in (*ONLY[dialect], *(more if dialect == DIALECTS[0] else ())):
            if dialect != params.dialect and name in specs and getattr(params, name) != declared.default(type(params), name):
                raise ValueError(f"{specs[name].said(name, getattr(params, name))}: not in the dialect {params.dialect}; only in {dialect}")
