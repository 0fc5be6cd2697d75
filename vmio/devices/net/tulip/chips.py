"""What tells the two chips apart: who they are, their registers after a reset, which interrupts they have.

Reset values of the 21143: recorded from QEMU 7.2 (data/golden/tulip_tx_rx.json).  Of the 21140A: the manual's table of them
as SIMH's Alpha has it (AlphaServer, pci_dec21x4x.h); CSR3, CSR4 and CSR10, which are undefined there, are 0 here.
"""

from dataclasses import dataclass

from vmio.devices.net.tulip import bits as b
from vmio.devices.pci.function import Identity

ETHERNET = 0x020000


@dataclass(frozen=True)
class Chip:
    """One kind: `reset` is CSR0 to CSR15; `abnormal` the bits of CSR5 that the abnormal summary is of.

    `general_port`: CSR12 is eight pins, and not the state of a serial interface.  `media_block` is the kind of MII block in
    its ROM.  `tells_type`: RDES0's frame type bit is set for frames with a type in place of a length.  `mdio_idle` is what
    the MII's data line reads while nobody drives it: a board has a pull-up (IEEE 802.3, 22.2.4.5.2).  `moderates`: CSR11 can
    hold interrupts back.
    """

    name: str
    identity: Identity
    reset: tuple[int, ...]
    abnormal: int
    general_port: bool
    media_block: int
    tells_type: bool
    mdio_idle: int
    moderates: bool = False

    @property
    def acknowledged(self) -> int:
        """The bits of CSR5 that a written one clears."""
        return b.NORMAL | self.abnormal | b.NIS | b.AIS


CHIPS = {chip.name: chip for chip in (
    # Hyper-V's and Virtual PC's adapter; Windows knows it as PCI\\VEN_1011&DEV_0009&SUBSYS_21140A00&REV_20.
    Chip("21140A", Identity(0x1011, 0x0009, ETHERNET, revision=0x20, subsystem=(0x0A00, 0x2114)),
         (0xFE00_0000, 0xFFFF_FFFF, 0xFFFF_FFFF, 0, 0, 0xFC00_0000, 0x3200_0040, 0xFFFE_0000, 0xE000_0000, 0xFFF4_83FF, 0,
          0xFFFE_0000, 0xFFFF_FE00, 0, 0, 0xFFFF_FEC8), b.ABNORMAL, True, 1, True, 1),
    # As QEMU has it: RDES0's frame type stays 0, and a PHY that isn't there reads as zeros.
    Chip("21143", Identity(0x1011, 0x0019, ETHERNET, subsystem=(0x103C, 0x104F)),
         (0xFE00_0000, 0xFFFF_FFFF, 0xFFFF_FFFF, 0, 0, 0xF000_0000, 0x3200_0040, 0xF3FE_0000, 0xE000_0000, 0xFFF4_83FF, 0,
          0xFFFE_0000, 0x0000_5000, 0xFFFF_0000, 0xFFFF_FFFF, 0x8FF0_0000), b.ABNORMAL_21143, False, 3, False, 0, moderates=True),
)}


def chip_named(name: str) -> Chip:
    """Return a chip by name; ValueError for one that is not modelled."""
    if name not in CHIPS:
        raise ValueError(f"chip {name!r}: choose one of {', '.join(CHIPS)}")
    return CHIPS[name]
