"""PCI configuration space: functions, their base address registers, and mechanism 1 (ports CF8h-CFFh).

A function has 256 bytes that say what it is and where it answers.  Software
learns a base address register's (BAR's) size by writing ones and looking which
bits stick, then gives it an address; the function answers there once the
command register lets it.  What "answers" means is the board's affair: it is
called back when a BAR comes and goes.

Source: PCI Local Bus Specification 2.1, chapter 6 (sections cited below) and
3.2.2.3.2 (mechanism 1).
"""

from dataclasses import dataclass

from vmio.machine.bus import BadAccess, all_ones

# 6.1, figure 6-1: offsets in the header
VENDOR, DEVICE, COMMAND, STATUS, REVISION, CLASS = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09
CACHE_LINE, HEADER_TYPE, BAR0, SUBSYSTEM, CAPABILITIES = 0x0C, 0x0E, 0x10, 0x2C, 0x34
INTERRUPT_LINE, INTERRUPT_PIN, DEVICE_SPECIFIC = 0x3C, 0x3D, 0x40
BARS = 6
CONFIG_BYTES = 256

# 6.2.2, 6.2.3
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_SERR, COMMAND_INTX_OFF = 0x001, 0x002, 0x004, 0x100, 0x400
COMMAND_WRITABLE = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_OFF
STATUS_INTERRUPT = 0x0008
STATUS_WRITE_1_TO_CLEAR = 0xF900  # parity errors, aborts and SERR# that were seen
MULTIFUNCTION = 0x80

IO_PORTS = 1 << 16
ENABLE = 1 << 31  # of the address register


@dataclass(frozen=True)
class Bar:
    """One base address register: `size` bytes (a power of two) of ports (`io`) or memory (6.2.5.1)."""

    size: int
    io: bool = False
    wide: bool = False      # memory BAR of 64 bits: takes the next BAR's place too
    prefetch: bool = False

    def __post_init__(self):
        if self.size < (4 if self.io else 16) or self.size & self.size - 1:
            raise ValueError(f"Bar size is {self.size}; must be a power of two, at least {4 if self.io else 16}")

    @property
    def kind(self):
        """The read-only low bits."""
        return 1 if self.io else self.wide << 2 | self.prefetch << 3

    @property
    def width(self):
        """Bytes of the register."""
        return 8 if self.wide else 4


class PciFunction:
    """One function's configuration space.

    `class_code` is the 24-bit class, subclass and interface; `bars` maps a BAR's
    index to a `Bar`; `preset` gives further bytes their power-on value.
    `on_bar(index, base)` is called when a BAR begins to answer at `base`, and
    with None when it stops.  `intx` is the function's interrupt pin, a `Line`.
    """

    def __init__(self, vendor, device, class_code, revision=0, subsystem=(0, 0), header_type=0, status=0,
                 bars=None, pin=0, on_bar=None, intx=None, preset=None):
        self.bars = dict(bars or {})
        self.on_bar = on_bar or (lambda index, base: None)
        self.intx, self._asserted = intx, 0
        self.mapped = dict.fromkeys(self.bars)  # index: base or None
        self.power_on = bytearray(CONFIG_BYTES)
        self.writable = bytearray(DEVICE_SPECIFIC) + b"\xff" * (CONFIG_BYTES - DEVICE_SPECIFIC)
        self.write_1_to_clear = bytearray(CONFIG_BYTES)
        for at, size, value in ((VENDOR, 2, vendor), (DEVICE, 2, device), (STATUS, 2, status), (REVISION, 1, revision),
                                (CLASS, 3, class_code), (HEADER_TYPE, 1, header_type),
                                (SUBSYSTEM, 2, subsystem[0]), (SUBSYSTEM + 2, 2, subsystem[1]),
                                (INTERRUPT_PIN, 1, pin)):
            self._put(self.power_on, at, size, value)
        for index, bar in self.bars.items():
            if not 0 <= index <= BARS - bar.width // 4:
                raise ValueError(f"BAR index is {index}; must be 0 to {BARS - bar.width // 4}")
            self._put(self.power_on, BAR0 + 4 * index, bar.width, bar.kind)
            self._put(self.writable, BAR0 + 4 * index, bar.width, -bar.size % (1 << 8 * bar.width))
        for at, value in (preset or {}).items():
            self.power_on[at] = value
        self._put(self.writable, COMMAND, 2, COMMAND_WRITABLE)
        self.writable[CACHE_LINE] = self.writable[INTERRUPT_LINE] = 0xFF
        self._put(self.write_1_to_clear, STATUS, 2, STATUS_WRITE_1_TO_CLEAR)
        self.config = bytearray(self.power_on)

    @staticmethod
    def _put(array, at, size, value):
        array[at:at + size] = value.to_bytes(size, "little")

    def get(self, at, size):
        """`size` bytes of the configuration space at `at`, little-endian."""
        return int.from_bytes(self.config[at:at + size], "little")

    def read(self, offset, size):
        """Read configuration bytes; past the end there are none (they read 0)."""
        if not 0 <= offset < CONFIG_BYTES:
            raise BadAccess(f"pci: no configuration byte {offset:#x}")
        return self.get(offset, size)

    def write(self, offset, size, value):
        """Write configuration bytes, each bit as its masks allow, then move the BARs."""
        if not 0 <= offset < CONFIG_BYTES:
            raise BadAccess(f"pci: no configuration byte {offset:#x}")
        end = min(offset + size, CONFIG_BYTES)
        for at in range(offset, end):
            byte, mask = value >> 8 * (at - offset) & 0xFF, self.writable[at]
            self.config[at] = (self.config[at] & ~mask | byte & mask) & ~(byte & self.write_1_to_clear[at])
        if offset < BAR0 + 4 * BARS and end > BAR0 or offset <= COMMAND < end:
            self._map_bars()
        if offset < COMMAND + 2 and end > COMMAND:
            self._drive_intx()

    def reset(self):
        """RST#: everything as at power-on; no BAR answers (6.2.2)."""
        self.config[:] = self.power_on
        self._asserted = 0
        self._map_bars()
        self._drive_intx()

    def save(self):
        """The configuration space and the pin."""
        return {"config": self.config.hex(), "asserted": self._asserted}

    def restore(self, state):
        """Take over what `save` gave; BARs are mapped again through the call-back."""
        self.config[:] = bytes.fromhex(state["config"])
        self._asserted = state["asserted"]
        self._map_bars()
        self._drive_intx()

    @property
    def is_master(self):
        """May the function read and write memory by itself?"""
        return bool(self.config[COMMAND] & COMMAND_MASTER)

    def set_interrupt(self, level):
        """The function's own request; it reaches the pin unless the command register disables it."""
        self._asserted = int(bool(level))
        self._drive_intx()

    def _drive_intx(self):
        self.config[STATUS] = self.config[STATUS] & ~STATUS_INTERRUPT | STATUS_INTERRUPT * self._asserted
        if self.intx is not None:
            self.intx.set(self._asserted if not self.get(COMMAND, 2) & COMMAND_INTX_OFF else 0)

    # -- base address registers (6.2.5) -----------------------------------------------------

    def _map_bars(self):
        for index, bar in self.bars.items():
            base = self._base(index, bar)
            if base != self.mapped[index]:
                if self.mapped[index] is not None:
                    self.mapped[index] = None
                    self.on_bar(index, None)
                if base is not None:
                    self.mapped[index] = base
                    self.on_bar(index, base)

    def _base(self, index, bar):
        """Where the BAR answers, or None: not enabled, never set (0), or no such address."""
        if not self.config[COMMAND] & (COMMAND_IO if bar.io else COMMAND_MEMORY):
            return None
        base = self.get(BAR0 + 4 * index, bar.width) & -bar.size
        end = base + bar.size
        limit = IO_PORTS if bar.io else (1 << 63) if bar.wide else (1 << 32) - 1
        return base if base and end <= limit else None


