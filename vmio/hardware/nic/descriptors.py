"""The 82576's advanced descriptors: 16 bytes, which the card reads, and in which it says what has become of them.

Legacy descriptors are left out; no driver of these years writes them.
Source: Intel 82576EB data sheet, 7.1.5 "Advanced Receive Descriptors", 7.2.2 "Transmit Descriptors".
"""

from vmio.machine.layout import Layout, u16, u32, u64

BYTES = 16
RX_READ = Layout("RX_READ", u64("packet", "address of the buffer"), u64("header", "address for split headers: not used"))
RX_WRITTEN = Layout("RX_WRITTEN", u16("info", "3:0 RSS type, 15:4 packet type"), u16("header"), u32("hash"), u32("status"),
                    u16("length"), u16("vlan"))
DONE, END, TAGGED, UDP_CHECKED, TCP_CHECKED, IP_CHECKED, LOOPED = 1 << 0, 1 << 1, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 18
BAD_TRANSPORT, BAD_IP = 1 << 29, 1 << 30
IS_IPV4, IS_IPV6, IS_TCP, IS_UDP = 1 << 4, 1 << 6, 1 << 8, 1 << 9           # of `info`

TX_DATA = Layout("TX_DATA", u64("address"), u32("command"), u32("status"))
TX_CONTEXT = Layout("TX_CONTEXT", u32("lengths", "8:0 IP header, 15:9 MAC header, 31:16 VLAN"), u32("seed"), u32("command"),
                    u32("sizes", "31:16 MSS, 15:8 transport header, 4 which context"))
TYPE_MASK, CONTEXT, DATA = 15 << 20, 2 << 20, 3 << 20
LENGTH_MASK = 0xFFFF
T_END, T_FCS, T_REPORT, T_ADVANCED, T_VLAN, T_SEGMENT = 1 << 24, 1 << 25, 1 << 27, 1 << 29, 1 << 30, 1 << 31
PAYLOAD_SHIFT = 14
T_IP_CHECKSUM, T_CHECKSUM, T_CONTEXT = 1 << 8, 1 << 9, 1 << 4               # of the status of TX_DATA
C_IPV4, C_TCP = 1 << 10, 1 << 11                                            # of the command of TX_CONTEXT
STATUS_AT, _ = TX_DATA.at("status")
