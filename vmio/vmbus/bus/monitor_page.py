"""The monitor page between guest and host: 128 bits that the guest sets in place of a hypercall.  Declarations only.

A monitor id stands for a bit: group id / 32, bit id % 32 of the group's pending word.

Source: Linux include/linux/hyperv.h and drivers/hv/hyperv_vmbus.h (hv_monitor_page); Microsoft's
documentation of HV_MONITOR_PAGE; OpenVMM vm/hv1/hvdef/src/lib.rs.
"""

from vmio.machine.layout import Layout, raw, u16, u32

MONITORS, GROUP = 128, 32
LATENCY = 1000             # 100 ns units: 100 us, as OpenVMM offers its network card, and Linux's hyperv.h says of Hyper-V
MONITOR_PAGE = Layout(
    "MONITOR_PAGE",
    u32("group_enable", "bits 3:0: groups in use"), u32("reserved1"),
    *(field for n in range(MONITORS // GROUP) for field in (u32(f"pending{n}", "the guest sets a bit"), u32(f"armed{n}"))),
    raw("reserved2", 24), raw("next_check", 4 * MONITORS, "i32[4][32]"), raw("latency", 2 * MONITORS, "u16[4][32], 100 ns units"),
    raw("reserved3", 256), raw("parameters", 8 * MONITORS, "MONITOR_PARAMETER[4][32]"), raw("reserved4", 1984))
MONITOR_PARAMETER = Layout("MONITOR_PARAMETER", u32("connection_id"), u16("flag"), u16("reserved"))


def pending_word(monitor_id: int) -> tuple[int, int]:
    """(offset in the page, bit) of a monitor id's pending bit."""
    return MONITOR_PAGE.by_name[f"pending{monitor_id // GROUP}"].offset, 1 << monitor_id % GROUP
