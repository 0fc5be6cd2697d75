"""How a disk's data moves: the PIO protocols, block by block, and the hand-over to the bus master.

A command that moves data goes on in steps.  A step runs when the medium has
been read or written, or when the host has moved a DRQ block.  While the medium
works the device is BSY; a block to move is DRQ plus an interrupt, but for the
first block of a write (ATA/ATAPI-6, T13/1410D, clauses 9.5 to 9.7).
"""

from vmio.devices.ata.taskfile import BSY, DRQ, READY

BUSY = READY | BSY
FROM_HOST = 2  # direction of a DRQ block that the host fills


def aborted(channel, device):
    """End with ABRT; for `return aborted(...)`."""
    channel.abort(device)
    return True


def offer_page(channel, page):
    """512 bytes that the device made itself: DRQ and the interrupt come at once."""
    channel.selected.status = READY
    channel.open_window(page, None)
    channel.interrupt()


# --- PIO data-in ------------------------------------------------

def read_pio(lba48, multiple=False):
    """READ SECTORS and READ MULTIPLE: a DRQ block is one sector, or as many as SET MULTIPLE MODE said."""
    def command(channel, device):
        if not device.present or multiple and not device.multiple:
            return aborted(channel, device)
        begin_pio(channel, device, lba48, multiple)
        next_block_in(channel, b"")
        return False
    return command


def begin_pio(channel, device, lba48, multiple):
    """Where the command starts and in what blocks; the registers can't change until it is over."""
    device.expand_count(lba48)
    channel.total = device.count
    channel.block = device.multiple if multiple else 1
    channel.lba = device.lba


def next_block_in(channel, _):
    """The host has room for a block: fetch it, unless that was the last one."""
    device, left = channel.selected, channel.selected.count
    device.error = 0
    if not left:
        device.status = READY
        return
    device.status = BUSY
    channel.moving = left if left < channel.block else channel.block
    if device.in_range(channel.lba, channel.moving):
        if left == channel.total:      # the medium reads on, so the later blocks come from its buffer
            channel.start("read", left, block_read)
        else:
            channel.start("buffer", channel.moving, block_read)
    else:
        channel.abort(device)
        channel.interrupt()


def block_read(channel):
    """The medium has delivered a block."""
    device, lba, count = channel.selected, channel.lba, channel.moving
    device.status = READY
    device.advance(lba, count)
    channel.lba = lba + count
    channel.open_window(device.image.read(lba, count), next_block_in)
    channel.interrupt()


# --- PIO data-out: 8.62 to 8.66 -----------------------------------------------

def write_pio(lba48, multiple=False):
    """WRITE SECTORS and WRITE MULTIPLE.  The first block is asked for without an interrupt (clause 9.6)."""
    def command(channel, device):
        if not device.present or multiple and not device.multiple:
            return aborted(channel, device)
        begin_pio(channel, device, lba48, multiple)
        device.status = READY
        ask_block(channel)
        return False
    return command


def ask_block(channel):
    """Open the window for the next block from the host."""
    channel.moving = min(channel.selected.count, channel.block)
    channel.open_window(bytearray(512 * channel.moving), block_out, FROM_HOST)


def block_out(channel, block):
    """The host has filled a block: only now is its address looked at."""
    device, lba = channel.selected, channel.lba
    device.status = BUSY
    if device.in_range(lba, channel.moving) and device.store(lba, block):
        if channel.selected.count == channel.moving:   # the last block: now all of it goes to the medium
            channel.start("write", channel.total, block_written)
        else:
            channel.start("buffer", channel.moving, block_written)
    else:
        channel.abort(device)
        channel.interrupt()


def block_written(channel):
    """The medium has the block; every block ends with an interrupt."""
    device, lba, count = channel.selected, channel.lba, channel.moving
    device.status = READY
    device.advance(lba, count)
    channel.lba = lba + count
    if device.count:
        ask_block(channel)
    channel.interrupt()


# --- DMA: 8.25, 8.59 and ACS-2's DATA SET MANAGEMENT -----------------------------

def dma(kind, lba48=False):
    """READ DMA and WRITE DMA: DRQ until the bus master has done the work."""
    def command(channel, device):
        if not device.present:
            return aborted(channel, device)
        device.expand_count(lba48)
        return arm(channel, device, kind)
    return command


def arm(channel, device, kind):
    """Leave the command with the bus master."""
    device.status = READY | DRQ
    if channel.dma:
        channel.dma.arm(kind)
    return False


def data_set_management(channel, device):
    """Only TRIM.  The ranges are fetched and checked, all of them before any is discarded; then they read as zeros."""
    if device.feature != 1 or not device.present:
        return aborted(channel, device)
    return arm(channel, device, "trim")


def dma_moved(channel):
    """The medium has finished a DMA command."""
    channel.dma.finish()
