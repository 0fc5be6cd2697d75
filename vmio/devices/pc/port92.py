"""System control port A (92h): the PS/2's fast way to gate A20 and to reset the processor.

Source: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A".
"""

from collections.abc import Callable

from vmio.machine.bus import BadAccess
from vmio.machine.contracts import State

RESET, A20 = 0x01, 0x02


class Port92:
    """One read/write byte.  `on_a20(level)` follows bit 1; `on_reset()` is called when bit 0 rises."""

    def __init__(self, on_a20: Callable[[int], None] | None = None, on_reset: Callable[[], None] | None = None) -> None:
        self.on_a20 = on_a20 or (lambda level: None)
        self.on_reset = on_reset or (lambda: None)
        self.value = 0

    def read(self, offset: int, size: int = 1) -> int:
        """Return the byte last written."""
        if size != 1 or offset:
            raise BadAccess(f"port92: no {size}-byte register at {offset}")
        return self.value

    def write(self, offset: int, size: int, value: int) -> None:
        """Set both wires; only a 0-to-1 change of bit 0 resets."""
        if size != 1 or offset:
            raise BadAccess(f"port92: no {size}-byte register at {offset}")
        rising = value & ~self.value & RESET
        self.value = value & 0xFF
        self.on_a20(value >> 1 & 1)
        if rising:
            self.on_reset()

    def reset(self) -> None:
        """Arm the reset bit again; the A20 gate is left as it is."""
        self.value &= ~RESET

    def save(self) -> State:
        """Return the byte."""
        return {"value": self.value}

    def restore(self, state: State) -> None:
        """Take over what `save` gave."""
        self.value = state["value"]
