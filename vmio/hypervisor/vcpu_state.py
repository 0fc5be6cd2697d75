"""A vCPU as plain data and back; its guest's programs are saved by `recorded.py`, the guest's handlers are the programs' to install."""

from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, Form, State

VCPU = Form("vCPU", 1, "now", "paid", "unmoved", "enabled", "int_level", "interrupts", "spurious", "compute_ns", "idle_ns",
            "auto_eoi", "apic", "alarm", "rows", "halted", "owed", "core", "asleep", "in_guest", "armed", "halts_until")


def save(cpu: VCpu, saving: Saving) -> State:
    """Return its state, a wait that is under way included."""
    return VCPU.state(
        now=cpu.now, paid=cpu._paid, unmoved=cpu._unmoved, enabled=cpu.interrupts_enabled, int_level=cpu._int_level,
        interrupts=cpu.interrupts, spurious=cpu.spurious, compute_ns=cpu.compute_ns, idle_ns=cpu.idle_ns,
        auto_eoi=sorted(cpu.auto_eoi), apic=cpu.apic.save(), alarm=cpu._alarm.save(saving), rows=cpu.table.save(),
        halted=cpu._halted, owed=saving.at(cpu._owed), core=cpu._core.save(saving),
        asleep=None if cpu._asleep is None else [saving.at(cpu._asleep)],
        in_guest=cpu.in_guest.save(), armed=cpu._armed, halts_until=cpu.halts_until)


def restore(cpu: VCpu, state: State, restoring: Restoring) -> None:
    """Take back what `save` gave, when the devices are restored; a wait goes on with `cpu.go_on`."""
    saved = VCPU.take(state)
    cpu.now, cpu._paid, cpu._unmoved = saved["now"], saved["paid"], saved["unmoved"]
    cpu.interrupts_enabled, cpu.auto_eoi = saved["enabled"], set(saved["auto_eoi"])
    cpu.interrupts, cpu.spurious = saved["interrupts"], saved["spurious"]
    cpu.compute_ns, cpu.idle_ns = saved["compute_ns"], saved["idle_ns"]
    cpu.table.restore(saved["rows"])
    cpu.apic.restore(saved["apic"])
    cpu._alarm.restore(saved["alarm"], restoring)
    cpu._core.restore(saved["core"], restoring)
    cpu.in_guest.restore(saved["in_guest"])
    cpu._armed, cpu.halts_until, cpu._halted = saved["armed"], saved["halts_until"], saved["halted"]
    cpu._owed = None if saved["owed"] is None else restoring.event(saved["owed"])
    cpu._asleep = None if saved["asleep"] is None else restoring.event(saved["asleep"][0])
    cpu._wake = None if cpu._asleep is None or cpu._asleep.triggered else cpu._asleep
    if cpu._int_level != saved["int_level"]:
        raise CheckpointRefused(f"checkpoint, {cpu.guest.name}: its interrupt controller says {cpu._int_level}, "
                                f"its vCPU was told {saved['int_level']}")
    cpu.attention = bool(cpu._int_level) or cpu.apic.ready
