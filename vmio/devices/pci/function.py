"""A PCI function: identity, base address registers (BARs) and capabilities, put together.

A function has 256 bytes (PCI Express: 4,096) that say what it is and where it answers.
Software learns a BAR's size by writing ones and looking which bits stick, then gives it
an address; the function answers there once the command register lets it.  Who carries
what it says (its BARs on a bus, its pin, its DMA and messages) is the board's affair:
see `Board.plug`.

Source: PCI Local Bus Specification 2.1, chapter 6 (sections cited below).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from vmio.devices.pci import header as h
from vmio.devices.pci.bar import Bar, register_fields
from vmio.devices.pci.capabilities import Capability, chain
from vmio.devices.pci.dma import NoMemory
from vmio.devices.pci.registers import RegisterFile
from vmio.machine.bus import BadAccess
from vmio.machine.contracts import Memory, State
from vmio.machine.lines import Line
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault


@dataclass(frozen=True)
class Identity:
    """Who a function is (6.2.1): `class_code` is the 24-bit class, subclass and interface, `subsystem` (vendor, device)."""

    vendor: int
    device: int
    class_code: int
    revision: int = 0
    subsystem: tuple = (0, 0)


class PciDevice(Protocol):
    """What a function makes do what its registers say."""

    memory: Memory

    def reset(self) -> None:
        """Reset it with its function."""


Kind = TypeVar("Kind", bound=Capability)


class PciFunction:
    """One function's configuration space, and what it makes `device` do.

    `bars` maps a BAR's index to a `Bar`; `capabilities` are in the order of their
    list, extended ones apart from the others; `pin` is 1 for INTA# to 4, or 0;
    `preset` gives further bytes of the header their power-on value.  `device`, if
    there is one, is reset with the function, and its `memory` is what its DMA
    reaches: what `reach` said, or nothing while it is no bus master.

    Whoever plugs the function in sets `on_bar(index, base)`, called when a BAR begins
    to answer at `base`, and with None when it stops; `intx`, the `Line` of its pin;
    and calls `reach(memory)`.  A subclass overrides `obey` to follow its registers.
    """

    POINTS = {"obeyed": "() when the function has done what its registers say: after each write, reset and restore"}
    obeyed: Callable[[], None] | None = None
    persistent = False      # does it keep, over a reset, what its user has stored?  Then `scrub` clears it

    def __init__(self, identity: Identity, bars: Mapping[int, Bar] | None = None, capabilities: Sequence[Capability] = (),
                 device: PciDevice | None = None, pin: int = 0, preset: Mapping[int, int] | None = None) -> None:
        self.bars, self.device = dict(bars or {}), device
        self.on_bar: Callable[[int, int | None], None] = _nobody
        self.bar_base: Callable[[int], int | None] | None = None
        self.intx: Line | None = None
        self._asserted = 0
        self.mapped = dict.fromkeys(self.bars)  # index: base or None
        self.memory: Memory = NoMemory
        self._reachable: Memory = NoMemory
        self.messages = self.blocked = 0        # interrupts by message that left, and of them those that memory refused
        self.capabilities = tuple(capabilities)
        first = chain([each for each in self.capabilities if not each.extended])
        chain([each for each in self.capabilities if each.extended])
        self.header = self._header(identity, pin, first, preset or {})
        for capability in self.capabilities:
            capability.joined(self)
        self.obey()

    def _header(self, identity: Identity, pin: int, first: int, preset: Mapping[int, int]) -> RegisterFile:
        power_on, writable = register_fields(self.bars, h.BAR0)
        power_on += [(h.VENDOR, 2, identity.vendor), (h.DEVICE, 2, identity.device), (h.REVISION, 1, identity.revision),
                     (h.CLASS, 3, identity.class_code), (h.SUBSYSTEM, 2, identity.subsystem[0]),
                     (h.SUBSYSTEM + 2, 2, identity.subsystem[1]), (h.CAPABILITIES, 1, first), (h.INTERRUPT_PIN, 1, pin),
                     *((at, 1, value) for at, value in preset.items())]
        if first:
            power_on.append((h.STATUS, 1, h.STATUS_CAPABILITIES | preset.get(h.STATUS, 0)))
        writable += [(h.COMMAND, 2, h.COMMAND_WRITABLE), (h.CACHE_LINE, 1, 0xFF), (h.INTERRUPT_LINE, 1, 0xFF),
                     *((at, 1, 0xFF) for at in range(h.DEVICE_SPECIFIC, h.CONFIG_BYTES))]
        return RegisterFile(h.CONFIG_BYTES, power_on, writable, [(h.STATUS, 2, h.STATUS_WRITE_1_TO_CLEAR)])

    # -- configuration accesses ---------------------------------------------------------------

    @property
    def config(self) -> bytes:
        """The 256 bytes as they are now."""
        return bytes(self.get(at, 1) for at in range(h.CONFIG_BYTES))

    def get(self, at: int, size: int) -> int:
        """Return `size` bytes of the configuration space at `at`, little-endian; past the end they are 0."""
        value = 0
        for file, offset, part, shift in self._cut(at, size):
            value |= file.get(offset, part) << shift
        return value

    def read(self, offset: int, size: int) -> int:
        """Read configuration bytes; past the end there are none (they read 0)."""
        self._check(offset)
        value = 0
        for file, start, part, shift in self._cut(offset, size):
            value |= file.read(start, part) << shift
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Write configuration bytes, each bit as its masks allow, and do what they say."""
        self._check(offset)
        for file, start, part, shift in self._cut(offset, size):
            file.write(start, part, value >> shift & (1 << 8 * part) - 1)
        self.obey()

    def _check(self, offset: int) -> None:
        if offset < 0 or self._file(offset) is None:
            raise BadAccess(f"pci: no configuration byte {offset:#x}")

    def _file(self, at: int) -> tuple[RegisterFile, int] | None:
        """(register file, offset in it) of a byte, or None where there is none."""
        for capability in self.capabilities:
            if capability.at <= at < capability.at + capability.length:
                return capability, at - capability.at
        return (self.header, at) if at < h.CONFIG_BYTES else None

    def _cut(self, offset: int, size: int) -> list[tuple[RegisterFile, int, int, int]]:
        """Cut an access where register files end: (file, offset in it, bytes, bits before it)."""
        parts: list[tuple[RegisterFile, int, int, int]] = []
        for n in range(size):
            found = self._file(offset + n)
            if found is None:
                continue
            file, start = found
            if parts and parts[-1][0] is file and parts[-1][1] + parts[-1][2] == start:
                parts[-1] = (file, parts[-1][1], parts[-1][2] + 1, parts[-1][3])
            else:
                parts.append((file, start, 1, 8 * n))
        return parts

    def reset(self) -> None:
        """RST#, or a function level reset: everything is as at power-on, and no BAR answers (6.2.2)."""
        self.header.reset()
        for capability in self.capabilities:
            capability.reset()
        if self.device is not None:
            self.device.reset()
        self._asserted = 0
        self.obey()

    def scrub(self) -> None:
        """Wipe what a user of the device has stored and a reset keeps.  There is nothing unless the function is `persistent`."""

    def save(self) -> State:
        """Return header, capabilities and pin as plain data; the device's state is its own."""
        return {"header": self.header.save(), "capabilities": [each.save() for each in self.capabilities],
                "asserted": self._asserted}

    def restore(self, state: State) -> None:
        """Take over what `save` gave; BARs are mapped again through the call-back."""
        self.header.restore(state["header"])
        for capability, saved in zip(self.capabilities, state["capabilities"], strict=True):
            capability.restore(saved)
        self._asserted = state["asserted"]
        self.obey()

    def obey(self) -> None:
        """Do what the registers say: BARs, pin, bus mastering, capabilities."""
        self._map_bars()
        self._drive_intx()
        self.memory = self._reachable if self.is_master else NoMemory
        if self.device is not None:
            self.device.memory = self.memory
        for capability in self.capabilities:
            capability.obey()
        if self.obeyed is not None:
            self.obeyed()

    # -- what the function does to others -------------------------------------------------------

    @property
    def is_master(self) -> bool:
        """May the function read and write memory by itself?"""
        return bool(self.header.bytes[h.COMMAND] & h.COMMAND_MASTER)

    def reach(self, memory: Memory) -> None:
        """From now on DMA and messages go to `memory`: the function is plugged in, or is behind an IOMMU now."""
        self._reachable = memory
        self.obey()

    def set_interrupt(self, level: int) -> None:
        """The function's own request; it reaches the pin unless the command register disables it."""
        self._asserted = int(bool(level))
        self._drive_intx()

    def message(self, address: int, data: int) -> None:
        """Interrupt by message: a write of four bytes (3.0, 6.8).  One that is refused is lost, and counted."""
        self.messages += 1
        try:
            self.memory.write(address, data.to_bytes(4, "little"))
        except (TranslationFault, MemoryFault):
            self.blocked += 1

    @property
    def vectors(self) -> int:
        """How many interrupts by message the function can tell apart."""
        return max((each.vectors for each in self.capabilities), default=0)

    def find(self, kind: type[Kind]) -> Kind | None:
        """Return the capability of this class, or None."""
        return next((each for each in self.capabilities if isinstance(each, kind)), None)

    def watched(self, index: int) -> list[tuple[int, int]]:
        """Return the (offset, bytes) of a BAR that a host keeps watching when a guest has the function."""
        tables = [(at, size) for each in self.capabilities for bar, at, size in each.tables() if bar == index]
        return [*self.bars[index].trapped, *tables]

    def arrived(self, ns: int) -> None:
        """The store that comes next was made at `ns`: a device that keeps time of its own wants to know."""

    def _drive_intx(self) -> None:
        status = self.header.bytes[h.STATUS]
        self.header.bytes[h.STATUS] = status & ~h.STATUS_INTERRUPT | h.STATUS_INTERRUPT * self._asserted
        if self.intx is not None:
            self.intx.set(self._asserted if not self.header.get(h.COMMAND, 2) & h.COMMAND_INTX_OFF else 0)

    # -- base address registers (6.2.5) -----------------------------------------------------

    def _map_bars(self) -> None:
        for index, bar in self.bars.items():
            base = self._base(index, bar) if self.bar_base is None else self.bar_base(index)
            if base != self.mapped[index]:
                if self.mapped[index] is not None:
                    self.mapped[index] = None
                    self.on_bar(index, None)
                if base is not None:
                    self.mapped[index] = base
                    self.on_bar(index, base)

    def _base(self, index: int, bar: Bar) -> int | None:
        """Where the BAR answers, or None: not enabled, or it has no address."""
        if not self.header.bytes[h.COMMAND] & (h.COMMAND_IO if bar.io else h.COMMAND_MEMORY):
            return None
        return bar.base(self.header.get(h.BAR0 + 4 * index, bar.register_bytes))


def _nobody(index: int, base: int | None) -> None:
    """No board has the function: nobody follows its BARs."""
