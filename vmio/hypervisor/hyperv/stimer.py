"""Synthetic timers: four a vCPU, which send a message to a SINT or raise a vector ("direct") when they expire.

A guest arms one by writing STIMERx_CONFIG and STIMERx_COUNT, an exit each; COUNT is the reference
time of a one-shot timer's end, or a period, in 100 ns units.  What the TLFS leaves open is done as
KVM does it: a write takes back an expiration that the guest hasn't been told of yet, and a periodic
timer signals once for all the periods that its vCPU has missed.

A timer whose last expiration the guest has not taken - the message waits for its slot, the vector
for its turn - could not tell it of another: it stands still until then, so an idle guest's timer
keeps nobody busy.

Source: TLFS, "Synthetic Timers"; Linux arch/x86/kvm/hyperv.c, OpenVMM vm/hv1/hv1_emulator/src/synic.rs.
"""

from typing import Any

from vmio.hypervisor.cores import Alarm
from vmio.hypervisor.faults import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timer

TIMER = Form("synthetic timer", 1, "config", "count", "due", "waiting", "parked", "expirations", "skipped", "set", "alarm")
MIN_PERIOD = 100   # 100 ns units: expirations nearer to each other are skipped (KVM has 200 us for its APIC timer and PIT)


class SyntheticTimer:
    """Timer `index` of a vCPU.  `config` and `count` are its MSRs; `due` is the reference time of its next end, or None.

    `waiting`: its message buffer, the only one, holds an expiration that the guest has not got yet.
    `parked`: it stands still until the guest has taken the last one.
    """

    def __init__(self, synic: Any, index: int) -> None:
        self.synic, self.index, self.cpu = synic, index, synic.cpu
        self.config = self.count = 0
        self.due: int | None = None
        self.waiting = self.parked = False
        self.expirations = self.skipped = 0
        self._set: Timer | None = None # of the guest's clock for `due`
        self._alarm = Alarm(self.cpu.env, self._expired)

    def reset(self) -> None:
        """Be off, as after power-on."""
        self._stop()
        self.config = self.count = 0

    @property
    def now(self) -> int:
        """The reference time for this vCPU; asleep, it is as late as everybody."""
        return self.cpu.guest.reference_time(max(self.cpu.now, self.cpu.env.now))

    @property
    def timer(self) -> Timer | None:
        """What it has on the guest's clock."""
        return self._set

    def save(self, saving: Saving) -> State:
        """Return registers and where it is."""
        return TIMER.state(config=self.config, count=self.count, due=self.due, waiting=self.waiting, parked=self.parked,
                           expirations=self.expirations, skipped=self.skipped, set=None if self._set is None else self._set.when,
                           alarm=self._alarm.save(saving))

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take back what `save` gave; the guest's clock puts its timer in order."""
        saved = TIMER.take(state)
        self.config, self.count, self.due = saved["config"], saved["count"], saved["due"]
        self.waiting, self.parked = saved["waiting"], saved["parked"]
        self.expirations, self.skipped = saved["expirations"], saved["skipped"]
        if saved["set"] is not None:
            self._set = self.cpu.clock.call_at(saved["set"], self._expired)
        if self.parked and self.config & tlfs.DIRECT:
            self.cpu.apic.taken = self.synic.vector_taken
        self._alarm.restore(saved["alarm"], restoring)

    # The guest's side: MSRs.

    def write_config(self, value: int) -> None:
        """STIMERx_CONFIG.  A timer that would send messages to SINT 0 is off; #GP for reserved bits."""
        if value & tlfs.STIMER_RESERVED:
            raise GuestFault(f"{self.cpu.guest.name}: #GP, STIMER{self.index}_CONFIG: {value:#x}; "
                             "bits 63 to 20 and 15 to 13 are reserved")
        self._stop()
        self.config = value if _allowed(value) else value & ~tlfs.ENABLE
        self._start()

    def write_count(self, value: int) -> None:
        """STIMERx_COUNT: 0 turns the timer off, anything else on if it has AutoEnable."""
        self._stop()
        self.count = value
        if not value:
            self.config &= ~tlfs.ENABLE
        elif self.config & tlfs.AUTO_ENABLE and _allowed(self.config):
            self.config |= tlfs.ENABLE
        self._start()

    # The SynIC's and the local APIC's side.

    def delivered(self, payload: bytes) -> bytes:
        """Return the payload of our message as it goes into its slot, with the time of that; the buffer is free."""
        record = tlfs.TIMER_PAYLOAD.parse(payload)
        self.waiting = False
        self._taken()
        return tlfs.TIMER_PAYLOAD.pack(timer=record.timer, expiration=record.expiration, delivery=self.now)

    def vector_taken(self, vector: int) -> None:
        """The vCPU takes an interrupt; if it is ours that it hadn't taken, the next may come."""
        if self.config & tlfs.DIRECT and self.vector == vector:
            self._taken()

    @property
    def vector(self) -> int:
        """The vector of direct mode."""
        return self.config >> tlfs.STIMER_VECTOR & 0xFF

    # Time.

    def _start(self) -> None:
        if not (self.config & tlfs.ENABLE and self.count):
            return
        self.due = self.now + self._step if self.config & tlfs.PERIODIC else self.count
        if self.due <= self.now:
            self._expired(by_host=False)      # within the guest's own exit
        else:
            self._arm()

    def _stop(self) -> None:
        if self._set is not None:
            self._set.cancel()
        self._alarm.off()
        self.due = self._set = None
        self.parked = False
        if self.waiting:
            self.waiting = False
            self.synic.withdraw(self.index)

    def _arm(self) -> None:
        self._set = self.cpu.clock.call_at(self._due_ns, self._expired)

    @property
    def _due_ns(self) -> int:
        return self.cpu.guest.reference_ns(self.due)

    @property
    def _step(self) -> int:
        """From one expiration to the next: whole periods, and not less than the least."""
        return self.count * -(-MIN_PERIOD // self.count)

    def _expired(self, by_host: bool = True) -> None:
        """The time has come; `by_host`: and the host's timer has interrupted the core for it."""
        self._set = None
        if self.due is None:
            return
        now, due = self.now, self.due
        if now < due:            # another vCPU's time, ahead of ours, has moved the guest's clock
            self._alarm.at(self._due_ns)
        elif not self.config & tlfs.PERIODIC:
            self.config &= ~tlfs.ENABLE
            self.due = None
            self._signal(due, by_host)
        else:
            self._next(now)
            if self.config & tlfs.LAZY and self.due - now < self._step // 8:
                self.skipped += 1        # the vCPU comes so late that the next is near: TLFS, "Periodic Timers"
            else:
                self._signal(due, by_host)
            self.parked = self._untaken()
            if not self.parked:
                self._arm()

    def _next(self, now: int) -> None:
        """`due` becomes the first expiration after `now`; what lies between is skipped."""
        assert self.due is not None
        steps = 1 + (now - self.due) // self._step
        self.skipped += steps * (self._step // self.count) - 1
        self.due += steps * self._step

    def _signal(self, due: int, by_host: bool) -> None:
        self.expirations += 1
        if not self.config & tlfs.DIRECT:
            self.waiting = True
            self.synic.timer_message(self.config >> tlfs.STIMER_SINT & 0xF,
                                     tlfs.TIMER_PAYLOAD.pack(timer=self.index, expiration=due), by_host)
        elif self.vector >= 16:       # the APIC takes no other
            self.cpu.apic.request(self.vector, by_host)

    def _untaken(self) -> bool:
        """Must the guest still take our last expiration, if it ever will?"""
        if not self.config & tlfs.DIRECT:
            return self.waiting
        self.cpu.apic.taken = self.synic.vector_taken
        return self.vector < 16 or bool(self.cpu.apic.irr >> self.vector & 1)

    def _taken(self) -> None:
        if self.parked:
            self.parked = False
            if self.due is not None and self.due <= self.now:
                self.skipped += 1
                self._next(self.now)
            self._arm()


def _allowed(config: int) -> bool:
    """May a timer with this configuration be enabled?"""
    return bool(config & tlfs.DIRECT or config >> tlfs.STIMER_SINT & 0xF)
