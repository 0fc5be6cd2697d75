"""How a disk's data moves: the PIO protocols, block by block, and the hand-over to the bus master.

A command that moves data goes on in steps.  A step runs when the medium has
been read or written, or when the host has moved a DRQ block.  While the medium
works the device is BSY; a block to move is DRQ plus an interrupt, but for the
first block of a write (ATA/ATAPI-6, T13/1410D, clauses 9.5 to 9.7).
"""

from vmio.devices.ata.contracts import Channel, Command, Finish
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.ata.taskfile import BSY, DRQ, READY, UNC
from vmio.machine.contracts import Buffer

BUSY = READY | BSY
FROM_HOST = 2  # direction of a DRQ block that the host fills


def aborted(channel: Channel, device: AtaDisk) -> bool:
    """End with ABRT; for `return aborted(...)`."""
    channel.abort(device)
    return True


def offer_page(channel: Channel, page: bytes) -> None:
    """512 bytes that the device made itself: DRQ and the interrupt come at once."""
    channel.selected.status = READY
    channel.open_window(page, None)
    channel.interrupt()


# --- PIO data-in ------------------------------------------------

def read_pio(lba48: bool, multiple: bool = False) -> Command:
    """READ SECTORS and READ MULTIPLE: a DRQ block is one sector, or as many as SET MULTIPLE MODE said."""
    def command(channel: Channel, device: AtaDisk) -> bool:
        if not device.present or multiple and not device.multiple:
            return aborted(channel, device)
        begin_pio(channel, device, lba48, multiple)
        next_block_in(channel, b"")
        return False
    return command


def begin_pio(channel: Channel, device: AtaDisk, lba48: bool, multiple: bool) -> None:
    """Where the command starts and in what blocks; the registers can't change until it is over."""
    device.expand_count(lba48)
    channel.total = device.count
    channel.block = device.multiple if multiple else 1
    channel.lba = device.lba


def start_block(channel: Channel, possible: bool, kind: str, whole: bool, then: Finish) -> None:
    """Let a block take its time: the medium's for the `whole` command, or its buffer's.  One that isn't possible ends the command."""
    if not possible:
        channel.abort(channel.selected)
        channel.interrupt()
    elif whole:
        channel.start(kind, channel.total, then)
    else:
        channel.start("buffer", channel.moving, then)


def end_block(channel: Channel) -> None:
    """A block is over: the registers say where the next one is."""
    device, lba, count = channel.selected, channel.lba, channel.moving
    device.status = READY
    device.advance(lba, count)
    channel.lba = lba + count


def next_block_in(channel: Channel, _: Buffer) -> None:
    """The host has room for a block: fetch it, unless that was the last one."""
    device, left = channel.selected, channel.selected.count
    device.error = 0
    if not left:
        device.status = READY
        return
    device.status = BUSY
    channel.moving = left if left < channel.block else channel.block
    # The medium reads on, so the later blocks come from its buffer.
    start_block(channel, device.in_range(channel.lba, channel.moving), "read", left == channel.total, block_read)


def block_read(channel: Channel) -> None:
    """The medium has delivered a block."""
    device = channel.selected
    data = device.fetch(channel.lba, channel.moving)
    if data is None:
        channel.abort(device, UNC)
    else:
        end_block(channel)
        channel.open_window(data, next_block_in)
    channel.interrupt()


# --- PIO data-out: 8.62 to 8.66 -----------------------------------------------

def write_pio(lba48: bool, multiple: bool = False) -> Command:
    """WRITE SECTORS and WRITE MULTIPLE.  The first block is asked for without an interrupt (clause 9.6)."""
    def command(channel: Channel, device: AtaDisk) -> bool:
        if not device.present or multiple and not device.multiple:
            return aborted(channel, device)
        begin_pio(channel, device, lba48, multiple)
        device.status = READY
        ask_block(channel)
        return False
    return command


def ask_block(channel: Channel) -> None:
    """Open the window for the next block from the host."""
    channel.moving = min(channel.selected.count, channel.block)
    channel.open_window(bytearray(512 * channel.moving), block_out, FROM_HOST)


def block_out(channel: Channel, block: bytes) -> None:
    """The host has filled a block: only now is its address looked at."""
    device, lba = channel.selected, channel.lba
    device.status = BUSY
    # With the last block all of it goes to the medium.
    start_block(channel, device.in_range(lba, channel.moving) and device.store(lba, block), "write",
                device.count == channel.moving, block_written)


def block_written(channel: Channel) -> None:
    """The medium has the block; every block ends with an interrupt."""
    end_block(channel)
    if channel.selected.count:
        ask_block(channel)
    channel.interrupt()


# --- DMA: 8.25, 8.59 and ACS-2's DATA SET MANAGEMENT -----------------------------

def dma(kind: str, lba48: bool = False) -> Command:
    """READ DMA and WRITE DMA: DRQ until the bus master has done the work."""
    def command(channel: Channel, device: AtaDisk) -> bool:
        if not device.present or not device.dma:
            return aborted(channel, device)
        device.expand_count(lba48)
        return arm(channel, device, kind)
    return command


def arm(channel: Channel, device: AtaDisk, kind: str) -> bool:
    """Leave the command with the bus master."""
    device.status = READY | DRQ
    if channel.dma:
        channel.dma.arm(kind)
    return False


def data_set_management(channel: Channel, device: AtaDisk) -> bool:
    """Only TRIM.  The ranges are fetched and checked, all of them before any is discarded; then they read as zeros."""
    if device.feature != 1 or not device.present or not device.dma:
        return aborted(channel, device)
    return arm(channel, device, "trim")


def dma_moved(channel: Channel) -> None:
    """The medium has finished a DMA command."""
    channel.dma.finish()  # type: ignore[union-attr]  # it has asked for this
