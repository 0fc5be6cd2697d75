"""A PC's way into configuration space: mechanism 1, two registers at ports CF8h-CFFh.

Source: PCI Local Bus Specification 2.1, 3.2.2.3.2 (mechanism 1).
"""

from collections.abc import Callable

from vmio.devices.pci.function import PciFunction
from vmio.machine.bus import BadAccess, all_ones
from vmio.machine.contracts import State

ENABLE = 1 << 31  # of the address register


class PciHost:
    """Mechanism 1: the address register at CF8h (offset 0), the data window at CFCh (offset 4).

    Attach at CF8h for 8 ports, width 4.  Port CF9h belongs to the chipset's
    reset control register, which hides under the address register because that
    one takes dword accesses only: `on_reset()` is called when a guest resets
    the machine through it (PIIX3 data sheet 2.5.5).
    """

    DATA = 4
    RESET_CONTROL, HARD_RESET, RESET_CPU = 1, 0x02, 0x04

    def __init__(self, on_reset: Callable[[], None] | None = None) -> None:
        self.on_reset = on_reset or (lambda: None)
        self.functions: dict[tuple[int, int], PciFunction] = {}  # (device, function): PciFunction, on bus 0
        self.address = self.reset_control = 0

    def add(self, device: int, function: int, pci_function: PciFunction) -> PciFunction:
        """Put a function on bus 0.  ValueError if the place is impossible or taken."""
        if not (0 <= device < 32 and 0 <= function < 8) or (device, function) in self.functions:
            raise ValueError(f"PCI function {device}.{function} is taken or not within 0.0 to 31.7")
        self.functions[device, function] = pci_function
        return pci_function

    def reset(self) -> None:
        """RST# on the bus: every function resets."""
        self.address = self.reset_control = 0
        for function in self.functions.values():
            function.reset()

    def save(self) -> State:
        """Return both registers and every function."""
        return {"address": self.address, "reset_control": self.reset_control,
                "functions": [[*at, f.save()] for at, f in self.functions.items()]}

    def restore(self, state: State) -> None:
        """Take over what `save` gave, on a bus with the same functions."""
        self.address, self.reset_control = state["address"], state["reset_control"]
        for device, function, saved in state["functions"]:
            self.functions[device, function].restore(saved)

    def read(self, offset: int, size: int) -> int:
        """Read; a misaligned access is cut into aligned ones, low address first."""
        self._check(offset, size)
        value = shift = 0
        for at, part in self._parts(offset, size):
            value |= (self._read(at, part) & all_ones(part)) << shift
            shift += 8 * part
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; a misaligned access is cut into aligned ones, low address first."""
        self._check(offset, size)
        for at, part in self._parts(offset, size):
            self._write(at, part, value & all_ones(part))
            value >>= 8 * part

    @staticmethod
    def _check(offset: int, size: int) -> None:
        if size not in (1, 2, 4) or not 0 <= offset <= 8 - size:
            raise BadAccess(f"pci host: no {size}-byte register at {offset}")

    def _parts(self, offset: int, size: int) -> list[tuple[int, int]]:
        if offset == self.RESET_CONTROL:
            return [(offset, 1)] * size  # a byte-wide register behind every byte lane
        parts = []
        while size:
            part = min(offset & -offset or 8, 1 << size.bit_length() - 1)
            parts.append((offset, part))
            offset, size = offset + part, size - part
        return parts

    def _read(self, offset: int, size: int) -> int:
        if offset == self.RESET_CONTROL:
            return self.reset_control
        if offset < self.DATA:
            return self.address
        function, register = self._target(offset)
        return all_ones(size) if function is None else function.read(register, size)

    def _write(self, offset: int, size: int, value: int) -> None:
        if offset == self.RESET_CONTROL:
            if value & self.RESET_CPU:
                self.on_reset()
            else:
                self.reset_control = value & self.HARD_RESET
        elif offset < self.DATA:
            if size == 4:  # 3.2.2.3.2: anything but a dword passes by
                self.address = value
        else:
            function, register = self._target(offset)
            if function is not None:
                function.write(register, size, value)

    def _target(self, offset: int) -> tuple[PciFunction | None, int]:
        """(function or None, register) that the data window shows at this port."""
        address = self.address | offset & 3
        bus, device, function = address >> 16 & 0xFF, address >> 11 & 31, address >> 8 & 7
        here = address & ENABLE and not bus
        return (self.functions.get((device, function)) if here else None), address & 0xFF
