"""Where the 82576 has its registers, and what their bits mean.  All are of 32 bits.

Source: Intel 82576EB data sheet, chapter 8 "Programming Interface" and 8.26 "Virtual Function Device Registers"; Linux,
drivers/net/ethernet/intel/igb/e1000_regs.h and e1000_defines.h, igbvf/regs.h and defines.h, for what no text of the sheet was at hand.
"""

# Of both functions, at the same place.
CTRL, STATUS = 0x0000, 0x0008
RESET = 1 << 26                                     # of CTRL
FULL_DUPLEX, LINK_UP, GIGABIT = 1 << 0, 1 << 1, 2 << 6            # of STATUS
ALWAYS = 1 << 31 | 1 << 19 | 1 << 10                # ... as the card says after its reset: clock gating, bus master, PHY
VIRTUALIZED, VF_COUNT_SHIFT = 1 << 18, 14
EICS, EIMS, EIMC, EIAC, EIAM, EICR, EITR = 0x1520, 0x1524, 0x1528, 0x152C, 0x1530, 0x1580, 0x1680
INTERVAL_MASK = 0x7FFC                              # of EITR: in microseconds, from bit 2 on
IVAR, IVAR_MISC = 0x1700, 0x1740
VALID, OTHER_SHIFT = 0x80, 8                        # of an IVAR's byte; where IVAR_MISC has the PF's other causes
MAIL = 0x0800                                       # the mailbox's 16 words; VF n's of the PF at + 40h * n

# Of a VF.
V2P = 0x0C40
REQUEST, ACK, VF_USES, PF_USES, PF_STATUS, PF_ACK, RESET_NOW, RESET_DONE = (1 << bit for bit in range(8))
RX, TX = 0x2800, 0x3800                             # of queue 0; queue 1's are 100h higher
LOW, HIGH, LENGTH, SRRCTL, HEAD, DCA, TAIL, CONTROL = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x28
ENABLE = 1 << 25                                    # of a queue's CONTROL
DCA_TX_POWER_ON = 0x2A00
RX_FRAMES, TX_FRAMES, RX_BYTES, TX_BYTES, RX_GROUP = 0x0F10, 0x0F14, 0x0F18, 0x0F34, 0x0F3C
LOOP_RX_FRAMES, LOOP_TX_FRAMES, LOOP_RX_BYTES, LOOP_TX_BYTES = 0x0F40, 0x0F44, 0x0F48, 0x0F50

# Of the PF.
CTRL_EXT, ICR, IMS, IMC = 0x0018, 0x00C0, 0x00D0, 0x00D8
RESET_IS_DONE = 1 << 14                             # of CTRL_EXT: virtual functions may begin
LINK_CHANGED, MAILBOX = 1 << 2, 1 << 8              # of ICR
P2V = 0x0C00                                        # VF n's at + 4 * n
STATUS_READY, TAKE_AWAY = 1 << 0, 1 << 4            # of P2V: a message for the VF; the buffer is the PF's, whoever has it
MBVFICR, MBVFIMR, VFLRE, VFRE, VFTE = 0x0C80, 0x0C84, 0x0C88, 0x0C8C, 0x0C90
ACK_SHIFT = 16                                      # of MBVFICR: requests below, acknowledgements above
DTXSWC, WVBR, VMVIR = 0x3500, 0x3554, 0x3700
VLAN_SPOOF_SHIFT, LOOPBACK = 8, 1 << 31             # of DTXSWC; MAC spoofing: bits 7:0
ALWAYS_INSERT = 1 << 30                             # of VMVIR
MTA = 0x5200                                        # groups' hashes, 128 words
ADDRESSES = (*range(0x5400, 0x5480, 8), *range(0x54E0, 0x5520, 8))       # RAL, with RAH four bytes behind: 24 pairs
ADDRESS_VALID, POOL_SHIFT = 1 << 31, 18             # of RAH
VMOLR_POWER_ON = 0x8000_2600                        # strip the FCS; 9,728 bytes, if long frames are allowed
VT_CTL, VMOLR, VLVF = 0x581C, 0x5AD0, 0x5D00
DEFAULT_POOL_SHIFT, NO_DEFAULT_POOL, REPLICATE = 7, 1 << 29, 1 << 30      # of VT_CTL
LONGEST, LONG, UNTAGGED, GROUPS_BY_HASH, BROADCASTS, ALL_GROUPS, STRIP = (0x3FFF, 1 << 16, 1 << 24, 1 << 25, 1 << 27, 1 << 28, 1 << 30)
VLVF_VALID, VLVF_POOL_SHIFT = 1 << 31, 12
