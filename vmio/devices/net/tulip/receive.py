"""The receive process: a frame from the wire goes, with its FCS, into as many buffers as it needs.

It is stopped, waits for a frame, or is suspended because a frame came and the next descriptor was not the chip's: that frame
and all that follow are missed, and counted, until a descriptor is given to it.  The first of them raises RU.
Source: 21140A manual, 4.3.4 "Receive Process", 4.2.1 (RDES0), 3.2.2.8 (CSR8), 3.2.2.3 (CSR2).
"""

import zlib
from collections.abc import Callable

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.descriptors import BusError, Descriptor, Dma, List
from vmio.devices.net.tulip.filter import Filter
from vmio.devices.net.tulip.moderation import Held
from vmio.devices.net.tulip.status import Status
from vmio.machine.checkpoint import Form, State
from vmio.machine.net import frames

RECEIVE = Form("Tulip receive process", 1, "at", "missed")
MOST_BUFFERS = 1024        # descriptors of one frame: a list of buffers without room must not hold up the host
TYPES_FROM = 0x600         # a number from here on is a type, a smaller one the data's length (IEEE 802.3, 3.2.6)


class Receiver:
    """`interrupt` is told of each frame that is in memory; `fatal()` is called when memory doesn't answer."""

    def __init__(self, csr: list[int], status: Status, wanted: Filter, dma: Dma, interrupt: Held, fatal: Callable[[], None]) -> None:
        self.csr, self.status, self.filter, self.dma, self.interrupt, self.fatal = csr, status, wanted, dma, interrupt, fatal
        self.list = List(dma, csr, 3)
        self.reset()

    def reset(self) -> None:
        """Nothing was missed."""
        self.list.at = self.missed = 0

    def command(self, start: bool) -> None:
        """CSR6 is written."""
        if not start:
            self.status.rx = b.RX_STOPPED
        elif self.status.rx == b.RX_STOPPED:
            self.status.rx = b.RX_WAITING

    def begin(self, address: int) -> None:
        """CSR3 is written."""
        self.list.begin(address)

    def demand(self) -> None:
        """CSR2 is written: if the process is suspended, look whether there is a descriptor now."""
        if self.status.rx == b.RX_SUSPENDED:
            try:
                if self.list.current().owned:
                    self.status.rx = b.RX_WAITING
            except BusError:
                self.fatal()

    def take(self, frame: bytes, loop: int = 0) -> bool:
        """Receive a frame, `loop` as RDES0's data type has it; False if it is lost."""
        if self.status.rx == b.RX_STOPPED or len(frame) < frames.HEADER:
            return False
        passes = self.filter.matches(frame[:frames.ADDRESS])
        mode = self.csr[6]
        if not passes and not mode & (b.PR | b.RA) and not (mode & b.PM and frame[0] & 1):
            return True
        status = b.R_LS | self._about(frame) | loop << b.R_TYPE_SHIFT
        if not passes and mode & (b.PR | b.RA):
            status |= b.R_FF
        try:
            return self._fill(frame + zlib.crc32(frame).to_bytes(frames.FCS, "little"), status)
        except BusError:
            self.fatal()
            return False

    def _about(self, frame: bytes) -> int:
        """Return what RDES0 says of a frame: its length, whom it is for, what it is."""
        length = len(frame) + frames.FCS
        about = (length & b.R_LENGTH_MASK) << b.R_LENGTH_SHIFT
        if frame[0] & 1:
            about |= b.R_MF
        if length > b.LONGEST:
            about |= b.R_TL
        if self.status.chip.tells_type and int.from_bytes(frame[12:14], "big") >= TYPES_FROM:
            about |= b.R_FT
        return about

    def _fill(self, data: bytes, last: int) -> bool:
        """Put `data` into the buffers of one descriptor after the other; `last` is the status of the last one."""
        descriptor = self.list.current()
        if not descriptor.owned:
            self._miss()
            return False
        self.status.rx = b.RX_WAITING
        first = b.R_FS
        for n in range(MOST_BUFFERS):
            data = self._copy(descriptor, data)
            if not data:
                self.list.close(descriptor, first | last)
                self.interrupt.frame()
                return True
            following = self.list.after(descriptor)
            if not following.owned or following.at == descriptor.at or n == MOST_BUFFERS - 1:
                self.list.close(descriptor, first | last | b.R_ES | b.R_DE)     # what is left of the frame is cut off
                self.interrupt.frame()
                self._suspend()
                return False
            self.list.close(descriptor, first)
            descriptor, first = self.list.current(), 0
        return False

    def _copy(self, descriptor: Descriptor, data: bytes) -> bytes:
        """Fill a descriptor's buffers; returns the rest."""
        for address, length in descriptor.buffers:
            if length and data:
                self.dma.write(address, data[:length])
                data = data[length:]
        return data

    def _miss(self) -> None:
        """A frame finds no buffer."""
        overflow = self.missed & b.MISSED_OVERFLOW
        self.missed = overflow | self.missed + 1 & b.MISSED_MASK or b.MISSED_OVERFLOW
        self._suspend()

    def _suspend(self) -> None:
        if self.status.rx != b.RX_SUSPENDED:
            self.status.rx = b.RX_SUSPENDED
            self.status.happened(b.RU)

    def read_missed(self) -> int:
        """Return what CSR8 counts, which starts anew."""
        missed, self.missed = self.missed, 0
        return missed

    def save(self) -> State:
        """Return where it is in the list, and what was missed."""
        return RECEIVE.state(at=self.list.at, missed=self.missed)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = RECEIVE.take(state)
        self.list.at, self.missed = saved["at"], saved["missed"]
