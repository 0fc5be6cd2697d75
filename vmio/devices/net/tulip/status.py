"""CSR5 and CSR7: what has happened, what of it may interrupt, the two summaries, and the interrupt line.

Normal and abnormal events are summed up apart: NIS is the OR of the normal ones that are enabled, AIS that of the
abnormal ones.  A summary reaches the line if it is enabled itself (CSR7 bits 16 and 15).
Source: 21140A manual, 3.2.2.5 "Status Register (CSR5)", 3.2.2.7 "Interrupt Enable Register (CSR7)".
"""

from collections.abc import Callable

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.chips import Chip
from vmio.machine.checkpoint import Form, State

STATUS = Form("Tulip status", 1, "value", "enabled")


class Status:
    """`line(level)` is called whenever the level of the interrupt line may have changed."""

    def __init__(self, chip: Chip, line: Callable[[int], None]) -> None:
        self.chip, self.line = chip, line
        self.value = self.enabled = 0

    def reset(self) -> None:
        """Nothing has happened, nothing is enabled, both processes are stopped."""
        self.value, self.enabled = self.chip.reset[5], self.chip.reset[7]
        self._sum_up()

    def happened(self, events: int) -> None:
        """Set event bits."""
        self.value |= events
        self._sum_up()

    def acknowledge(self, ones: int) -> None:
        """CSR5 is written: ones clear events."""
        self.value &= ~(ones & self.chip.acknowledged)
        self._sum_up()

    def enable(self, events: int) -> None:
        """CSR7 is written."""
        self.enabled = events
        self._sum_up()

    def bus_error(self) -> None:
        """A transfer had no answer."""
        self._put(b.ERROR, b.MASTER_ABORT)
        self.happened(b.FBE)

    @property
    def rx(self) -> int:
        """The state of the receive process."""
        return self.value >> b.RX_STATE & 7

    @rx.setter
    def rx(self, state: int) -> None:
        self._put(b.RX_STATE, state)

    @property
    def tx(self) -> int:
        """The state of the transmit process."""
        return self.value >> b.TX_STATE & 7

    @tx.setter
    def tx(self, state: int) -> None:
        self._put(b.TX_STATE, state)

    def _put(self, shift: int, state: int) -> None:
        self.value = self.value & ~(7 << shift) | state << shift

    def _sum_up(self) -> None:
        events = self.value & self.enabled
        self.value &= ~(b.NIS | b.AIS)
        if events & b.NORMAL:
            self.value |= b.NIS
        if events & self.chip.abnormal:
            self.value |= b.AIS
        self.line(int(bool(self.value & self.enabled & (b.NIS | b.AIS))))

    def save(self) -> State:
        """Return both registers."""
        return STATUS.state(value=self.value, enabled=self.enabled)

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = STATUS.take(state)
        self.value, self.enabled = saved["value"], saved["enabled"]
        self._sum_up()
