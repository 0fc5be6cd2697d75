"""How a virtual and the physical function talk: 64 bytes that both write, and a few bits to take them, to say, to acknowledge.

The card moves bits only; what a message means is agreed on by the two drivers.
Source: Intel 82576EB data sheet, 7.8.2.9 "VF to PF Mailbox"; Linux, drivers/net/ethernet/intel/igbvf/mbx.c.
"""

from collections.abc import Callable

from vmio.hardware.nic import registers as r
from vmio.machine.checkpoint import Form, State

WORDS = 16
MAILBOX = Form("mailbox", 1, "bits", "words")
READ_CLEARS = r.PF_STATUS | r.PF_ACK | r.RESET_DONE


class Mailbox:
    """VF `number`'s; `asked(bits)` is told what is new for the PF, `told()` that there is something for the VF."""

    def __init__(self, asked: Callable[[int], None], told: Callable[[], None]) -> None:
        self._asked, self._told = asked, told
        self.bits = r.RESET_NOW             # of V2P, as the VF reads it
        self.words = [0] * WORDS

    def empty(self) -> None:
        """The VF is another guest's from now on: what was said is gone."""
        self.words = [0] * WORDS
        self.bits &= r.RESET_NOW

    # The VF's side.

    def read_vf(self) -> int:
        """Return V2P; what the PF has said and done is told once."""
        bits = self.bits
        self.bits &= ~READ_CLEARS
        return bits

    def write_vf(self, value: int) -> None:
        """Write V2P: take the buffer or give it back, say that there is a message, or that one was read."""
        if not value & r.VF_USES:
            self.bits &= ~r.VF_USES
        elif not self.bits & r.PF_USES:
            self.bits |= r.VF_USES
        asked = (value & r.REQUEST) | (1 << r.ACK_SHIFT if value & r.ACK else 0)
        if asked:
            self._asked(asked)

    # The PF's side.

    def read_pf(self) -> int:
        """Return P2V: who uses the buffer."""
        return self.bits & (r.VF_USES | r.PF_USES)

    def write_pf(self, value: int) -> None:
        """Write P2V: the same the other way round; TAKE_AWAY also from a VF that never gives it back."""
        if value & r.TAKE_AWAY:
            self.bits &= ~r.VF_USES
        if not value & r.PF_USES:
            self.bits &= ~r.PF_USES
        elif not self.bits & r.VF_USES:
            self.bits |= r.PF_USES
        said = (r.PF_STATUS if value & r.STATUS_READY else 0) | (r.PF_ACK if value & r.ACK else 0)
        if said:
            self.bits |= said
            self._told()

    def reset(self, done: bool) -> None:
        """The physical function begins its reset, or has `done` it."""
        self.bits = self.bits & ~r.RESET_NOW | r.RESET_DONE if done else self.bits | r.RESET_NOW

    def save(self) -> State:
        """Return the bits and the words."""
        return MAILBOX.state(bits=self.bits, words=self.words)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; nobody is told."""
        saved = MAILBOX.take(state)
        self.bits, self.words = saved["bits"], list(saved["words"])
