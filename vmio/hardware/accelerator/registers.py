"""The matrix engine's registers, its descriptors, and how fast it is.

The names are ours; what they do is what real ones of this kind do: a ring in memory and a doorbell (as NVMe and network cards
have), memory on the chip that software fills and empties by itself (Gemmini's scratchpad), one interrupt for many operations
(NVDLA's programming guide, "command-execute-interrupt").  Registers are of 32 bits.

Sources: github.com/ucb-bar/gemmini, README (mvin, compute, mvout; 16 x 16 multipliers of int8 into int32 sums);
nvdla.org, "Hardware Architectural Specification"; PCI Express Base Specification 3.0, 4.2 (8 GT/s, 128b/130b).
"""

from enum import IntEnum

from vmio.machine.layout import Layout, u8, u16, u32, u64

BAR_BYTES = 1 << 17
ID, FEATURES, CONTROL, STATUS = 0x00, 0x04, 0x08, 0x0C
RING_LOW, RING_HIGH, RING_SIZE, HEAD, TAIL = 0x20, 0x24, 0x28, 0x2C, 0x30     # TAIL is the doorbell
DIRECT = 0x40                          # to 5Fh: one descriptor, for software that has no ring
TABLE, PENDING = 0x1000, 0x2000        # of MSI-X, on pages of their own
SRAM, SRAM_BYTES = 0x10000, 1 << 16    # the on-chip memory, as the processor sees it

IDENTITY = 0x4D41_5458                 # "XTAM": the letters MATX, read from the lowest byte
RUN, RESET, START = 1, 2, 4            # of CONTROL: take descriptors from the ring; forget all; do the direct one
BUSY, HALTED = 1, 2                    # of STATUS, whose bits 15 to 8 are an `Error`
MAX_ENTRIES = 4096                     # of the ring

LANES = 256                            # products a clock: Gemmini's 16 x 16, at 1 GHz
LINK_BYTES, LINK_NS = 3938, 1000       # moved in so many ns: PCI Express 3.0, four lanes, 8 GT/s x 4 x 128/130
FETCH_NS = 500                         # to read a descriptor over the link: the model's own figure, as all from here on
SLICE_NS = 10_000                      # as long as one function has the multipliers while another waits
LIMIT_NS = 2_000_000                   # as long as one job may take, then it is ended


class Op(IntEnum):
    """What a descriptor asks for."""

    NOP = 0
    LOAD = 1           # rows x cols bytes from memory to `output` of the SRAM
    MATMUL = 2         # rows x depth at `input`, times depth x cols at `weights`, to rows x cols at `output`
    STORE = 3          # rows x cols bytes from `input` of the SRAM to memory
    JUMP = 4           # the next descriptor is entry `rows` of the ring


class Error(IntEnum):
    """Why a function has halted; until it is reset."""

    NONE = 0
    OPERATION = 1      # no such operation, or flags that it doesn't have
    BOUNDS = 2         # beyond the SRAM
    RING = 3           # a ring that can't be, or a tail or a jump beyond it
    DMA = 4            # memory refused
    LIMIT = 5          # the job took too long


INTERRUPT, BIAS, RELU, REQUANTISE = 1, 2, 4, 8      # flags; without REQUANTISE a product is stored as its int32 sums

DESCRIPTOR = Layout(
    "DESCRIPTOR", u8("op", names={each: each.name for each in Op}), u8("flags"), u16("rows"), u16("cols"), u16("depth"),
    u64("address", "memory, of LOAD and STORE"), u16("input", "places in the SRAM"), u16("weights"), u16("bias"), u16("output"),
    u32("factor", "of REQUANTISE: sums times factor, shifted right"), u8("shift"), u8("reserved1"), u16("reserved2"))
WRITTEN = Layout("WRITTEN", u32("head", "entries before this one are done"), u32("status"))     # behind the ring's last entry
