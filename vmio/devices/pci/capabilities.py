"""Capabilities: structures in configuration space, each with an id and a link to the next.

A capability is a `RegisterFile` that knows its function.  The list starts at offset
34h (PCI Local Bus Specification 2.3, 6.7 "Capabilities List"); that of the extended
capabilities at 100h (PCI Express Base Specification 2.1, 7.9.3).
"""

from collections.abc import Sequence
from typing import Protocol

from vmio.devices.pci.header import CONFIG_BYTES, DEVICE_SPECIFIC, EXTENDED_BYTES
from vmio.devices.pci.registers import Fields, RegisterFile

HEADER_BYTES = 2, 4        # id and link: of a capability, of an extended one


class Sender(Protocol):
    """A function as its capabilities see it: what sends the device's messages.  See `PciFunction`."""

    def message(self, address: int, data: int) -> None:
        """Write a message's data to its address, if the function may."""


class Capability(RegisterFile):
    """`length` bytes of which the first are `id` and the link; the other lists as `RegisterFile` has them.

    `at` is the offset in configuration space, or None for the first free place.
    `version` is an extended capability's.  A subclass overrides `obey`.
    """

    extended = False
    vectors = 0                # interrupts that it can tell apart, if it is one that interrupts

    def __init__(self, id: int, length: int, power_on: Fields = (), writable: Fields = (), at: int | None = None,
                 version: int = 1) -> None:
        super().__init__(length, power_on, writable)
        self.id, self.version = id, version
        self.at: int = at  # type: ignore[assignment]  # `chain` gives it a place
        self.function: Sender | None = None
        self.link(0)

    def link(self, following: int) -> None:
        """Write the header: this capability's id, and the offset of the next one (0: it is the last)."""
        value = self.id | self.version << 16 | following << 20 if self.extended else self.id | following << 8
        size = HEADER_BYTES[self.extended]
        self.power_on[:size] = self.bytes[:size] = value.to_bytes(size, "little")

    def joined(self, function: Sender) -> None:
        """The capability is part of `function` (a `PciFunction`) from now on."""
        self.function = function

    def obey(self) -> None:
        """Follow what the registers say; called after every write, reset and restore of the function."""

    def tables(self) -> list[tuple[int, int, int]]:
        """Return (BAR index, offset, bytes) of what the capability keeps in the function's memory."""
        return []


def chain(capabilities: Sequence[Capability]) -> int:
    """Give each capability its place and link them in this order; the offset of the first, or 0 for none.

    All are extended ones, or none is.  ValueError for a place that is not there, taken
    or not aligned to four bytes.
    """
    if not capabilities:
        return 0
    start, end = (CONFIG_BYTES, EXTENDED_BYTES) if capabilities[0].extended else (DEVICE_SPECIFIC, CONFIG_BYTES)
    placed = [capability for capability in capabilities if capability.at is not None]
    for capability in capabilities:
        if capability.at is None:
            capability.at = next((at for at in range(start, end, 4) if _fits(capability, at, end, placed)), end)
            placed.append(capability)
    for n, capability in enumerate(placed):
        if capability.at % 4 or capability.at < start or not _fits(capability, capability.at, end, placed[:n]):
            raise ValueError(f"capability {capability.id:#x} of {capability.length} bytes at {capability.at:#x}: "
                             f"a free place between {start:#x} and {end:#x}, at a multiple of 4")
    if start == CONFIG_BYTES and capabilities[0].at != start:
        raise ValueError(f"extended capability {capabilities[0].id:#x} at {capabilities[0].at:#x}: the list starts at {start:#x}")
    for capability, following in zip(capabilities, [*capabilities[1:], None]):
        capability.link(following.at if following else 0)
    return capabilities[0].at


def _fits(capability: Capability, at: int, end: int, others: Sequence[Capability]) -> bool:
    return at + capability.length <= end and all(
        at + capability.length <= other.at or other.at + other.length <= at for other in others)
