"""A guest's VMBus devices as its own /sys shows them: a directory for each channel, a file for each number.

    /sys/bus/vmbus/devices/UUID/channels/14/out_full_first

Signals are counted by their reason, so `events` is `intr_out_empty` + `intr_in_full` and what was sent for no reason, which honest drivers
don't.  Files of channels that use monitor pages (pending, latency, monitor_id) are left out.
Source: Linux 6.1, Documentation/ABI/stable/sysfs-bus-vmbus, drivers/hv/vmbus_drv.c.
"""

from uuid import UUID

from vmio.manage.monitor.monitor import channels
from vmio.modes.machine import GuestMachine

ROOT = "/sys/bus/vmbus/devices"


def files(guest: GuestMachine) -> dict[str, str]:
    """Return {path: content} of all channels that are open in a guest; contents end in a line end, as sysfs has it."""
    found: dict[str, str] = {}
    targets: dict[str, list[str]] = {}
    for number, _, channel, end in channels(guest):
        device = f"{ROOT}/{UUID(bytes_le=channel.offer.instance)}"
        counters = end.counters()
        incoming, outgoing = end.incoming.state(), end.outgoing.state()
        shown = {"cpu": channel.cpu.index, "in_mask": incoming["mask"], "out_mask": outgoing["mask"], "subchannel_id": channel.offer.subchannel, **counters}
        for name, value in shown.items():
            found[f"{device}/channels/{number}/{name}"] = f"{value}\n"
        found.setdefault(f"{device}/class_id", f"{{{UUID(bytes_le=channel.offer.interface_type)}}}\n")
        found.setdefault(f"{device}/device_id", f"{{{UUID(bytes_le=channel.offer.instance)}}}\n")
        targets.setdefault(device, []).append(f"{number}:{channel.cpu.index}")
    return found | {f"{device}/channel_vp_mapping": "\n".join(lines) + "\n" for device, lines in targets.items()}


def forced(counters: dict[str, int]) -> int:
    """Return how many signals of a channel had no reason."""
    return counters["events"] - counters["intr_out_empty"] - counters["intr_in_full"]
