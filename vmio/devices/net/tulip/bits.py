"""The bits of the registers and descriptors, by the names that the manual gives them.

Sources: DIGITAL 21140A Hardware Reference Manual (EC-QN7NF-TE), chapters 3 "Registers" and 4 "Host Communication Area";
Linux, drivers/net/ethernet/dec/tulip/tulip.h; NetBSD, sys/dev/ic/tulipreg.h; QEMU 7.2, hw/net/tulip.h.
"""

# CSR0, bus mode.
RESET = 1 << 0                       # SWR
SKIP_SHIFT, SKIP_MASK = 2, 0x1F      # DSL: longwords between two descriptors of a ring
AUTO_POLL_SHIFT, AUTO_POLL_MASK = 17, 7   # TAP
BIG_ENDIAN_DESCRIPTORS = 1 << 20     # DBO
# How often a suspended transmit process looks by itself, ns, by TAP.
AUTO_POLL_NS = (0, 200_000, 800_000, 1_600_000, 12_800, 25_600, 51_200, 102_400)

# CSR5, status, and CSR7, which enables its interrupts.
TI = 1 << 0       # a frame (or setup frame) with IC was sent
TPS = 1 << 1      # the transmit process has stopped
TU = 1 << 2       # the next transmit descriptor is not the chip's
TJT = 1 << 3      # jabber: a frame without an end
LNP = 1 << 4      # 21143: link pass
UNF = 1 << 5      # underflow
RI = 1 << 6       # a frame was received
RU = 1 << 7       # the next receive descriptor is not the chip's
RPS = 1 << 8      # the receive process has stopped
RWT = 1 << 9      # receive watchdog
ETI = 1 << 10     # early transmit
GTE = 1 << 11     # the general-purpose timer has expired
LNF = 1 << 12     # 21143: link fail
FBE = 1 << 13     # fatal bus error: what kind is in bits 25:23
ERI = 1 << 14     # early receive
AIS = 1 << 15     # abnormal interrupt summary
NIS = 1 << 16     # normal interrupt summary
GPI = 1 << 26     # 21143: general-purpose port
LC = 1 << 27      # 21143: link changed
NORMAL = TI | TU | RI | GTE | ERI
ABNORMAL = TPS | TJT | UNF | RU | RPS | RWT | ETI | FBE
ABNORMAL_21143 = ABNORMAL | LNP | LNF | GPI | LC
RX_STATE, TX_STATE, ERROR = 17, 20, 23        # where three fields of three bits begin
RX_STOPPED, RX_WAITING, RX_SUSPENDED = 0, 3, 4
TX_STOPPED, TX_SENDING, TX_SUSPENDED = 0, 2, 6
MASTER_ABORT = 1

# CSR6, operating mode.
HP = 1 << 0       # read only: hash and one perfect address
SR = 1 << 1       # start receive
HO = 1 << 2       # read only: hash alone
IF = 1 << 4       # read only: inverse
PR = 1 << 6       # promiscuous
PM = 1 << 7       # pass all multicast
LOOPBACK_SHIFT, LOOPBACK_MASK = 10, 3     # OM: 0 normal, 1 internal, 2 external
ST = 1 << 13      # start transmit
PS = 1 << 18      # port select: MII, or else 10 Mb/s by the chip's own port
TTM = 1 << 22     # transmit threshold mode: the MII port runs at 10 Mb/s
MUST_BE_ONE = 1 << 25
RA = 1 << 30      # receive all
FILTER_BITS = HP | HO | IF
FILTER_MODES = FILTER_BITS | PR | PM

# CSR8, missed frames.
MISSED_MASK, MISSED_OVERFLOW = 0xFFFF, 1 << 16

# CSR9, serial ROM and MII pins.
SROM_CS, SROM_CLOCK, SROM_IN, SROM_OUT, SROM_SELECT = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 11
MDC, MDO, MII_INPUT, MDI = 1 << 16, 1 << 17, 1 << 18, 1 << 19

# CSR11, general-purpose timer; above it, in the 21143, interrupt moderation: where fields begin, of 3 bits (frames) and 4 (time).
TIMER_MASK, TIMER_CONTINUOUS = 0xFFFF, 1 << 16
TIMER_BITS = TIMER_MASK | TIMER_CONTINUOUS
RX_FRAMES, RX_TIME, TX_FRAMES, TX_TIME = 17, 20, 24, 27       # NRP, RT, NTP, TT
CYCLE_SHORT = 1 << 31     # CS
# CSR12 of the 21140A, general-purpose port.
PORT_CONTROL = 1 << 8

# Descriptors: both kinds.
OWN = 1 << 31
END_OF_RING, CHAINED = 1 << 25, 1 << 24       # of the second longword
SIZE_MASK, SIZE_2_SHIFT = 0x7FF, 11
# RDES0.
R_FF, R_ES, R_DE, R_MF, R_FS, R_LS, R_TL, R_FT = 1 << 30, 1 << 15, 1 << 14, 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 5
R_LENGTH_SHIFT, R_LENGTH_MASK, R_TYPE_SHIFT = 16, 0x3FFF, 12
LONGEST = 1518    # with FCS: above it a frame is marked as too long
# TDES0 and TDES1.
T_ES, T_TO = 1 << 15, 1 << 14
T_IC, T_LS, T_FS, T_FT1, T_SET, T_AC, T_DPD, T_FT0 = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 27, 1 << 26, 1 << 23, 1 << 22
T_NOTHING = 0x7FFF_FFFF      # TDES0 of a setup frame, and of a descriptor without a buffer
JABBER = 2048     # bytes after which a frame without an end is cut off
