"""The command set of an ATA disk (ATA/ATAPI-6, T13/1410D, clause 8), with the answers of QEMU's `ide-hd`.

A command is a function of the channel and the selected device.  It returns
True when it is over at once; then the channel ends it with an interrupt.
Those that move data are in `ata_transfer`.
"""

from collections.abc import Callable

from vmio.devices.ata import smart as ata_smart
from vmio.devices.ata.contracts import Channel, Command
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.ata.identify import DMA_MODES, MAX_MULTIPLE, NOP_AND_SMART, WRITE_CACHE
from vmio.devices.ata.taskfile import BSY, DRDY, DRQ, DSC, HEAD, READY
from vmio.devices.ata.transfer import (
    aborted,
    block_out,
    block_read,
    block_written,
    data_set_management,
    dma,
    dma_moved,
    next_block_in,
    offer_page,
    read_pio,
    write_pio,
)

DIAGNOSE = 0x90      # of both devices: ATA/ATAPI-6, 8.11


def execute(channel: Channel, opcode: int) -> None:
    """A write to the command register.  Empty slaves and busy devices do not listen; what is unknown is aborted."""
    device = channel.selected
    nobody = not device.present and device is not channel.devices[0]
    if nobody and (channel.empty or opcode != DIAGNOSE) or device.status & (BSY | DRQ):
        return
    if opcode == DIAGNOSE:
        channel.diagnose()
        return
    command = COMMANDS.get(opcode)
    if command is None:
        channel.abort(device)
        channel.interrupt()
        return
    device.status, device.error = DRDY | BSY, 0
    if command(channel, device):
        device.status &= ~BSY
        if opcode in SEEK_COMPLETE and not device.error:
            device.status |= DSC
        channel.interrupt()


# --- commands without data ------------------------------------------------------

def identify(channel: Channel, device: AtaDisk) -> bool:
    """8.15."""
    if not device.present:
        return aborted(channel, device)
    offer_page(channel, device.identify())
    return False


def nothing(channel: Channel, device: AtaDisk) -> bool:
    """Accepted, and no more: positioning and power."""
    return True


def initialize_parameters(channel: Channel, device: AtaDisk) -> bool:
    """INITIALIZE DEVICE PARAMETERS (ATA-5, T13/1321D, 8.16): heads less 1 and sectors of the CHS translation."""
    if not device.present:
        return aborted(channel, device)
    device.translate((device.select & HEAD) + 1, device.count & 0xFF)
    return True


def verify(lba48: bool) -> Command:
    """READ VERIFY SECTORS, 8.38: the medium is always good, and the range is not looked at."""
    def command(channel: Channel, device: AtaDisk) -> bool:
        device.expand_count(lba48)
        return True
    return command


def read_native_max(lba48: bool) -> Command:
    """8.32: the last sector, in the address form that the device register asks for."""
    def command(channel: Channel, device: AtaDisk) -> bool:
        if not device.present:
            return aborted(channel, device)
        device.expand_count(lba48)
        device.show_lba(device.image.sectors - 1)
        return True
    return command


def set_multiple(channel: Channel, device: AtaDisk) -> bool:
    """8.52: a power of two up to 16, or 0 to switch READ and WRITE MULTIPLE off."""
    count = device.count & 0xFF
    if count > MAX_MULTIPLE or device.count & device.count - 1 and count:
        return aborted(channel, device)
    if device.present:
        device.multiple = count
    return True


def flush(channel: Channel, device: AtaDisk) -> bool:
    """8.12: what was written is on the medium when this ends."""
    if not device.present:
        flushed(channel)
        return False
    device.status |= BSY
    channel.start("flush", 0, flushed)
    return False


def flushed(channel: Channel) -> None:
    """The medium has nothing left to write, or it fails (8.12.6)."""
    device = channel.selected
    device.status = READY
    if device.present and not device.flush():
        channel.abort(device)
    channel.interrupt()


def check_power(channel: Channel, device: AtaDisk) -> bool:
    """8.7: always active or idle."""
    device.count = 0xFF
    return True


def freeze_lock(channel: Channel, device: AtaDisk) -> bool:
    """SECURITY FREEZE LOCK, 8.45 (to CFA, WEAR LEVEL): no security to freeze; the count becomes 0."""
    device.count = 0
    return True


