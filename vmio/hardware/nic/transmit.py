"""Frames out: the card fetches descriptors between head and tail, gathers a frame, and gives it to the switch.

A frame may be one of several data descriptors; before it a context descriptor may say where its headers end, its VLAN, and how to
cut it.  What belongs to no frame is passed over.  After so many descriptors the card goes on a little later: others want it, too.
Left out: write-back of the head (TDWBAL), padding (Linux's physical function switches it on; then short frames have 60 bytes).
Source: Intel 82576EB data sheet, 7.2 "Transmit Functionality".
"""

from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.queue import FAULTS, Ring
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timer
from vmio.machine.contracts import Pending
from vmio.machine.contracts import Record
from vmio.machine.net import checksums, frames, headers
from vmio.machine.net.headers import IS_TCP, IS_UDP

TRANSMITTER = Form("network card's transmit queue", 1, "ring", "frame", "first", "contexts", "goes_on")
BURST, BURST_NS = 128, 100_000      # descriptors at once, and how long until the next ones: about what they take on a wire of 1 Gb/s
MOST = (1 << 16) + 256              # bytes that are gathered for a frame that is to be cut
DONE = d.DONE.to_bytes(4, "little")
CONTEXTS = 2                        # of a queue


class Transmitter(Ring):
    """One transmit queue."""

    _alarm: Pending | None = None

    def power_on(self) -> None:
        """See `Ring`."""
        self._forget()
        super().power_on()
        self.registers[r.DCA] = r.DCA_TX_POWER_ON

    def _forget(self) -> None:
        """No frame is begun, no context set, nothing to come."""
        self._frame: bytearray | None = None
        self._first = self._first_status = 0
        self._contexts: list[Record | None] = [None] * CONTEXTS
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None

    def write(self, register: int, value: int) -> None:
        """See `Ring`; a write of the tail is the doorbell."""
        super().write(register, value)
        if register == r.CONTROL and not self.enabled:
            self._forget()
        elif register in (r.TAIL, r.CONTROL):
            self.go()

    def go(self) -> None:
        """Send what there is, unless the card will go on by itself."""
        if self._alarm is None and self.works and self.card.may_send:
            self._run()

    def _run(self) -> None:
        self._alarm, reported = None, False
        try:
            for _ in range(BURST):
                if not self.works or not self.card.may_send:
                    break
                reported |= self._one(self.base + d.BYTES * self.head)
                self.head = (self.head + 1) % self.entries
        except FAULTS:
            self.fail()
        if reported:
            self.card.caused(self)
        if self.works and self._alarm is None:
            self._alarm = self.card.clock.call_later(BURST_NS, self._run)

    def _one(self, at: int) -> bool:
        """Take the descriptor at `at`; returns whether the driver wanted to be told, and was."""
        raw = self.card.memory.read(at, d.BYTES)
        descriptor = d.TX_DATA.parse(raw)
        command = descriptor.command
        if not command & d.T_ADVANCED:
            self._frame = None
        elif command & d.TYPE_MASK == d.CONTEXT:
            context = d.TX_CONTEXT.parse(raw)
            self._contexts[context.sizes >> 4 & CONTEXTS - 1] = context
        elif command & d.TYPE_MASK == d.DATA:
            self._gather(descriptor)
        if not command & d.T_REPORT:
            return False
        self.card.memory.write(at + d.STATUS_AT, DONE)
        return True

    def _gather(self, descriptor: Record) -> None:
        command = descriptor.command
        if self._frame is None:
            self._frame, self._first, self._first_status = bytearray(), command, descriptor.status
        length = command & d.LENGTH_MASK
        if len(self._frame) + length <= MOST:
            self._frame += self.card.memory.read(descriptor.address, length) if length else b""
        else:
            self._first &= ~d.T_ADVANCED            # too long for anything: the rest is not even read
        if command & d.T_END:
            frame, self._frame = bytes(self._frame), None
            for each in self._finished(frame) if self._first & d.T_ADVANCED else []:
                self.card.send(each)

    def _finished(self, frame: bytes) -> list[bytes]:
        """The frame with its checksums and its tag, or the frames that it is cut into; none of what makes no frame."""
        context = self._contexts[self._first_status // d.T_CONTEXT & CONTEXTS - 1]
        found, whole = None, [frame]
        if len(frame) < frames.HEADER:
            return []
        if context is not None and (self._first & d.T_SEGMENT or self._first_status & (d.T_CHECKSUM | d.T_IP_CHECKSUM)):
            found = headers.parse(frame)
            transport = (context.lengths >> 9 & 0x7F) + (context.lengths & 0x1FF)
            if self._first & d.T_SEGMENT:
                mss = context.sizes >> 16
                whole = checksums.cut(frame, transport, mss) or [] if mss >= 88 else []
            else:
                whole = [self._summed(frame, found, context, transport)]
        if self._first & d.T_VLAN and context is not None:
            tag = context.lengths >> 16
            whole = [headers.tag(each, tag & 0xFFF, tag >> 13) for each in whole]
        return [each for each in whole if len(each) <= frames.longest(each)]

    def _summed(self, frame: bytes, found: headers.Headers, context: Record, transport: int) -> bytes:
        if self._first_status & d.T_IP_CHECKSUM:
            frame = checksums.fill_ip(frame, found)
        if self._first_status & d.T_CHECKSUM:
            return checksums.fill(frame, found, IS_TCP if context.command & d.C_TCP else IS_UDP, transport) or frame
        return frame

    @property
    def waits(self) -> bool:
        """Whether the card will go on by itself."""
        return self._alarm is not None

    @property
    def timer(self) -> Timer | None:
        """When the card will go on by itself."""
        return self._alarm if isinstance(self._alarm, Timer) else None

    def save(self) -> State:
        """See `Ring`; also the frame that was begun, the contexts, and when the card goes on (ns)."""
        return TRANSMITTER.state(
            ring=super().save(), frame=self._frame, first=[self._first, self._first_status],
            contexts=[each and d.TX_CONTEXT.pack(**each._asdict()) for each in self._contexts], goes_on=self._alarm and self._alarm.when)

    def restore(self, state: State) -> None:
        """See `Ring`; the clock then gets the `timer`."""
        saved = TRANSMITTER.take(state)
        super().restore(saved["ring"])
        self._frame = None if saved["frame"] is None else bytearray(saved["frame"])
        self._first, self._first_status = saved["first"]
        self._contexts = [each and d.TX_CONTEXT.parse(each) for each in saved["contexts"]]
        self._alarm = None if saved["goes_on"] is None else Timer(saved["goes_on"], self._run)
