"""The transmit process: from the list of descriptors to the wire, frame by frame.

It is stopped, or suspended because the next descriptor is not the chip's, or at work.  A setup frame is loaded into the
filter and never sent.  A frame may lie in many buffers: FS is on its first descriptor, LS on its last.
With `pace` "wire" each frame has the wire for its time; with "instant" it is gone when the register write ends.

The list may be endless: after `BURST` descriptors the chip pauses for a moment of virtual time, and the host goes on.
Source: 21140A manual, 4.3.5 "Transmit Process", 3.2.2.2 (CSR1), 3.2.2.6 (CSR6: ST).
"""

import zlib
from collections.abc import Callable

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.descriptors import BusError, Descriptor, Dma, List
from vmio.devices.net.tulip.filter import Filter
from vmio.devices.net.tulip.moderation import Held
from vmio.devices.net.tulip.status import Status
from vmio.machine.checkpoint import Form, State
from vmio.machine.contracts import Pending, Timers
from vmio.machine.net import frames

TRANSMIT = Form("Tulip transmit process", 1, "at", "frame", "sending", "resume", "poll", "stopping")
BURST = 1024               # descriptors in a row
PAUSE_NS = 10_000          # and then
PACES = ("instant", "wire")
AT_WORK = 1                # the state while it pauses: running, fetching a descriptor


