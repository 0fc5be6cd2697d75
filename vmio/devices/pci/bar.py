"""A base address register (BAR): how much a function wants to answer at, of which space, and what answers there.

Source: PCI Local Bus Specification 2.1, 6.2.5 "Base Addresses".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmio.devices.pci.registers import Field

BARS = 6
IO_PORTS = 1 << 16


@dataclass(frozen=True)
class Bar:
    """`size` bytes (a power of two) of ports (`io`) or of memory (6.2.5.1).

    `registers` answers there, in accesses of up to `width` bytes.  `trapped` lists
    the (offset, bytes) that a host must watch when it gives the function to a guest,
    beside the MSI-X tables; the rest a guest may reach without an exit.  `doorbells` are the
    (offset, bytes) whose stores a hypervisor notes by itself and passes on (KVM: ioeventfd).
    """

    size: int
    io: bool = False
    wide: bool = False      # memory BAR of 64 bits: takes the next BAR's place too
    prefetch: bool = False
    registers: Any = None
    width: int = 4
    trapped: tuple = ()
    doorbells: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.size < (4 if self.io else 16) or self.size & self.size - 1:
            raise ValueError(f"Bar size is {self.size}; must be a power of two, at least {4 if self.io else 16}")

    @property
    def kind(self) -> int:
        """The read-only low bits."""
        return 1 if self.io else self.wide << 2 | self.prefetch << 3

    @property
    def register_bytes(self) -> int:
        """How long the register is: 4 or 8 bytes."""
        return 8 if self.wide else 4

    @property
    def probed(self) -> int:
        """What the register reads after all ones were written."""
        return -self.size % (1 << 8 * self.register_bytes) | self.kind

    def base(self, value: int) -> int | None:
        """Return the address that the register's `value` gives, or None: never set (0), or no such address."""
        base = value & -self.size
        limit = IO_PORTS if self.io else (1 << 63) if self.wide else (1 << 32) - 1
        return base if base and base + self.size <= limit else None


def register_fields(bars: Mapping[int, Bar], first: int) -> tuple[list[Field], list[Field]]:
    """Return what the registers of `bars` ({index: `Bar`}) put into a `RegisterFile`, from offset `first` on.

    Returns two lists of (offset, bytes, value): power-on values and writable bits.
    ValueError for an index that no function has, or that the 64-bit BAR before it takes up.
    """
    power_on: list[Field] = []
    writable: list[Field] = []
    taken: set[int] = set()
    for index, bar in sorted(bars.items()):
        if not 0 <= index <= BARS - bar.register_bytes // 4:
            raise ValueError(f"BAR index is {index}; must be 0 to {BARS - bar.register_bytes // 4}")
        if index in taken:
            raise ValueError(f"BAR index is {index}; BAR {index - 1} is of 64 bits and takes both")
        taken.update((index, index + bar.register_bytes // 4 - 1))
        power_on.append((first + 4 * index, bar.register_bytes, bar.kind))
        writable.append((first + 4 * index, bar.register_bytes, -bar.size % (1 << 8 * bar.register_bytes)))
    return power_on, writable