class PciHost:
    """Mechanism 1: the address register at CF8h (offset 0), the data window at CFCh (offset 4).

    Attach at CF8h for 8 ports, width 4.  Port CF9h belongs to the chipset's
    reset control register, which hides under the address register because that
    one takes dword accesses only: `on_reset()` is called when a guest resets
    the machine through it (PIIX3 data sheet 2.5.5).
    """

    DATA = 4
    RESET_CONTROL, HARD_RESET, RESET_CPU = 1, 0x02, 0x04

    def __init__(self, on_reset=None):
        self.on_reset = on_reset or (lambda: None)
        self.functions = {}  # (device, function): PciFunction, on bus 0
        self.address = self.reset_control = 0

    def add(self, device, function, pci_function):
        """Put a function on bus 0.  ValueError if the place is impossible or taken."""
        if not (0 <= device < 32 and 0 <= function < 8) or (device, function) in self.functions:
            raise ValueError(f"PCI function {device}.{function} is taken or not within 0.0 to 31.7")
        self.functions[device, function] = pci_function
        return pci_function

    def reset(self):
        """RST# on the bus: every function resets."""
        self.address = self.reset_control = 0
        for function in self.functions.values():
            function.reset()

    def save(self):
        """Both registers and every function."""
        return {"address": self.address, "reset_control": self.reset_control,
                "functions": [[*at, f.save()] for at, f in self.functions.items()]}

    def restore(self, state):
        """Take over what `save` gave, on a bus with the same functions."""
        self.address, self.reset_control = state["address"], state["reset_control"]
        for device, function, saved in state["functions"]:
            self.functions[device, function].restore(saved)

    def read(self, offset, size):
        """Read; a misaligned access is cut into aligned ones, low address first."""
        self._check(offset, size)
        value = shift = 0
        for at, part in self._parts(offset, size):
            value |= (self._read(at, part) & all_ones(part)) << shift
            shift += 8 * part
        return value

    def write(self, offset, size, value):
        """Write; a misaligned access is cut into aligned ones, low address first."""
        self._check(offset, size)
        for at, part in self._parts(offset, size):
            self._write(at, part, value & all_ones(part))
            value >>= 8 * part

    @staticmethod
    def _check(offset, size):
        if size not in (1, 2, 4) or not 0 <= offset <= 8 - size:
            raise BadAccess(f"pci host: no {size}-byte register at {offset}")

    def _parts(self, offset, size):
        if offset == self.RESET_CONTROL:
            return [(offset, 1)] * size  # a byte-wide register behind every byte lane
        parts = []
        while size:
            part = min(offset & -offset or 8, 1 << size.bit_length() - 1)
            parts.append((offset, part))
            offset, size = offset + part, size - part
        return parts

    def _read(self, offset, size):
        if offset == self.RESET_CONTROL:
            return self.reset_control
        if offset < self.DATA:
            return self.address
        function, register = self._target(offset)
        return all_ones(size) if function is None else function.read(register, size)

    def _write(self, offset, size, value):
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

    def _target(self, offset):
        """(function or None, register) that the data window shows at this port."""
        address = self.address | offset & 3
        bus, device, function = address >> 16 & 0xFF, address >> 11 & 31, address >> 8 & 7
        here = address & ENABLE and not bus
        return (self.functions.get((device, function)) if here else None), address & 0xFF
