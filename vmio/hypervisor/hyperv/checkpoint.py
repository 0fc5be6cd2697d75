"""What the hypervisor adds to a guest, as plain data and back: MSRs, pages, SynICs.

Pages are the host's memory; here is where they lie, and over which guest page.  Ports and call-backs belong
to who has opened them.
"""

from vmio.hypervisor.apic import EoiAssist
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import Enlightenments
from vmio.hypervisor.hyperv.synic import Synic
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timers

ENLIGHTENMENTS = Form("hypercalls and synthetic MSRs", 1, "guest_os_id", "hypercall", "pages", "shown", "assist_pages", "assist",
                      "icr", "posted", "signalled", "reference", "synics")
REFERENCE = Form("reference time", 1, "page", "sequence", "page_msr", "invariant")
SYNIC = Form("SynIC", 1, "control", "simp", "siefp", "sints", "queues", "delivered", "waited", "events", "merged", "timers")


def save(state: Enlightenments, saving: Saving) -> State:
    """Return all of it."""
    time = state.reference
    return ENLIGHTENMENTS.state(
        guest_os_id=state.guest_os_id, hypercall=state.hypercall_msr, pages=state.overlays._pages,
        shown=[[spa, *where] for spa, where in state.overlays._shown.items()], assist_pages=state._assist.items(),
        assist=state.assist_msrs, icr=state._icr, posted=state.posted, signalled=state.signalled,
        reference=REFERENCE.state(page=time.page, sequence=time.sequence, page_msr=time.page_msr, invariant=time.invariant),
        synics=[_save_synic(synic, saving) for synic in state.synics])


def timers(state: Enlightenments) -> Timers:
    """Return what the vCPUs' synthetic timers have on the guest's clock, as (name, timer) pairs."""
    return [(f"vCPU {synic.cpu.index}, timer {each.index}", each.timer) for synic in state.synics for each in synic.timers]


def restore(state: Enlightenments, saved: State, restoring: Restoring) -> None:
    """Take it back, before the vCPUs."""
    saved = ENLIGHTENMENTS.take(saved)
    state.guest_os_id, state.hypercall_msr = saved["guest_os_id"], saved["hypercall"]
    state.overlays._pages = list(saved["pages"])
    state.overlays._shown = {spa: (gpa, permissions) for spa, gpa, permissions in saved["shown"]}
    state._assist = {number: spa for number, spa in saved["assist_pages"]}
    state.assist_msrs, state._icr = list(saved["assist"]), list(saved["icr"])
    state.posted, state.signalled = saved["posted"], saved["signalled"]
    time, kept = state.reference, REFERENCE.take(saved["reference"])
    time.page, time.sequence, time.page_msr = kept["page"], kept["sequence"], kept["page_msr"]
    if kept["invariant"]:
        time.write_invariant(state.guest.cpu, kept["invariant"])
    for synic, each in zip(state.synics, saved["synics"], strict=True):
        _restore_synic(synic, each, restoring)
        number = synic.cpu.index
        if state.assist_msrs[number] & tlfs.ENABLE and not synic.cpu.virtual_apic:
            synic.cpu.apic.assist = EoiAssist(state.guest.host.memory.bytes, state._assist[number])


def _save_synic(synic: Synic, saving: Saving) -> State:
    return SYNIC.state(control=synic.control, simp=synic.simp, siefp=synic.siefp, sints=synic.sints, queues=synic.queues,
                       delivered=synic.delivered, waited=synic.waited, events=synic.events, merged=synic.merged,
                       timers=[timer.save(saving) for timer in synic.timers])


def _restore_synic(synic: Synic, saved: State, restoring: Restoring) -> None:
    saved = SYNIC.take(saved)
    synic.control, synic.simp, synic.siefp, synic.sints = saved["control"], saved["simp"], saved["siefp"], list(saved["sints"])
    for queue, messages in zip(synic.queues, saved["queues"], strict=True):
        queue.clear()
        queue.extend(tuple(message) for message in messages)
    synic.delivered, synic.waited, synic.events, synic.merged = (saved[name] for name in ("delivered", "waited", "events", "merged"))
    for timer, each in zip(synic.timers, saved["timers"], strict=True):
        timer.restore(each, restoring)
