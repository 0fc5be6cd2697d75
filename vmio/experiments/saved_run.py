"""A run of `vmio run` that is stopped at a time, kept as plain data, and run to its end elsewhere.

    paused = pause_disk(DiskParams(mode="split", guests=4, queue_depth=8), at_ns=400_000)
    result = resume(paused.state)              what `disk.run` would have given

The state holds what the run was told, with its requests or frames, and the machine.  The sectors of an image are not in it, but
their digest is: an image that is another, or was changed, is refused.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from vmio.experiments import disk, net
from vmio.experiments.disk_params import DiskParams
from vmio.experiments.disk_result import DiskResult, result
from vmio.experiments.net_params import NetParams
from vmio.experiments.net_result import NetResult
from vmio.experiments.traces.request import Request, Requests, Trace
from vmio.machine.checkpoint import CheckpointRefused, Form, State, plain, same
from vmio.machine.media.medium import STEP, Medium
from vmio.machine.net.pcap import Captured
from vmio.modes import Machine
from vmio.modes.checkpoint import damage_refused

SAVED = Form("run", 1, "device", "params", "work", "image", "machine")
KINDS: dict[str, Any] = {"disk": DiskParams, "net": NetParams}


class Paused(NamedTuple):
    """A run that stands still: its `state`, at which time (ns) it really stopped, after how many steps, and how much is `under_way`.

    That is requests that guests wait for, or frames that are still to come from outside.
    """

    state: State
    at_ns: int
    steps: int
    under_way: int


def pause_disk(params: DiskParams, at_ns: int, requests: Requests | None = None, image: Medium | None = None, name: str = "trace",
               where: str | None = None) -> Paused:
    """Return `disk.run` of these, stopped at the first event at `at_ns` of virtual time or later; `where` is the image's file.

    ValueError for what can't be run, and for a run that is over by then; `CheckpointRefused` for what can't be saved.
    """
    told, _, _, runs = disk.machine(params, requests, image, name, checkpoints=True)
    machine = runs[0].machine.machine
    steps = _until(machine, disk.start(runs), at_ns, told.mode)
    work = None if requests is None else [[list(each) for each in requests], list(requests.times_ns) if isinstance(requests, Trace) else None]
    state = _state("disk", told, work, None if image is None else [where, *digest(image)], machine)
    return Paused(state, int(machine.host.env.now), steps, sum(lane.under_way for run in runs for lane in run.lanes))


def pause_net(params: NetParams, at_ns: int, captured: Sequence[Captured], name: str = "capture") -> Paused:
    """Return the same of `net.run`."""
    one = net.planned(params, captured, name, checkpoints=True)
    machine = one.guest.machine
    steps = _until(machine, machine.start((one.guest, one.program)), at_ns, params.mode)
    state = _state("net", params, [[each.ns, each.frame] for each in captured], None, machine)
    return Paused(state, int(machine.host.env.now), steps, one.under_way)


def image_of(state: State) -> str | None:
    """Return the file of the image that the run had, or None."""
    image = SAVED.take(state)["image"]
    return None if image is None else image[0]


def resume(state: State, image: Medium | None = None) -> DiskResult | NetResult:
    """Run what was stopped to its end; `image` is the one that it had.

    `CheckpointRefused`, one sentence, for a state that is none, is damaged, or needs another image.
    """
    if not isinstance(state, dict) or "device" not in state:
        raise CheckpointRefused("checkpoint: it is none of a run; `vmio checkpoint` writes those")
    saved = SAVED.take(state)
    with damage_refused():
        params = _params(saved)
        if (saved["image"] is None) != (image is None):
            raise CheckpointRefused("checkpoint: the run had " + ("no image, and one is given" if image else "an image, which must be there"))
        if image is not None:
            same("image (sectors, and SHA-256 of what is in them)", saved["image"][1:], digest(image))
        if saved["device"] == "net":
            captured = [Captured(ns, frame) for ns, frame in saved["work"]]
            one = net.planned(params, captured, checkpoints=True)
            run = one.guest.machine.restore(saved["machine"], (one.guest, one.program))
        else:
            told, requests, _, runs = disk.machine(params, _requests(saved["work"]), image, checkpoints=True)
            run = runs[0].machine.machine.restore(saved["machine"], *disk.programs(runs))
    run.to_the_end()
    return net.result(one) if saved["device"] == "net" else result(told, requests, runs)


def digest(image: Medium) -> list:
    """Return [sectors, SHA-256 of where something is and what] of a medium; what is left out of it as zeros is not read."""
    found = hashlib.sha256()
    for start, end in image.extents():
        for lba in range(start, end, STEP):
            data = bytes(image.read(lba, min(STEP, end - lba)))
            if data.count(0) != len(data):
                found.update(lba.to_bytes(8, "little") + data)
    return [image.sectors, found.hexdigest()]


def _until(machine: Machine, run: Any, at_ns: int, mode: str) -> int:
    """Let the run come to the first event at `at_ns` or later; returns how many steps that took.

    A guest that is alone with emulated devices makes no events, so it gets one then.  No other gets any: when a vCPU with
    workers of the host beside it lets its time pass is part of what is counted.
    """
    env, alone = machine.host.env, mode == "emulated" and sum(len(guest.guest.vcpus) for guest in machine.guests) == 1
    while env.now < at_ns:
        if not run.step(at_ns - int(env.now) if alone else None):
            raise ValueError(f"--at {at_ns:,}: the run is over after {int(env.now):,} ns of virtual time; there is nothing left to be saved")
    return run.steps


def _state(device: str, params: Any, work: Any, image: list | None, machine: Machine) -> State:
    told = {each.name: getattr(params, each.name) for each in fields(params)}
    if not isinstance(told["costs"], str):
        raise CheckpointRefused("checkpoint: prices of one's own are in no file; a preset has a name")
    return plain(SAVED.state(device=device, params=told, work=work, image=image, machine=machine.save()))


def _params(saved: State) -> Any:
    kind = KINDS.get(saved["device"])
    if kind is None:
        raise CheckpointRefused(f"checkpoint, run: device {saved['device']!r}; {' and '.join(KINDS)} can be run")
    names = [each.name for each in fields(kind)]
    return kind(**{name: saved["params"][name] for name in Form("run's parameters", 1, *names).take({"version": 1, **saved["params"]})
                   if name != "version"}).check()


def _requests(work: Any) -> Requests | None:
    """The requests as they were, with their times if they had any."""
    if work is None:
        return None
    requests, times = work
    found = [Request(*each) for each in requests]
    if times is None:
        return found
    trace = Trace("checkpoint")
    trace.extend(found)
    trace.times_ns = array("q", times)
    return trace
