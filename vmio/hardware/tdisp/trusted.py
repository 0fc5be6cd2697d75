"""Memory as a device of a confidential guest reaches it: what the guest shares always, what is private only while the device is trusted.

    function.reach(TrustedMemory(space, interface.state, is_private))        is_private(address): is that page the guest's alone?

A transfer to or from a private page carries a bit that says "trusted" (T, in the encrypted link's prefix), which a device sets in the state
RUN and in no other; the platform refuses a private page to any other transfer.  Left out is the link: without IDE a probe on the
slot's wires reads what passes.
Source: PCI-SIG's ECN for TDISP ("T bit", states); AMD, SEV-TIO white paper (2023), "Secure DMA".
"""

from collections.abc import Callable

from vmio.hardware.tdisp.interface import Interface
from vmio.hardware.tdisp.wire import State
from vmio.machine.contracts import Buffer, Memory
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE, TranslationFault


class TrustedMemory:
    """`memory`, seen through an `interface` (None: a device that knows no TDISP).  `refused` counts transfers to private pages that were none's to make."""

    POINTS = {"moved": "(access, address, bytes) of each transfer that was let through: READ, or WRITE"}
    moved: Callable[[int, int, int], None] | None = None

    def __init__(self, memory: Memory, interface: Interface | None, is_private: Callable[[int], bool]) -> None:
        self.memory, self.interface, self.is_private, self.refused = memory, interface, is_private, 0

    def read(self, address: int, length: int) -> bytes:
        """Return bytes from memory; `TranslationFault` if one of their pages is private and the device is not trusted."""
        self._check(READ, address, length)
        return self.memory.read(address, length)

    def write(self, address: int, data: Buffer) -> None:
        """Store bytes in memory; errors as in `read`, and nothing is stored then."""
        self._check(WRITE, address, len(data))
        self.memory.write(address, data)

    def _check(self, access: int, address: int, length: int) -> None:
        trusted = self.interface is not None and self.interface.state is State.RUN
        for page in range(address // PAGE * PAGE, address + length, PAGE):
            if not trusted and self.is_private(page):
                self.refused += 1
                raise TranslationFault(page, access, True)
        if self.moved is not None:
            self.moved(access, address, length)
