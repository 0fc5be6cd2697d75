"""A SCSI controller by split drivers as plain data and back: its protocol's state, its units, and the requests at the backend.

A request goes on in the other machine where it was: its backend finds it by the name that it gets here.
"""

from typing import Any

from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.vmbus.bus.packets import GpaRange
from vmio.vmbus.storage.scsi import Media
from vmio.vmbus.storage.srb import Srb
from vmio.vmbus.storage.storvsp import READY, StorVsp

VSP = Form("StorVSP", 1, "state", "protocol", "requests", "failures", "corrupt", "bounced", "bounce_pages", "bounce_max", "units",
           "under_way")
UNIT = Form("SCSI unit", 2, "lun", "stopped", "write_cache", "attention")
SRB = Form("SCSI request", 1, "request", "id", "payload", "ranges", "media", "lun", "transfer", "pages", "steps")


def save(vsp: StorVsp, saving: Saving) -> State:
    """Return it; `CheckpointRefused` while data are copied between a guest's buffer and the host's pages."""
    requests = []
    for number, srb in enumerate(vsp.under_way):
        if srb.bounced or vsp.bounce._waiting:
            raise CheckpointRefused(f"checkpoint at {saving.now} ns: a request of guest {vsp.guest.name} goes by pages of the host's "
                                    "(its buffer does not begin at a multiple of 4), which can't be saved")
        saving.names[id(srb)] = [vsp.guest.name, vsp.instance_id, number]
        requests.append(_save_srb(srb, saving))
    return VSP.state(
        state=vsp.state, protocol=vsp.version, requests=vsp.requests, failures=vsp.failures, corrupt=vsp.corrupt,
        bounced=vsp.bounced, bounce_pages=vsp.bounce.made, bounce_max=vsp.bounce.max_pages, under_way=requests,
        units=[UNIT.state(lun=lun, stopped=target.stopped, write_cache=target.write_cache, attention=target.attention) for lun, (target, _) in vsp.disks.items()])


def restore(vsp: StorVsp, state: State, restoring: Restoring) -> None:
    """Take it back, after the bus: its channel is open if it was."""
    saved = VSP.take(state)
    vsp.state = READY if saved["state"] == READY else saved["state"]
    vsp.version, vsp.requests, vsp.failures = saved["protocol"], saved["requests"], saved["failures"]
    vsp.corrupt, vsp.bounced, vsp.bounce.max_pages = saved["corrupt"], saved["bounced"], saved["bounce_max"]
    vsp.bounce.made, vsp.bounce._free = list(saved["bounce_pages"]), list(saved["bounce_pages"])
    same("StorVSP, units", [each["lun"] for each in saved["units"]], list(vsp.disks))
    for each in saved["units"]:
        unit = UNIT.take(each)
        target, _ = vsp.disks[unit["lun"]]
        target.stopped, target.write_cache = unit["stopped"], unit["write_cache"]
        target.attention = None if unit["attention"] is None else tuple(unit["attention"])
    for number, each in enumerate(saved["under_way"]):
        srb = restoring.named[vsp.guest.name, vsp.instance_id, number] = _restore_srb(vsp, each, restoring)
        vsp.under_way.begin(srb)


def _save_srb(srb: Srb, saving: Saving) -> State:
    lun = next((lun for lun, (target, _) in srb.vsp.disks.items() if target is srb.target), None)
    if lun is None:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a request of guest {srb.vsp.guest.name} is under way at a disk that was "
                                "taken away")
    return SRB.state(request=saving.names[id(srb.request)], id=srb.id, payload=srb.payload, ranges=srb.ranges, media=srb.media,
                     lun=lun, transfer=srb.transfer, pages=getattr(srb, "pages", None), steps=srb.steps)


def _restore_srb(vsp: StorVsp, state: State, restoring: Restoring) -> Srb:
    saved = SRB.take(state)
    request: Any = restoring.named[("request", *saved["request"])]
    srb = Srb(vsp, request, saved["id"], saved["payload"],
              tuple(GpaRange(count, offset, tuple(pages)) for count, offset, pages in saved["ranges"]))
    srb.media, srb.transfer = Media(*saved["media"]), saved["transfer"]
    srb.target, srb.backend = vsp.disks[saved["lun"]]
    if saved["pages"] is not None:
        srb.pages = saved["pages"]
    srb.steps = [tuple(step) for step in saved["steps"]]
    return srb
