"""The two register blocks of an ATA channel, as a PC's I/O space shows them (ATA/ATAPI-6, T13/1410D, clause 7.2)."""

from vmio.devices.ata.contracts import Channel
from vmio.machine.bus import BadAccess


class CommandBlock:
    """The eight ports at 1F0h or 170h: the data port is 2 or 4 bytes wide, the registers are bytes."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.read_block, self.write_block, self._read_data = channel.read_block, channel.write_block, channel.read_data
        self.reset, self.save, self.restore = channel.reset, channel.save, channel.restore

    def read(self, offset: int, size: int) -> int:
        """Return a register, or data; an access across registers is as many bytes, low first, as a PC's host bridge splits it."""
        if offset == 0:  # first: it is read most.  A byte read takes a whole word and shows its low half; a byte write is lost
            return self._read_data(size) if size != 1 else self._read_data(2) & 0xFF
        if size == 1 and 0 < offset < 8:
            return self.channel.read_status() if offset == 7 else self.channel.read_register(offset)
        if 0 < offset <= 8 - size:
            return sum(self.channel.read_register(offset + n) << 8 * n for n in range(size))
        raise BadAccess(f"ATA command block: no {size}-byte read at {offset}")

    def write(self, offset: int, size: int, value: int) -> None:
        """A register, or data."""
        if size == 1 and 0 < offset < 8:
            self.channel.write_register(offset, value)
        elif offset == 0 and size != 1:
            self.channel.write_data(size, value)
        elif 0 < offset <= 8 - size:
            for n in range(size):
                self.channel.write_register(offset + n, value >> 8 * n & 0xFF)
        else:
            raise BadAccess(f"ATA command block: no {size}-byte write at {offset}")


class ControlBlock:
    """The port at 3F6h or 376h: alternate status (reading leaves the interrupt alone) and device control."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.reset = lambda: None  # the command block resets, saves and restores the channel that both share
        self.save, self.restore = dict, lambda state: None

    def read(self, offset: int, size: int) -> int:
        """Alternate status."""
        if offset or size != 1:
            raise BadAccess(f"ATA control block: no {size}-byte read at {offset}")
        return self.channel.status()

    def write(self, offset: int, size: int, value: int) -> None:
        """Device control."""
        if offset or size != 1:
            raise BadAccess(f"ATA control block: no {size}-byte write at {offset}")
        self.channel.write_control(value)
