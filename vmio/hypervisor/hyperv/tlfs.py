"""Numbers and layouts of Microsoft's hypervisor interface that guest and hypervisor share: declarations only.

Source: Hypervisor Top Level Functional Specification (TLFS): "Feature and
Interface Discovery", "Hypercall Interface", "Inter-Partition Communication", "Timers".
What the TLFS doesn't name, the invariant TSC's control, is in Linux include/hyperv/hvgdk_mini.h.
"""

from vmio.machine.layout import Layout, i64, u8, u16, u32, u64

# Synthetic MSRs.
GUEST_OS_ID, HYPERCALL = 0x4000_0000, 0x4000_0001
VP_INDEX = 0x4000_0002
TIME_REF_COUNT, REFERENCE_TSC, TSC_FREQUENCY, APIC_FREQUENCY = range(0x4000_0020, 0x4000_0024)  # 100 ns units; Hz
EOI, ICR, TPR, VP_ASSIST_PAGE = range(0x4000_0070, 0x4000_0074)
SCONTROL, SVERSION, SIEFP, SIMP, EOM = range(0x4000_0080, 0x4000_0085)
SINT0 = 0x4000_0090                          # to SINT15 at +15
SINTS = 16
STIMER0_CONFIG = 0x4000_00B0                 # and STIMER0_COUNT at +1, STIMER1_CONFIG at +2 ... STIMER3_COUNT at +7
STIMERS = 4
TSC_INVARIANT_CONTROL = 0x4000_0118

ENABLE = 1                                   # bit 0 of HYPERCALL, VP_ASSIST_PAGE, SCONTROL, SIEFP, SIMP, REFERENCE_TSC
LOCKED = 1 << 1                              # HYPERCALL
PAGE_MASK = ~0xFFF & (1 << 64) - 1           # the page's address in all of them but SCONTROL
MASKED, AUTO_EOI, POLLING = 1 << 16, 1 << 17, 1 << 18  # SINTx; bits 7:0 are the vector
# STIMERx_CONFIG; bit 0 is its ENABLE, bits 11:4 the vector of direct mode, 19:16 the SINT of messages.
PERIODIC, LAZY, AUTO_ENABLE, DIRECT = 1 << 1, 1 << 2, 1 << 3, 1 << 12
STIMER_VECTOR, STIMER_SINT = 4, 16           # shifts
STIMER_RESERVED = 7 << 13 | (1 << 64) - (1 << 20)

# CPUID 40000003h: privileges and features.  40000004h: what the hypervisor recommends.  40000006h: the hardware in use.
TIME_COUNT_BIT, SYNIC_BIT, STIMER_BIT, APIC_BIT, HYPERCALL_BIT, VP_INDEX_BIT = (1 << n for n in range(1, 7))  # EAX
REFERENCE_TSC_BIT, FREQUENCIES_BIT, TSC_INVARIANT_BIT = 1 << 9, 1 << 11, 1 << 15                             # EAX
POST_MESSAGES_BIT, SIGNAL_EVENTS_BIT = 1 << 4, 1 << 5                                                        # EBX
ISOLATION_BIT = 1 << 22                                                                                      # EBX: there is 4000000Ch
HAS_FREQUENCIES, HAS_SINT_POLLING, HAS_HYPERCALL_LOCK, HAS_DIRECT_TIMERS = 1 << 8, 1 << 17, 1 << 18, 1 << 19  # EDX
SECOND_LEVEL_PAGING = 1 << 3                                                                                 # EAX of 40000006h
PRIVILEGES = (TIME_COUNT_BIT | SYNIC_BIT | STIMER_BIT | APIC_BIT | HYPERCALL_BIT | VP_INDEX_BIT | REFERENCE_TSC_BIT
              | FREQUENCIES_BIT | TSC_INVARIANT_BIT | (POST_MESSAGES_BIT | SIGNAL_EVENTS_BIT) << 32)  # all that there is
