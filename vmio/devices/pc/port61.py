"""Port 61h of the PC: the door to timer channel 2 and the speaker.

Bits as in the Intel PIIX3 data sheet (order 290550), "NMI Status and Control
Register".  The parity and I/O check bits (2, 3, 6, 7) read 0: nothing fails here.
"""

from vmio.devices.pc.pit import Pit
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.contracts import State

GATE2, SPEAKER, REFRESH, OUT2 = 0x01, 0x02, 0x10, 0x20


class Port61:
    """One byte: gate 2 and speaker enable (written), refresh toggle and OUT 2 (read only).

    The refresh bit changes with every memory refresh (15 us) on a real PC.  Here, as in
    QEMU 7.2, it changes with every read: a loop that counts its changes ends, and the
    same program reads the same bits in every run.
    """

    def __init__(self, clock: Clock, pit: Pit) -> None:
        self.clock, self.pit = clock, pit
        self.reset()

    def reset(self) -> None:
        """Speaker off; gate 2 belongs to the timer and is low after its reset."""
        self.speaker = self._refresh = 0

    @property
    def tone(self) -> int:
        """Level at the speaker now: AND of the enable bit and OUT 2."""
        return self.pit.out(2) if self.speaker else 0

    def read(self, offset: int, size: int) -> int:
        """Return the port; reading toggles bit 4."""
        self._check(offset, size)
        self._refresh ^= REFRESH
        return self.pit.gate(2) | self.speaker | self._refresh | (OUT2 if self.pit.out(2) else 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Set gate 2 (bit 0) and the speaker's enable (bit 1)."""
        self._check(offset, size)
        self.speaker = value & SPEAKER
        self.pit.set_gate(2, value & GATE2)

    def save(self) -> State:
        """Return the two flip-flops that are this port's own."""
        return {"speaker": self.speaker, "refresh": self._refresh}

    def restore(self, state: State) -> None:
        """Take what `save` gave (the gate is the timer's)."""
        self.speaker, self._refresh = state["speaker"], state["refresh"]

    @staticmethod
    def _check(offset: int, size: int) -> None:
        if size != 1 or offset != 0:
            raise BadAccess(f"port 61h has no {size}-byte register at {offset:#x}")
