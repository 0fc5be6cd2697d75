"""A processor that stands still, as plain data and back: registers, x87 and SSE, MSRs, descriptor caches, and what waits to be injected.

What every vCPU has is saved with its guest (`vmio/hypervisor/vcpu_state.py`), memory with its host.  Translated code and
the translator's TLB are in nobody's state: both come anew.  The registers are a row of numbers in the order in which the translator
keeps them, private to one version of it, which is compared; its pointers are left out, and so are hardware breakpoints, which it keeps
by pointers: a guest that has set some is refused.
"""

from typing import Any

from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.processors.unicorn import intercepts, layout, package

MACHINE_CODE = Form("machine code", 1, "unicorn", "registers", "injecting", "window", "late", "entries", "delivered")
BREAKPOINTS = 0xFF              # of DR7: those that are on


def save(cpu: Any) -> State:
    """Return the state of `cpu`, a `MachineCodeCpu` that is `paused`."""
    state = cpu.state
    state.save()
    if state.get(layout.DEBUG + 56) & BREAKPOINTS:
        raise CheckpointRefused(f"checkpoint at {cpu.now} ns: guest {cpu.guest.name} has set hardware breakpoints (DR7), which can't be saved")
    return MACHINE_CODE.state(
        unicorn=package.VERSION, registers=[state.part(first, end) for first, end in layout.PLAIN], injecting=cpu.injecting,
        window=cpu._window, late=cpu._late, entries=cpu.entries,
        delivered=[[vector, count] for vector, count in cpu.delivery.delivered.items()])


def restore(cpu: Any, saved: State) -> None:
    """Be that one again: a `cpu` that has just been powered on, over memory that is restored; its `run` goes on from there."""
    kept = MACHINE_CODE.take(saved)
    same("machine code, version of Unicorn", kept["unicorn"], package.VERSION)
    same("machine code, bytes of registers", [len(each) for each in kept["registers"]], [end - first for first, end in layout.PLAIN])
    state = cpu.state
    state.save()
    intercepts.arm(cpu.engine, state, sorted(cpu.guest.msrs))
    armed = state.get(layout.VMCB), state.get(layout.INTERCEPTS)
    for (first, _), data in zip(layout.PLAIN, kept["registers"]):
        state.put_part(first, data)
    if (state.get(layout.VMCB), state.get(layout.INTERCEPTS)) != armed or not state.get32(layout.HFLAGS) & layout.GUEST:
        raise CheckpointRefused("checkpoint, machine code: its registers are not those of a guest of ours")
    cpu.injecting, cpu._window, cpu._late, cpu.entries = kept["injecting"], kept["window"], kept["late"], kept["entries"]
    cpu.delivery.delivered.update({vector: count for vector, count in kept["delivered"]})
