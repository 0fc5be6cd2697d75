"""Frames in: each into the buffers of the next descriptors, which then say how long it is and whether its checksums were right.

Left out: split headers, RSS (all goes to queue 0), time stamps.  A frame that finds too few descriptors is lost at once, whether the
queue drops (SRRCTL bit 31) or not: the card's own buffer of a few microseconds is not modelled.
Source: Intel 82576EB data sheet, 7.1 "Receive Functionality".
"""

from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.queue import FAULTS, Ring
from vmio.machine.checkpoint import Form, State
from vmio.machine.net import checksums, headers

RECEIVER = Form("network card's receive queue", 1, "ring", "missed")
SIZE_MASK, DEFAULT_SIZE = 0x7F, 2048
FORM_SHIFT, ONE_BUFFER = 25, 1          # of SRRCTL: the form of descriptors
_STATUS = {headers.IS_TCP: d.TCP_CHECKED, headers.IS_UDP: d.UDP_CHECKED}
_KIND = {headers.IS_TCP: d.IS_TCP, headers.IS_UDP: d.IS_UDP}


class Receiver(Ring):
    """One receive queue; `missed` counts frames that found no buffer."""

    def power_on(self) -> None:
        """See `Ring`."""
        super().power_on()
        self.missed = 0

    @property
    def buffer(self) -> int:
        """How many bytes a buffer has; 0: the descriptors are of a form that this card doesn't know."""
        control = self.registers[r.SRRCTL]
        return ((control & SIZE_MASK) << 10 or DEFAULT_SIZE) if control >> FORM_SHIFT & 7 == ONE_BUFFER else 0

    def take(self, frame: bytes, vlan: int | None, looped: bool) -> bool:
        """Store a frame, whose tag `vlan` was taken off unless it is None; False: it is lost."""
        size = self.buffer
        if not size or not self.works or (self.tail - self.head) % self.entries < -(-len(frame) // size):
            self.missed += 1
            return False
        status, info = self._said(frame)
        status |= d.DONE | (d.LOOPED if looped else 0) | (0 if vlan is None else d.TAGGED)
        memory = self.card.memory
        try:
            for start in range(0, len(frame), size):
                part, at = frame[start:start + size], self.base + d.BYTES * self.head
                memory.write(d.RX_READ.parse(memory.read(at, d.BYTES)).packet, part)
                last = d.END if start + size >= len(frame) else 0
                memory.write(at, d.RX_WRITTEN.pack(info=info, status=status | last, length=len(part), vlan=vlan or 0))
                self.head = (self.head + 1) % self.entries
        except FAULTS:
            self.fail()
            return False
        self.card.caused(self)
        return True

    @staticmethod
    def _said(frame: bytes) -> tuple[int, int]:
        """(status, info): which headers it has, and whether the checksums are right."""
        found = headers.parse(frame)
        if found.ip is None:
            return 0, 0
        info = (d.IS_IPV4 if len(found.source) == 4 else d.IS_IPV6) | _KIND.get(found.protocol, 0)
        ip, transport = checksums.good(frame, found)
        status = 0 if ip is None else d.IP_CHECKED | (0 if ip else d.BAD_IP)
        if transport is not None:
            status |= _STATUS[found.protocol] | (0 if transport else d.BAD_TRANSPORT)
        return status, info

    def save(self) -> State:
        """See `Ring`."""
        return RECEIVER.state(ring=super().save(), missed=self.missed)

    def restore(self, state: State) -> None:
        """See `Ring`."""
        saved = RECEIVER.take(state)
        super().restore(saved["ring"])
        self.missed = saved["missed"]
