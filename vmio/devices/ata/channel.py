"""An ATA channel: the two register blocks, the choice of a device, the interrupt, and the data port.

Registers and control port: ATA/ATAPI-6 (T13/1410D) clauses 7 and 9; the
command set is in `ata_commands`.  A channel holds up to two devices.  Both
hear every register write, the selected one (DEV bit) answers reads and runs
commands.  Data moves through a window, the *DRQ block*: the device fills or
empties it as a whole, the host moves it word by word through the data port.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from vmio.devices.ata.commands import NAMES, STEPS, execute
from vmio.devices.ata.contracts import Channel, DmaEngine, Finish, Service
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.ata.ports import CommandBlock, ControlBlock
from vmio.devices.ata.taskfile import ABRT, ALWAYS_ON, BSY, DEV, DRDY, DRQ, ERR, READY, TaskFile
from vmio.machine.clock import Clock
from vmio.machine.contracts import Buffer, State
from vmio.machine.lines import Line

__all__ = ["AtaChannel", "AtaDisk"]

HOB, SRST, NIEN = 0x80, 0x04, 0x02  # device control register, clause 7.8

BUS_MASTER_INTERRUPT = 0x04  # bus-master status register: the device has interrupted

# what the window is for
IDLE, TO_HOST, FROM_HOST = 0, 1, 2


class Access:
    """One access to the medium: called when the medium is done with it."""

    __slots__ = ("_channel", "_ticket")

    def __init__(self, channel: "AtaChannel", ticket: int) -> None:
        self._channel, self._ticket = channel, ticket

    def __call__(self) -> None:
        self._channel.ended(self._ticket)


class AtaChannel:
    """`command` (8 ports, attach with width=4) and `control` (1 port) are its two devices for a bus.

    `line` is the interrupt line (IRQ 14 or 15).  `disks` are master and slave,
    `None` for a place that is empty.  `service(op, sectors, done)` is how the
    medium takes its time: op is 'read', 'write' (with the sectors of the whole
    command), 'flush', 'reset', or 'buffer' for a block of a longer transfer that
    the medium has read ahead or not yet been given; `done()` ends the access, at
    once or later, and the channel is busy until then.  Without a service every
    access ends at once.
    """

    def __init__(self, clock: Clock, line: Line, disks: Sequence[AtaDisk | None] = (None, None),
                 service: Service | None = None) -> None:
        self.clock, self.line, self.service = clock, line, service
        places: Any = tuple(disk if disk is not None else TaskFile() for disk in disks)
        self.devices: tuple[AtaDisk, AtaDisk] = places
        if len(places) != 2:
            raise ValueError(f"disks: {len(places)} given; a channel has exactly two places")
        self.empty = not any(device.present for device in self.devices)
        self.dma: DmaEngine | None = None  # the bus master's half for this channel, if there is one
        self.command, self.control = CommandBlock(self), ControlBlock(self)
        self._ticket = 0
        self._window: Any = b""               # bytes; a bytearray if the host fills it
        self._words: tuple[int, ...] = ()
        self._after: Callable[[Channel, bytes], None] | None = None
        self._start_over()

    def _start_over(self) -> None:
        self.selected = self.devices[0]
        self.block = 1                # sectors in a DRQ block of the PIO command under way,
        self.lba = self.moving = 0    # where its next block is, and how many sectors that one has
        self.total = 0                # and how many the whole command has
        self.control_bits = 0
        self.resetting = False
        self.waiting: tuple[str, int, Finish] | None = None  # (op, sectors, what to call) of an access under way
        self._ticket += 1
        self.close_window()

    def reset(self) -> None:
        """Hardware reset: registers, devices, the bus master's half; what was under way is dropped."""
        self._start_over()
        for device in self.devices:
            device.reset_registers()
        if self.dma:
            self.dma.reset()
        self.line.set(0)

    # --- what commands use -------------------------------------------------

    def interrupt(self) -> None:
        """Raise the line unless nIEN forbids it; the bus master sees the edge first."""
        if not self.control_bits & NIEN:
            if self.dma:
                self.dma.status |= BUS_MASTER_INTERRUPT
            self.line.set(1)

    def diagnose(self) -> None:
        """EXECUTE DEVICE DIAGNOSTIC, clause 8.11: both devices run it, whichever is selected, and device 0 answers for both."""
        self.selected = self.devices[0]
        for device in self.devices:
            if device.present or device is self.selected:
                device.sign()
                device.status, device.error = READY, 1       # device 0 passed, device 1 passed or is not there
        self.interrupt()

    def abort(self, device: AtaDisk, error: int = ABRT) -> None:
        """Clause 9.2: the command ends with ERR, and ABRT or another error."""
        self.close_window()
        device.status, device.error = DRDY | ERR, error

    def start(self, op: str, sectors: int, finish: Finish) -> None:
        """Begin an access to the medium; `finish(channel)` runs when the service says so."""
        if self.service is None:
            finish(self)
            return
        self.waiting = (op, sectors, finish)
        self._ticket += 1
        self.service(op, sectors, self.access())

    def access(self) -> "Access":
        """Return the end of the access to the medium that is under way now: what `service` calls as `done()`."""
        return Access(self, self._ticket)

    def ended(self, ticket: int) -> None:
        """The medium says that an access has ended; if it isn't the one under way any more, nothing happens."""
        if ticket == self._ticket:
            self.settle()

    def settle(self) -> None:
        """End the access under way now, as if the medium had just finished; nothing if there is none."""
        if self.waiting:
            finish, self.waiting = self.waiting[2], None
            finish(self)

    def open_window(self, data: Buffer, after: Callable[[Channel, bytes], None] | None, direction: int = TO_HOST) -> None:
        """Offer a DRQ block to the host; `after(channel, block)` runs when it has moved the last byte of it."""
        self._window, self._at, self._end, self._words = data, 0, len(data), ()
        self._after, self._direction = after, direction
        self.selected.status |= DRQ

    def close_window(self) -> None:
        """No data to move, in any direction."""
        self._at = self._end = self._direction = IDLE
        self.selected.status &= ~DRQ

    # --- the data port -----------------------------------------------------

    def read_data(self, size: int) -> int:
        """Return one word or double word from the window; 0 when there is none, as on QEMU (undefined in 7.6)."""
        at = self._at
        end = at + size
        if end > self._end or self._direction != TO_HOST:
            return 0
        self._at = end
        words = self._words
        if not words:      # who reads a word reads them all: they are unpacked once
            words = self._words = struct.unpack(f"<{self._end >> 1}H", self._window)
        value = words[at >> 1] if size == 2 else words[at >> 1] | words[(at >> 1) + 1] << 16
        if end == self._end:
            self._block_moved()
        return value

    def write_data(self, size: int, value: int) -> None:
        """One word or double word into the window; lost when the device asked for none."""
        at, end = self._at, self._at + size
        if end > self._end or self._direction != FROM_HOST:
            return
        self._at = end
        self._window[at:end] = value.to_bytes(size, "little")
        if end == self._end:
            self._block_moved()

    def read_block(self, size: int, count: int) -> bytes:
        """REP INSW/INSD: `count` units of `size` bytes, fewer at the end of the DRQ block."""
        at = self._at
        left = (self._end - at) // size
        if not left or self._direction != TO_HOST:
            return bytes(size * count)
        end = self._at = at + size * (count if count < left else left)
        data = self._window[at:end]
        if end == self._end:
            self._block_moved()
        return data

    def write_block(self, size: int, data: bytes) -> int:
        """REP OUTSW/OUTSD of units of `size`: how many bytes went, fewer at the end of the DRQ block."""
        at = self._at
        left = (self._end - at) // size * size
        if not left or self._direction != FROM_HOST:
            return len(data)
        moved = min(left, len(data))
        end = self._at = at + moved
        self._window[at:end] = data[:moved]
        if end == self._end:
            self._block_moved()
        return moved

    def _block_moved(self) -> None:
        self._direction = IDLE
        self.selected.status &= ~DRQ
        if self._after:
            self._after(self, self._window)

    # --- the other registers -----------------------------------------------

    def status(self) -> int:
        """Return the status register of the selected device; an empty place drives nothing, the bus reads 0."""
        device = self.selected
        if device.present or device is self.devices[0] and not self.empty:
            return device.status
        return 0

    def read_status(self) -> int:
        """Return the status register at offset 7: reading it withdraws the interrupt (clause 7.15)."""
        if self.line.level:
            self.line.set(0)
        device = self.selected
        return device.status if device.present else self.status()

    def read_register(self, number: int) -> int:
        """Task file registers 1 to 7."""
        if number == 7:
            return self.read_status()
        device = self.selected
        if self.empty or number == 1 and not device.present and device is not self.devices[0]:
            return 0
        if number == 6:
            return device.select
        if self.control_bits & HOB:
            return (device.hob_feature, device.hob_count, device.hob_sector, device.hob_low, device.hob_high
                    )[number - 1]
        return (device.error, device.count & 0xFF, device.sector, device.low, device.high)[number - 1]

    def write_register(self, number: int, value: int) -> None:
        """Task file registers 1 to 7; 1 to 6 are deaf while the device is busy or moves data (clause 9)."""
        if number == 7:
            self.control_bits &= ~HOB
            if self.line.level:
                self.line.set(0)
            execute(self, value)
            return
        if self.selected.status & (BSY | DRQ):
            return
        self.control_bits &= ~HOB
        one, two = self.devices  # both hear every write
        if number == 2:
            one.hob_count, one.count = one.count & 0xFF, value
            two.hob_count, two.count = two.count & 0xFF, value
        elif number == 3:
            one.hob_sector, one.sector = one.sector, value
            two.hob_sector, two.sector = two.sector, value
        elif number == 4:
            one.hob_low, one.low = one.low, value
            two.hob_low, two.low = two.low, value
        elif number == 5:
            one.hob_high, one.high = one.high, value
            two.hob_high, two.high = two.high, value
        elif number == 6:
            one.select = two.select = value | ALWAYS_ON
            self.selected = two if value & DEV else one
        else:
            one.hob_feature, one.feature = one.feature, value
            two.hob_feature, two.feature = two.feature, value

    def write_control(self, value: int) -> None:
        """Device control: HOB, nIEN, and SRST, whose rising edge resets both devices (clause 9.3).

        From that edge on they are deaf: what has begun on the medium is not torn, all else is cancelled
        at once, so that no START of the bus master finds it still armed.
        """
        rising = value & ~self.control_bits & SRST
        self.control_bits = value
        if rising:
            self._cancel()
            for device in self.devices:
                device.status |= BSY
            self._begin_reset()

    def _cancel(self) -> None:
        """Let the medium finish what it was asked for, and drop what is only asked for: data to move, a DMA that waits for START."""
        self.settle()
        self.close_window()
        if self.dma:
            self.dma.disarm()

    def _begin_reset(self) -> None:
        self.resetting = True
        if self.service is None:
            self._software_reset()
        else:
            self.service("reset", 0, self._software_reset)

    def _software_reset(self) -> None:
        if not self.resetting:
            return
        self.resetting = False
        for device in self.devices:
            device.reset_registers()
            device.error = 1  # diagnostic code: passed
            self.interrupt()
        self.control_bits &= ~SRST

    # --- checkpoint --------------------------------------------------------

    def save(self) -> State:
        """Return all state but the images, as plain data."""
        waiting = self.waiting and (self.waiting[0], self.waiting[1], NAMES[self.waiting[2]])
        return {
            "devices": [device.save() for device in self.devices], "selected": self.devices.index(self.selected),
            "control": self.control_bits, "resetting": self.resetting, "waiting": waiting,
            "progress": (self.block, self.lba, self.moving, self.total),
            "window": bytes(self._window), "at": self._at, "direction": self._direction,
            "after": self._after and NAMES[self._after], "line": self.line.level,
        }

    def restore(self, state: State, serve: bool = True) -> None:
        """Take back what `save` gave.  An access that was under way is served anew, unless its `access()` comes
        from who has kept the medium's time (`serve` false)."""
        self._start_over()
        for device, saved in zip(self.devices, state["devices"]):
            device.restore(saved)
        self.selected = self.devices[state["selected"]]
        self.control_bits = state["control"]
        self.block, self.lba, self.moving, self.total = state["progress"]
        self._direction, self._at = state["direction"], state["at"]
        self._window = bytearray(state["window"]) if self._direction == FROM_HOST else state["window"]
        self._words = ()
        self._end = len(self._window)
        self._after = state["after"] and STEPS[state["after"]]
        self.line.set(state["line"])
        if state["waiting"]:
            op, sectors, finish = state["waiting"]
            if serve:
                self.start(op, sectors, STEPS[finish])
            else:
                self.waiting = op, sectors, STEPS[finish]
        if state["resetting"]:
            self._begin_reset()
