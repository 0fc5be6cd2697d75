"""Halt polling: before the host gives a halted vCPU's core away, it looks for a while whether something comes.

Who is woken while the host still looks goes on at once; who is not has cost the host that time for nothing.  So the time adapts, vCPU
by vCPU: it grows while halts end soon after it, and is given up after a long one.  The host looks only while nobody else wants the
core, so nobody has to wait for it.  Decision by decision this is KVM's: Linux 6.1, virt/kvm/kvm_main.c (kvm_vcpu_halt,
grow_halt_poll_ns, shrink_halt_poll_ns), Documentation/virt/kvm/halt-polling.rst.
"""

from vmio.hypervisor.costs import CostModel

MAX_NS, GROW, GROW_START_NS, SHRINK = 200_000, 2, 10_000, 0      # x86's defaults


class HaltPoll:
    """One vCPU's: `ns` is how long the host looks at the next halt.  ValueError for times and factors below 0.

    With `shrink` 0 a long halt ends it, otherwise it divides.  `successes` and `fails` count halts, with the time that was looked.
    """

    def __init__(self, max_ns: int = MAX_NS, grow: int = GROW, grow_start_ns: int = GROW_START_NS, shrink: int = SHRINK) -> None:
        for name, value in (("max_ns", max_ns), ("grow", grow), ("grow_start_ns", grow_start_ns), ("shrink", shrink)):
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"halt polling: {name} {value!r}; a whole number from 0 on")
        self.max_ns, self.grow, self.grow_start_ns, self.shrink = max_ns, grow, grow_start_ns, shrink
        self.ns = 0
        self.successes = self.fails = self.success_ns = self.fail_ns = 0

    def halted(self, ns: int) -> bool:
        """Take note of a halt of so long; returns whether it ended while the host still looked."""
        looked = self.ns = min(self.ns, self.max_ns)
        success = 0 < looked and ns <= looked
        if success:
            self.successes += 1
            self.success_ns += ns
        elif looked:
            self.fails += 1
            self.fail_ns += looked
        if ns > looked:
            if looked and ns > self.max_ns:
                self._shrink()
            elif looked < self.max_ns and ns < self.max_ns:
                self.ns = max(looked * self.grow, self.grow_start_ns) if self.grow else looked
        return success

    def _shrink(self) -> None:
        self.ns = self.ns // self.shrink if self.shrink else 0
        if self.ns < self.grow_start_ns:
            self.ns = 0

    def wakes(self, halted_ns: int, costs: CostModel) -> int:
        """Return how long it takes to go on after such a halt, ns: a last look if the host was still there, else a whole wake-up."""
        return costs.poll_ns if self.halted(halted_ns) else costs.wakeup_ns