class Transmitter:
    """`out(frame)` takes a frame without FCS, as it is on the wire; `fatal()` is called when memory doesn't answer.

    `interrupt` is told of frames that have left: of those with IC, and of all others too if it holds back.
    """

    def __init__(self, clock: Timers, csr: list[int], status: Status, wanted: Filter, dma: Dma, interrupt: Held, pace: str,
                 out: Callable[[bytes], None], fatal: Callable[[], None]) -> None:
        self.clock, self.csr, self.status, self.filter, self.dma = clock, csr, status, wanted, dma
        self.interrupt, self.pace, self.out, self.fatal = interrupt, pace, out, fatal
        self.list = List(dma, csr, 4)
        self.spoiled = 0                    # frames that left with a wrong FCS of the driver's own: nobody takes them
        self._timers: dict[str, Pending] = {}
        self.reset()

    def reset(self) -> None:
        """Nothing is under way."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers = {}
        self.list.at = 0
        self._frame = bytearray()                    # what of a frame was fetched
        self._sending: Descriptor | None = None      # the last descriptor of the frame that is on the wire
        self._stopping = False

    def command(self, start: bool) -> None:
        """CSR6 is written.  Stop: after the frame that is on the wire."""
        self._stopping = not start and self._sending is not None
        if start:
            if self.status.tx == b.TX_STOPPED:
                self.status.tx = b.TX_SUSPENDED
            self.demand()
        elif not self._stopping:
            self._stop()

    def begin(self, address: int) -> None:
        """CSR4 is written."""
        self.list.begin(address)
        self.demand()

    def demand(self) -> None:
        """CSR1 is written: look whether there is something to send."""
        if self.status.tx == b.TX_SUSPENDED:
            self._cancel("poll")
            self._walk()

    def _walk(self) -> None:
        try:
            for _ in range(BURST):
                descriptor = self.list.current()
                if not descriptor.owned:
                    self._suspend()
                    return
                if not self._take(descriptor):
                    return
            self.status.tx = AT_WORK
            self._later("resume", self.clock.now + PAUSE_NS)
        except BusError:
            self.fatal()

    def _take(self, descriptor: Descriptor) -> bool:
        """Do what a descriptor says; False if that takes time, or was the last thing."""
        control = descriptor.control
        if control & b.T_SET:
            self.filter.load(self.dma.read(*descriptor.buffers[0]), control)
            self._done(descriptor, b.T_NOTHING)
            return True
        if control & b.T_FS:
            self._frame.clear()
        for address, length in descriptor.buffers:
            if length:
                self._frame += self.dma.read(address, length)
        if len(self._frame) > b.JABBER:
            self._jabber(descriptor)
            return False
        if not control & b.T_LS:
            self.list.close(descriptor, _plain(descriptor))
            return True
        if self.pace == "wire":
            self._sending, self.status.tx = descriptor, b.TX_SENDING
            self._later("sending", self.clock.now + frames.wire_ns(len(self._frame), self.mbit_per_s))
            return False
        self._send(descriptor)
        return True

    def _send(self, descriptor: Descriptor) -> None:
        frame = _on_the_wire(bytes(self._frame), descriptor.control)
        self._frame.clear()
        if frame is None:
            self.spoiled += 1
        else:
            self.out(frame)
        self._done(descriptor, _plain(descriptor))

    def _done(self, descriptor: Descriptor, status: int) -> None:
        self.list.close(descriptor, status)
        asked = bool(descriptor.control & b.T_IC)
        if asked or self.interrupt.limited and not descriptor.control & b.T_SET:
            self.interrupt.frame(at_once=asked)

    def _jabber(self, descriptor: Descriptor) -> None:
        """A frame without an end is cut off, and the process stops."""
        self._frame.clear()
        self.list.close(descriptor, b.T_ES | b.T_TO)
        self._stop()
        self.status.happened(b.TJT | b.TPS)

    def _suspend(self) -> None:
        self.status.tx = b.TX_SUSPENDED
        self.status.happened(b.TU)
        every = b.AUTO_POLL_NS[self.csr[0] >> b.AUTO_POLL_SHIFT & b.AUTO_POLL_MASK]
        if every:
            self._later("poll", self.clock.now + every)

    def _stop(self) -> None:
        self._cancel("poll")
        self._cancel("resume")
        self.status.tx = b.TX_STOPPED

    @property
    def mbit_per_s(self) -> int:
        """How fast the wire is: 100, or 10 by the chip's own port and for an MII at 10 Mb/s."""
        return 100 if self.csr[6] & b.PS and not self.csr[6] & b.TTM else 10

    # Time.

    def _later(self, what: str, when: int) -> None:
        def due() -> None:
            del self._timers[what]
            {"sending": self._sent, "resume": self._walk, "poll": self.demand}[what]()
        self._timers[what] = self.clock.call_at(when, due)

    def _sent(self) -> None:
        """The frame on the wire has left."""
        descriptor, self._sending = self._sending, None
        try:
            if descriptor is not None:
                self._send(descriptor)
        except BusError:
            self.fatal()
            return
        if self._stopping:
            self._stopping = False
            self._stop()
        else:
            self._walk()

    def _cancel(self, what: str) -> None:
        if what in self._timers:
            self._timers.pop(what).cancel()

    def timers(self) -> list[tuple[str, Pending | None]]:
        """Return what is on the clock."""
        return [(what, self._timers.get(what)) for what in ("sending", "resume", "poll")]

    def save(self) -> State:
        """Return where it is in the list, and what is under way until when."""
        due = {what: timer.when for what, timer in self._timers.items()}
        return TRANSMIT.state(at=self.list.at, frame=self._frame, sending=self._sending and [list(self._sending), due["sending"]],
                              resume=due.get("resume"), poll=due.get("poll"), stopping=self._stopping)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = TRANSMIT.take(state)
        self.reset()
        self.list.at, self._frame, self._stopping = saved["at"], bytearray(saved["frame"]), saved["stopping"]
        if saved["sending"] is not None:
            self._sending = Descriptor(*saved["sending"][0])
            self._later("sending", saved["sending"][1])
        for what in ("resume", "poll"):
            if saved[what] is not None:
                self._later(what, saved[what])


def _plain(descriptor: Descriptor) -> int:
    """Return TDES0 of a descriptor that is done: no error; a mark if it had nothing to send."""
    return 0 if any(length for _, length in descriptor.buffers) else b.T_NOTHING


def _on_the_wire(frame: bytes, control: int) -> bytes | None:
    """Return the frame as its descriptor wants it sent: padded unless DPD, with the driver's own FCS if AC; None if that is wrong."""
    if control & b.T_AC and (control & b.T_DPD or len(frame) >= frames.MIN + frames.FCS):
        data, fcs = frame[:-frames.FCS], frame[-frames.FCS:]
        return data if zlib.crc32(data).to_bytes(frames.FCS, "little") == fcs else None
    return frame if control & b.T_DPD else frames.padded(frame)
