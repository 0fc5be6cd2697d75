"""SynIC, the synthetic interrupt controller of a vCPU: sixteen SINTs, a message page, an event-flags page.

A message goes into the slot of its SINT if the slot is free; otherwise it waits,
the slot's "pending" bit asks the guest to write EOM when it has emptied it, and
EOM (or the interrupt's EOI) makes the hypervisor try again.  An event is one
bit; it interrupts only when it changes from 0 to 1.
Source: TLFS, "Inter-Partition Communication"; OpenVMM vm/hv1/hv1_emulator/src/synic.rs.
"""

from collections import deque
from collections.abc import Callable

from vmio.hypervisor.contracts import OverlayPages
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.stimer import SyntheticTimer
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Buffer

QUEUE = 16  # messages that wait for a slot: the buffers of a port (TLFS, "Ports")


class Synic:
    """The SynIC of `cpu`.  `post` and `signal` are the hypervisor's side, the MSRs are the guest's."""

    def __init__(self, cpu: VCpu, overlays: OverlayPages) -> None:
        self.cpu, self._overlays = cpu, overlays
        self._bytes = cpu.guest.host.memory.bytes
        self._messages = overlays.page()   # SPAs of the two pages; the guest says where it sees them
        self._flags = overlays.page()
        self.on_free: Callable[[int], None] | None = None   # (time in ns), when a message has left a queue
        self.delivered = self.waited = self.events = self.merged = 0
        self.queues: list[deque] = [deque() for _ in range(tlfs.SINTS)]   # of (message type, payload, sender)
        self.timers = [SyntheticTimer(self, n) for n in range(tlfs.STIMERS)]
        self.reset()

    def reset(self) -> None:
        """Be as after power-on: all off, all SINTs masked, pages empty, nothing waiting."""
        self.control = self.simp = self.siefp = 0
        self.sints = [tlfs.MASKED] * tlfs.SINTS
        for timer in self.timers:
            timer.reset()
        for queue in self.queues:
            queue.clear()
        for page in (self._messages, self._flags):
            self._overlays.hide(page)
            self._bytes[page:page + 4096] = bytes(4096)
        self.cpu.auto_eoi.clear()

    # The hypervisor's side.

    def post(self, sint: int, message_type: int, payload: Buffer, sender: int = 0) -> bool:
        """Deliver a message, or let it wait for its slot.  False if too many wait already."""
        queue = self.queues[sint]
        if len(queue) - sum(each[0] == tlfs.TIMER_EXPIRED for each in queue) >= QUEUE:
            return False
        queue.append((message_type, payload, sender))
        self._deliver(sint)
        self.waited += bool(queue)
        return True

    def timer_message(self, sint: int, payload: bytes, by_host: bool) -> None:
        """Deliver a timer's message, or let it wait; it has a buffer of its own (TLFS, "Message Sources").

        `by_host`: the host's own timer has interrupted the core (see `LocalApic.request`).
        """
        self.queues[sint].append((tlfs.TIMER_EXPIRED, payload, 0))
        self._deliver(sint, by_host)

    def withdraw(self, timer: int) -> None:
        """Take back the message of a timer that waits for its slot."""
        for queue in self.queues:
            for message in list(queue):
                if message[0] == tlfs.TIMER_EXPIRED and tlfs.TIMER_PAYLOAD.parse(message[1]).timer == timer:
                    queue.remove(message)

    def vector_taken(self, vector: int) -> None:
        """The vCPU takes this vector; a direct timer may have waited for it."""
        for timer in self.timers:
            timer.vector_taken(vector)

    def _deliver(self, sint: int, by_host: bool = False) -> None:
        """Move the oldest waiting message into the slot, if the slot is there and free."""
        queue = self.queues[sint]
        if not (queue and self.control & self.simp & tlfs.ENABLE):
            return
        slot = self._messages + tlfs.SLOT * sint
        if any(self._bytes[slot:slot + 4]):
            # Real hardware must look at the type once more after this store, or it could miss a guest that has
            # just emptied the slot and read the old flags.  Here no guest instruction can come in between.
            self._bytes[slot + 5] |= tlfs.MESSAGE_PENDING
            return
        message_type, payload, sender = queue.popleft()
        if message_type == tlfs.TIMER_EXPIRED:
            payload = self.timers[tlfs.TIMER_PAYLOAD.parse(payload).timer].delivered(payload)
        data = tlfs.MESSAGE.pack(message_type=message_type, size=len(payload), sender=sender, payload=payload,
                                 flags=tlfs.MESSAGE_PENDING if queue else 0)
        self._bytes[slot:slot + len(data)] = data
        self.delivered += 1
        self._interrupt(sint, by_host)
        if self.on_free is not None:
            self.on_free(self.cpu.now)

    def signal(self, sint: int, flag: int) -> int:
        """Set event flag `flag` (0 to 2,047) of a SINT.

        The status is 18h, and no flag stays behind, if the SynIC or its flags page is off or the SINT is
        masked (TLFS, "Event Flag Delivery").  Polling has the effect of unmasking (TLFS, "SINTx Registers").
        """
        if not self.control & self.siefp & tlfs.ENABLE or self.sints[sint] & (tlfs.MASKED | tlfs.POLLING) == tlfs.MASKED:
            return tlfs.INVALID_SYNIC_STATE
        at, bit = self._flags + tlfs.SLOT * sint + (flag >> 3), 1 << (flag & 7)
        if self._bytes[at] & bit:
            self.merged += 1
            return tlfs.SUCCESS
        self._bytes[at] |= bit
        self.events += 1
        self._interrupt(sint)
        return tlfs.SUCCESS

    def _interrupt(self, sint: int, by_host: bool = False) -> None:
        """An edge on the SINT's vector; a masked or polled SINT loses it."""
        value = self.sints[sint]
        if not value & (tlfs.MASKED | tlfs.POLLING):
            self.cpu.apic.request(value & 0xFF, by_host)

    # The guest's side: MSRs.

    def write_control(self, value: int) -> None:
        """SCONTROL: bit 0 turns the SynIC on."""
        self.control = value
        self._scan()

    def write_simp(self, value: int) -> None:
        """SIMP: bit 0 shows the message page at bits 63:12."""
        self._show("SIMP", self._messages, value)
        self.simp = value
        self._scan()

    def write_siefp(self, value: int) -> None:
        """SIEFP: bit 0 shows the event-flags page at bits 63:12."""
        self._show("SIEFP", self._flags, value)
        self.siefp = value

    def _show(self, name: str, page: int, value: int) -> None:
        if value & tlfs.ENABLE:
            self._overlays.show(name, page, value & tlfs.PAGE_MASK)
        else:
            self._overlays.hide(page)

    def write_sint(self, sint: int, value: int) -> None:
        """SINTx: vector, mask, AutoEOI.  #GP for a vector below 16 that isn't masked."""
        if value & 0xFF < 16 and not value & tlfs.MASKED:
            raise GuestFault(f"{self.cpu.guest.name}: #GP, SINT{sint}: vector {value & 0xFF}; 16 to 255")
        self.sints[sint] = value
        self.cpu.auto_eoi.clear()
        self.cpu.auto_eoi.update(v & 0xFF for v in self.sints if v & tlfs.AUTO_EOI and not v & tlfs.MASKED)

    def end_of_message(self, value: int) -> None:
        """EOM: the guest has emptied a slot whose pending bit was set.  All bits are reserved: #GP unless 0."""
        if value:
            raise GuestFault(f"{self.cpu.guest.name}: #GP, EOM: {value:#x}; all bits are reserved")
        self._scan()

    def end_of_interrupt(self) -> None:
        """EOI by an MSR that exits; messages for a SINT of that vector are tried again."""
        vector = self.cpu.apic.eoi()
        for sint, queue in enumerate(self.queues):
            if queue and self.sints[sint] & 0xFF == vector:
                self._deliver(sint)

    def _scan(self) -> None:
        for sint, queue in enumerate(self.queues):
            if queue:
                self._deliver(sint)