def set_features(channel: Channel, device: AtaDisk) -> bool:
    """8.46, by subcommand in the features register."""
    feature = device.feature
    if not device.present:
        return aborted(channel, device)
    if feature == 0x03:
        return set_transfer_mode(channel, device)
    if feature in (0x02, 0x82):
        device.write_cache = feature == 0x02
        device.change_words({85: NOP_AND_SMART | (WRITE_CACHE if device.write_cache else 0)})
        return True if device.write_cache else flush(channel, device)
    return feature in ACCEPTED_FEATURES or aborted(channel, device)


# defaults kept or not, look-ahead, power management, acoustics, and four that mean nothing to a disk
ACCEPTED_FEATURES = {0xCC, 0x66, 0xAA, 0x55, 0x05, 0x85, 0x42, 0xC2, 0x69, 0x67, 0x96, 0x9A}


def set_transfer_mode(channel: Channel, device: AtaDisk) -> bool:
    """8.46.10: kind of mode in count bits 7:3, its number in bits 2:0; kept in words 62, 63 and 88."""
    single, multi, ultra = DMA_MODES if device.dma else (0, 0, 0)
    chosen = 1 << (device.count & 7) + 8
    kind = device.count >> 3
    if kind > 0x01 and not device.dma:
        return aborted(channel, device)
    if kind == 0x02:
        single |= chosen
    elif kind == 0x04:
        multi |= chosen
    elif kind == 0x08:
        ultra |= chosen
    elif kind > 0x01:
        return aborted(channel, device)
    device.change_words({62: single, 63: multi, 88: ultra & 0xFFFF})
    return True


def smart(channel: Channel, device: AtaDisk) -> bool:
    """8.50, by subcommand in the features register; see `ata_smart`."""
    if not device.present or (device.low, device.high) != ata_smart.KEY:
        return aborted(channel, device)
    health, feature, sector = device.smart, device.feature, device.sector
    if feature == ata_smart.ENABLE:
        health.enabled = True
        return True
    if not health.enabled:
        return aborted(channel, device)
    page = None
    if feature == ata_smart.READ_DATA:
        page = health.data()
    elif feature == ata_smart.READ_THRESHOLDS:
        page = health.thresholds()
    elif feature == ata_smart.READ_LOG:
        page = health.log(sector)
    elif feature == ata_smart.DISABLE:
        health.enabled = False
        return True
    elif feature == ata_smart.RETURN_STATUS:
        return True  # the key left in the cylinder registers means "healthy"
    elif feature == ata_smart.AUTOSAVE and sector in (0x00, 0xF1):
        health.autosave = sector == 0xF1
        return True
    elif feature == ata_smart.EXECUTE_OFFLINE and sector <= 2:
        health.run_test(sector)
        return True
    if page is None:
        return aborted(channel, device)
    offer_page(channel, page)
    return False


COMMANDS = {
    0x06: data_set_management, 0x10: nothing, 0x70: nothing,
    0x20: read_pio(False), 0x21: read_pio(False), 0x24: read_pio(True),
    0xC4: read_pio(False, multiple=True), 0x29: read_pio(True, multiple=True),
    0x30: write_pio(False), 0x31: write_pio(False), 0x3C: write_pio(False), 0x34: write_pio(True),
    0xC5: write_pio(False, multiple=True), 0x39: write_pio(True, multiple=True),
    0xC8: dma("read"), 0xC9: dma("read"), 0x25: dma("read", lba48=True),
    0xCA: dma("write"), 0xCB: dma("write"), 0x35: dma("write", lba48=True),
    0x40: verify(False), 0x41: verify(False), 0x42: verify(True),
    0xF8: read_native_max(False), 0x27: read_native_max(True),
    0x91: initialize_parameters, 0xB0: smart, 0xC6: set_multiple,
    0x94: nothing, 0x95: nothing, 0x96: nothing, 0x97: nothing, 0x98: check_power, 0x99: nothing,
    0xE0: nothing, 0xE1: nothing, 0xE2: nothing, 0xE3: nothing, 0xE5: check_power, 0xE6: nothing,
    0xE7: flush, 0xEA: flush, 0xEC: identify, 0xEF: set_features, 0xF5: freeze_lock,
}

# Commands that leave DSC set; the power commands leave it clear.
SEEK_COMPLETE = {0x10, 0x70, 0x40, 0x41, 0x42, 0xF8, 0x27, 0x91, 0x98, 0xE5, 0xB0, 0xC6, 0xEF, 0xF5}

# What a channel may be waiting to do, by the name that it has in a checkpoint.
STEPS: dict[str, Callable[..., None]] = {"block taken": next_block_in, "block read": block_read, "block given": block_out,
         "block written": block_written, "DMA data moved": dma_moved, "flushed": flushed}
NAMES = {step: name for name, step in STEPS.items()}
