"""A virtual function's half of the 82576's mailbox: one message at a time, and a look every half millisecond until it is answered.

Source: Linux, drivers/net/ethernet/intel/igbvf/mbx.c and vf.c.
"""

from vmio.drivers.errors import DriverError
from vmio.hardware.nic import registers as r
from vmio.hypervisor.contracts import Cpu, Steps

POLL_NS, POLLS = 500_000, 2000
KEPT = r.PF_STATUS | r.PF_ACK | r.RESET_DONE         # of V2P: bits that a read clears


class Mailbox:
    """The mailbox of the function whose registers are at `base`."""

    def __init__(self, cpu: Cpu, base: int) -> None:
        self.cpu, self.base = cpu, base
        self._seen = 0                               # bits that reads have cleared and nobody has asked for yet
        self.messages = 0

    def _bits(self) -> int:
        bits = self.cpu.load(self.base + r.V2P, 4) | self._seen
        self._seen |= bits & KEPT
        return bits

    def check(self, bits: int) -> bool:
        """Return whether one of these bits was set since it was last asked for."""
        found = bool(self._bits() & bits)
        self._seen &= ~bits
        return found

    def _lock(self) -> bool:
        """Take the buffer; False: the physical function has it."""
        self.cpu.store(self.base + r.V2P, 4, r.VF_USES)
        return bool(self._bits() & r.VF_USES)

    def ask(self, words: list[int], answer: int) -> Steps[list[int]]:
        """Send a message and return `answer` words of what comes back; a generator.  `DriverError` if nothing does."""
        if not self._lock():
            raise DriverError("82576 VF: the physical function holds the mailbox")
        self.check(r.PF_STATUS)                      # what may still be there from before
        self.check(r.PF_ACK)
        for at, word in enumerate(words):
            self.cpu.store(self.base + r.MAIL + 4 * at, 4, word)
        self.cpu.store(self.base + r.V2P, 4, r.REQUEST)
        self.messages += 1
        for bit, what in ((r.PF_ACK, "hear"), (r.PF_STATUS, "answer")):
            for _ in range(POLLS):
                yield from self.cpu.pay()
                if self.check(bit):
                    break
                self.cpu.compute(POLL_NS)
            else:
                raise DriverError(f"82576 VF: the physical function does not {what} message {words[0]:#x}")
        return self.take(answer) or []

    def take(self, words: int) -> list[int] | None:
        """Return so many words of the message that is there, and say so; None: the physical function has the buffer."""
        if not self._lock():
            return None
        read = [self.cpu.load(self.base + r.MAIL + 4 * at, 4) for at in range(words)]
        self.cpu.store(self.base + r.V2P, 4, r.ACK)
        return read
