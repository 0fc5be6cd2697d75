"""What a 21143 is asked to hold back, and the register that says so.

Source: Linux, drivers/net/ethernet/dec/tulip/interrupt.c (mit_table: the fields of CSR11); a card at 100 Mb/s, where a cycle is 40 ns.
"""

from dataclasses import dataclass

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.moderation import LONG, SHORT
from vmio.devices.net.tulip.timer import CYCLE_100

MAX_FRAMES, MAX_COUNT = 7, 15
MAX_US = MAX_COUNT * LONG * CYCLE_100 // 1000


@dataclass(frozen=True)
class Moderation:
    """An interrupt for `frames` that were received, or when none has followed for `us`; 0 is no limit.

    `adaptive`: the driver chooses the time by itself (`dim.py`).  ValueError for more than the register holds.
    """

    frames: int = 0
    us: int = 0
    adaptive: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.frames <= MAX_FRAMES or not 0 <= self.us <= MAX_US:
            raise ValueError(f"moderation {self.frames} frames, {self.us} us: at most {MAX_FRAMES} and {MAX_US:,}")

    @property
    def register(self) -> int:
        """Return CSR11: the time in the shortest unit that holds it, rounded up."""
        short = -(-self.us * 1000 // (SHORT * CYCLE_100))
        if short <= MAX_COUNT:
            return bool(short) * b.CYCLE_SHORT | short << b.RX_TIME | self.frames << b.RX_FRAMES
        return -(-self.us * 1000 // (LONG * CYCLE_100)) << b.RX_TIME | self.frames << b.RX_FRAMES


NONE = Moderation()