# CPUID 4000000Ch: EAX bit 0, a paravisor is there; EBX bits 3:0, the kind of isolation (Linux, enum hv_isolation_type);
# bit 5, there is a boundary behind which pages are shared, bits 11:6, the number of its address bit (asm-generic/mshyperv.h).
BOUNDARY_ACTIVE, BOUNDARY_SHIFT = 1 << 5, 6
ISOLATION_LEAF, PARAVISOR, ISOLATION_TYPE, SNP = 0x4000_000C, 1, 0xF, 2
APIC_MSRS_HINT, RELAXED_TIMING_HINT, NO_AUTO_EOI_HINT = 1 << 3, 1 << 5, 1 << 9                            # EAX
INTERFACE = int.from_bytes(b"Hv#1", "little")  # EAX of 40000001h

# Hypercalls: the control word, call codes, status codes.
FAST = 1 << 16                               # the input is in registers
RESERVED_CONTROL = 0xF << 27 | 0xF << 44 | 0xF << 60
SIZES_CONTROL = 0x3FF << 17 | 1 << 31 | 0xFFF << 32 | 0xFFF << 48  # variable header, nested, repetitions
REP_COUNT, REP_START = 32, 48                # shifts of a rep hypercall's number of repetitions, and of the one to begin with
REPS_CONTROL = 0xFFF << REP_COUNT | 0xFFF << REP_START
POST_MESSAGE, SIGNAL_EVENT, MODIFY_VISIBILITY = 0x5C, 0x5D, 0xDB
FAST_SIGNAL_EVENT = SIGNAL_EVENT | FAST

SUCCESS, INVALID_CODE, INVALID_INPUT, INVALID_ALIGNMENT, INVALID_PARAMETER, ACCESS_DENIED = 0, 2, 3, 4, 5, 6
OPERATION_DENIED = 8
INSUFFICIENT_MEMORY, INVALID_CONNECTION_ID, INSUFFICIENT_BUFFERS, INVALID_SYNIC_STATE = 0x0B, 0x12, 0x13, 0x18
STATUS_NAMES = {
    SUCCESS: "success", INVALID_CODE: "invalid hypercall code", INVALID_INPUT: "invalid hypercall input",
    INVALID_ALIGNMENT: "invalid alignment", INVALID_PARAMETER: "invalid parameter", ACCESS_DENIED: "access denied", OPERATION_DENIED: "operation denied",
    INSUFFICIENT_MEMORY: "insufficient memory", INVALID_CONNECTION_ID: "invalid connection id",
    INSUFFICIENT_BUFFERS: "insufficient buffers", INVALID_SYNIC_STATE: "invalid SynIC state"}

MAX_PAYLOAD = 240
POST_INPUT = Layout("POST_INPUT", u32("connection_id"), u32("reserved"), u32("message_type"), u32("size"),
                    tail="payload")          # 256 bytes with its payload
POST_INPUT_BYTES = POST_INPUT.size + MAX_PAYLOAD
PARTITION_SELF = (1 << 64) - 1
MOST_PAGES = (4096 - 16) // 8               # page numbers behind the header in one page: 510
VISIBILITY_INPUT = Layout("VISIBILITY_INPUT", u64("partition", default=PARTITION_SELF), u32("visibility", "0 private, 1 read-only, 3 shared"),
                          u32("reserved"), tail="pages", each="Q")
SIGNAL_INPUT = Layout("SIGNAL_INPUT", u32("connection_id"), u16("flag"), u16("reserved"))

# Pages: 16 message slots of 256 bytes in one, 16 times 2,048 event flags in the other.
SLOT = 256
MESSAGE_PENDING = 1                          # bit 0 of a slot's flags: more is waiting, write EOM
MESSAGE = Layout("MESSAGE", u32("message_type", "0 = the slot is free"), u8("size"), u8("flags"), u16("reserved"),
                 u64("sender"), tail="payload")
FLAGS_PER_SINT = 8 * SLOT

TIMER_EXPIRED = 0x8000_0010                  # the message type of a synthetic timer; times in 100 ns units
TIMER_PAYLOAD = Layout("TIMER_PAYLOAD", u32("timer"), u32("reserved"), u64("expiration"), u64("delivery"))
TSC_PAGE = Layout("TSC_PAGE", u32("sequence", "0 = not reliable, read the MSR"), u32("reserved"),
                  u64("scale", "time = (TSC * scale >> 64) + offset"), i64("offset"))
