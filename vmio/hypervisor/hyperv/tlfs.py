"""Numbers and layouts of Microsoft's hypervisor interface that guest and hypervisor share: declarations only.

Source: Hypervisor Top Level Functional Specification (TLFS): "Feature and
Interface Discovery", "Hypercall Interface", "Inter-Partition Communication".
"""

from vmio.machine.layout import Layout, u8, u16, u32, u64

# Synthetic MSRs.
GUEST_OS_ID, HYPERCALL = 0x4000_0000, 0x4000_0001
VP_INDEX = 0x4000_0002
TIME_REF_COUNT = 0x4000_0020                 # 100 ns units
EOI, ICR, TPR, VP_ASSIST_PAGE = range(0x4000_0070, 0x4000_0074)
SCONTROL, SVERSION, SIEFP, SIMP, EOM = range(0x4000_0080, 0x4000_0085)
SINT0 = 0x4000_0090                          # to SINT15 at +15
SINTS = 16

ENABLE = 1                                   # bit 0 of HYPERCALL, VP_ASSIST_PAGE, SCONTROL, SIEFP and SIMP
LOCKED = 1 << 1                              # HYPERCALL
PAGE_MASK = ~0xFFF & (1 << 64) - 1           # the page's address in all of them but SCONTROL
MASKED, AUTO_EOI, POLLING = 1 << 16, 1 << 17, 1 << 18  # SINTx; bits 7:0 are the vector

# CPUID 40000003h: privileges.  40000004h: what the hypervisor recommends.
TIME_COUNT_BIT, SYNIC_BIT, APIC_BIT, HYPERCALL_BIT, VP_INDEX_BIT = 1 << 1, 1 << 2, 1 << 4, 1 << 5, 1 << 6  # EAX
POST_MESSAGES_BIT, SIGNAL_EVENTS_BIT = 1 << 4, 1 << 5                                                     # EBX
APIC_MSRS_HINT, RELAXED_TIMING_HINT, NO_AUTO_EOI_HINT = 1 << 3, 1 << 5, 1 << 9                            # EAX
INTERFACE = int.from_bytes(b"Hv#1", "little")  # EAX of 40000001h

# Hypercalls: the control word, call codes, status codes.
FAST = 1 << 16                               # the input is in registers
RESERVED_CONTROL = 0xF << 27 | 0xF << 44 | 0xF << 60
SIZES_CONTROL = 0x3FF << 17 | 1 << 31 | 0xFFF << 32 | 0xFFF << 48  # variable header, nested, repetitions
POST_MESSAGE, SIGNAL_EVENT = 0x5C, 0x5D
FAST_SIGNAL_EVENT = SIGNAL_EVENT | FAST

SUCCESS, INVALID_CODE, INVALID_INPUT, INVALID_ALIGNMENT, INVALID_PARAMETER, ACCESS_DENIED = 0, 2, 3, 4, 5, 6
INSUFFICIENT_MEMORY, INVALID_CONNECTION_ID, INSUFFICIENT_BUFFERS, INVALID_SYNIC_STATE = 0x0B, 0x12, 0x13, 0x18
STATUS_NAMES = {
    SUCCESS: "success", INVALID_CODE: "invalid hypercall code", INVALID_INPUT: "invalid hypercall input",
    INVALID_ALIGNMENT: "invalid alignment", INVALID_PARAMETER: "invalid parameter", ACCESS_DENIED: "access denied",
    INSUFFICIENT_MEMORY: "insufficient memory", INVALID_CONNECTION_ID: "invalid connection id",
    INSUFFICIENT_BUFFERS: "insufficient buffers", INVALID_SYNIC_STATE: "invalid SynIC state"}

MAX_PAYLOAD = 240
POST_INPUT = Layout("POST_INPUT", u32("connection_id"), u32("reserved"), u32("message_type"), u32("size"),
                    tail="payload")          # 256 bytes with its payload
POST_INPUT_BYTES = POST_INPUT.size + MAX_PAYLOAD
SIGNAL_INPUT = Layout("SIGNAL_INPUT", u32("connection_id"), u16("flag"), u16("reserved"))

# Pages: 16 message slots of 256 bytes in one, 16 times 2,048 event flags in the other.
SLOT = 256
MESSAGE_PENDING = 1                          # bit 0 of a slot's flags: more is waiting, write EOM
MESSAGE = Layout("MESSAGE", u32("message_type", "0 = the slot is free"), u8("size"), u8("flags"), u16("reserved"),
                 u64("sender"), tail="payload")
FLAGS_PER_SINT = 8 * SLOT
