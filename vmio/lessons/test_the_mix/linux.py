"""A real Linux as a guest of the matrix: booted on a host of a generation, its disk read and its card used, and what came of it.

Debian's kernel for clouds brings up all the drivers that it finds devices for, and its first program uses the best disk: an NVMe
function, or else the one on VMBus, or else the IDE disk.  What it was refused it says itself, or its lists of devices do; which
versions it has asked for is seen on the host's side, where each question arrives.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from vmio.boot.params import CARDS_OF_A_HOST, DISKS_OF_A_HOST, HYPER_V, PC, BootParams
from vmio.boot.result import BootResult, interrupts_in
from vmio.boot.run import Boot
from vmio.experiments import mix, mix_kinds as k
from vmio.experiments.mix_result import Cell, Device, Try
from vmio.experiments.pattern import pattern
from vmio.lessons.boot_a_real_linux import live
from vmio.linux import initramfs, kept
from vmio.machine.layout import guid_bytes
from vmio.machine.probes import watch
from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.storage import vstor as v

NAME = "Linux 6.1"
DISK_DRIVERS, CARD_DRIVERS = (k.NVME_VPCI, k.STORVSC, k.IDE_EITHER), (k.NETVSC,)     # the kernel for clouds has none for an old card
MODULES = ("ata_piix", "hv_storvsc", "sd_mod", "hv_netvsc", "pci-hyperv")
CLASSES = {k.NVME_VPCI: "PCI", k.STORVSC: "SCSI", k.NETVSC: "NIC"}       # as `CLASS_NAMES` has them
READS, PINGS = 16, 10
SECONDS, VIRTUAL_MS = 900, 300_000           # of a clock on the wall, until somebody looks why; of the guest's own
READ, PING, OVER = "read", "ping", "over"
DD = f"dd 2>/dev/null if=/dev/$disk iflag=direct bs={mix.BLOCK}"
RULED_OUT = re.compile(r"timer|ttyS|i8042|rtc")             # interrupts of the clock and the console, which go on beside a read


def _mark(name: str) -> str:
    """A command that begins a phase, of the shell's own: no program is started, whose CPUIDs would be counted."""
    return f'echo "<1>{initramfs.MARK} {name}" > /dev/kmsg'


def _keep(name: str, after: int) -> str:
    """A command that keeps the guest's own counts of interrupts, to be shown at the end: a console that is written to interrupts."""
    return f"cat /proc/interrupts > /tmp/counts-{name}-{after}"


COMMANDS = (
    "sleep 0.5",
    "for each in /sys/bus/vmbus/devices/*; do [ -e $each ] && echo VMBUS $each $(cat $each/class_id); done",
    "for each in /sys/bus/pci/devices/*; do [ -e $each/driver ] || echo UNUSED $(cat $each/vendor $each/device $each/class); done",
    "for each in /sys/block/nvme* /sys/block/sd*; do case $(readlink -f $each) in */nvme/*) echo 1 ${each##*/};; *VMBUS*) echo 2 ${each##*/};; "
    "*/ata*) echo 3 ${each##*/};; esac; done | sort > /tmp/disks",
    "read best disk < /tmp/disks; echo DISK $best $disk; [ -n \"$disk\" ] && last=$(($(cat /sys/block/$disk/size) - 1))",
    f"[ -n \"$disk\" ] && {{ {DD} count=1 of=/dev/null; {_keep(READ, 0)}; {_mark(READ)}; {DD} count={READS} skip=1 of=/tmp/read; {_mark(OVER)}; {_keep(READ, 1)}; "
    "echo SUM $(md5sum < /tmp/read); dd 2>/dev/null if=/dev/$disk iflag=direct bs=512 count=1 skip=$last of=/tmp/last; "
    "echo LAST $last $(wc -c < /tmp/last); }",
    "[ -e /sys/class/net/eth0 ] && { ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; sleep 1; ping -q -c 1 10.0.0.1 > /dev/null; "
    f"{_keep(PING, 0)}; {_mark(PING)}; ping -q -i 0.02 -c {PINGS} 10.0.0.1 > /tmp/ping; {_mark(OVER)}; {_keep(PING, 1)}; echo PINGS $(grep -o '[0-9]* packets received' /tmp/ping); }}",
    "dmesg -r | grep -e hv_ -e scsi -e vmbus | sed 's/^/SAID /'",
    "for each in /tmp/counts-*; do [ -e $each ] && echo COUNTS ${each#/tmp/counts-} && cat $each; done; echo COUNTS end")


@dataclass(frozen=True)
class LinuxCell(Cell):
    """A cell of Linux's: `start_exits` are those from power-on to its first program, all its drivers among them."""

    start_exits: int = 0


def params(host: str, lie: str = "none") -> BootParams:
    """Return how Linux is booted on a host of that name: with all that it offers and a boot can have."""
    there = k.host(host)
    return BootParams(modes=tuple(mode for mode, device in DISKS_OF_A_HOST.items() if device in there.devices),
                      net=next((mode for mode, device in reversed(CARDS_OF_A_HOST.items()) if device in there.devices), None),
                      platform=HYPER_V if there.bus else PC, transfer="dma" if there.dma else "pio", host=host, lie=lie if there.bus else "none",
                      quiet=True, timeout=SECONDS, virtual_timeout=VIRTUAL_MS)


def run(point: tuple[str, str]) -> LinuxCell:
    """Boot Linux on (host, lie) and return the cell; ValueError, one sentence, where it can't be booted, and for a name that there isn't."""
    host, lie = point
    works, why = live.usable()
    if not works:
        raise ValueError(why)
    files = kept.find()
    boot = Boot(params(host, lie), files.read("vmlinuz"), initramfs.build(files, COMMANDS, MODULES), pattern(mix.DISK_MIB), name="vmlinuz")
    asked = _listen(boot)
    result = boot.run()
    said = result.console_text.replace("\r", "")
    return LinuxCell(NAME, host, lie, _disk(result, said), _card(result, said), {name: tuple(one.items()) for name, one in asked.items() if one},
                     start_exits=sum(phase.exits(("uart",)) for phase in result.phases if phase.began < _started(result)))


def _listen(boot: Boot) -> dict[str, dict[str, bool]]:
    """{protocol: {version: agreed}} as the guest asks, each for the first time."""
    found: dict[str, dict[str, bool]] = {}

    def hear(part: Any, protocol: str, text: Any) -> None:
        one: dict[str, bool] = {}
        found[protocol] = one

        def asked(version: int, agreed: bool) -> None:
            one.setdefault(text(version), agreed)
        watch(part, "negotiated", asked)
    if boot.params.platform == HYPER_V:
        hear(boot.guest.platform.bus, "VMBus", m.version_text)
    for part in boot.guest.attachments:
        if hasattr(part, "lent"):
            hear(part.lent.vsp, "vPCI", m.version_text)
        elif hasattr(part, "vsp"):
            hear(part.vsp, "network" if hasattr(part, "address") else "storage", n.version_text if hasattr(part, "address") else v.version_text)
    return {name: found[name] for name in ("VMBus", "vPCI", "storage", "network") if name in found}


def _started(result: BootResult) -> int:
    """When its first program began to run commands, in ns."""
    return next((phase.began for phase in result.phases if phase.name.startswith(initramfs.READY)), result.virtual_ns)


def _disk(result: BootResult, said: str) -> Device:
    """What came of its disks."""
    best = re.search(r"^DISK (\d) ", said, re.M)
    number = int(best[1]) - 1 if best else len(DISK_DRIVERS)
    tries = tuple(Try(driver, _missing(said, driver)) for driver in DISK_DRIVERS[:number])
    if not best:
        return Device("disk", tries, 0)
    device = Device("disk", (*tries, Try(DISK_DRIVERS[number])), 0)
    wanted = hashlib.md5(pattern(mix.DISK_MIB).read(mix.SECTORS, READS * mix.SECTORS)).hexdigest()
    if f"\nSUM {wanted}" not in said:
        return replace(device, broke=_broken(result, f"the bytes of sectors {mix.SECTORS} to {(READS + 1) * mix.SECTORS - 1} are not the disk's"))
    last = re.search(r"^LAST (\d+) (\d+)$", said, re.M)
    if last is None or last[2] != "512":
        return replace(device, broke=_broken(result, f"sector {int(last[1]):,}, the last that the disk says it has, can't be read" if last else "no last sector"))
    return _counted(device, result, said, READ, READS, mix.OF_A_DISK)


def _card(result: BootResult, said: str) -> Device:
    """What came of its network card."""
    pinged = re.search(r"^PINGS (\d+) ", said, re.M)
    if not pinged:
        return Device("network", tuple(Try(driver, _missing(said, driver)) for driver in CARD_DRIVERS), 0)
    device = Device("network", (Try(CARD_DRIVERS[0]),), 0)
    if pinged[1] != str(PINGS):
        return replace(device, broke=_broken(result, f"{pinged[1]} of {PINGS} pings were answered"))
    return _counted(device, result, said, PING, PINGS, mix.OF_A_CARD)


def _broken(result: BootResult, otherwise: str) -> str:
    """Why a device that came up did not do its work: the run's own end, if that is no good one."""
    return otherwise if result.good else f"the run ended: {result.end.text}"


def _counted(device: Device, result: BootResult, said: str, phase: str, times: int, devices: tuple[str, ...]) -> Device:
    """A device with what each use has counted: exits without the console's, those at the device, and interrupts by the guest's own count."""
    found = result.phase(phase)
    before, after = (interrupts_in(said.split(f"COUNTS {phase}-{number}\n")[1].split("COUNTS ")[0]) for number in range(2))
    interrupts = sum(count - before[name][0] for name, (count, what) in after.items() if (name.isdigit() or name == "HYP") and not RULED_OUT.search(what))
    at_device = sum(row.moved or row.count if row.instruction.startswith("REP") else row.count for row in found.rows if row.device in devices)
    return replace(device, exits=found.exits(("uart",)) / times, at_device=at_device / times, interrupts=interrupts / times)


def _missing(said: str, driver: str) -> str:
    """Why a driver has no device: the kernel's own words about it or its bus, or else what its lists of devices have in place of it."""
    on_bus = {name: m.CLASS_NAMES.get(guid_bytes(kind), "?") for name, kind in re.findall(r"^VMBUS \S*/([0-9a-f-]+) \{([0-9a-f-]+)\}$", said, re.M)}
    told = re.findall(r"^SAID <[0-4]>\[ *[\d.]+\] (hv_.*)$", said, re.M)
    for words in told if driver in k.ON_VMBUS else []:
        name = next((name for name in on_bus if name in words), "")
        if on_bus.get(name, CLASSES[driver]) == CLASSES[driver] and "Unknown symbol" not in words:
            return f"{driver}: {words.replace(name, on_bus[name]) if name else words}"
    if driver == k.IDE_EITHER:
        return f"{driver}: no disk at an ATA port"
    card = re.search(r"^UNUSED 0x(\w+) 0x(\w+) 0x02\w*$", said, re.M)
    if card and driver in CARD_DRIVERS:
        return f"no driver for the network card {card[1].upper()}:{card[2].upper()} on PCI, and no other card"
    return f"{driver}: no {k.DEVICES[driver]} among what the bus offers: {', '.join(sorted(on_bus.values()))}" if on_bus else "no hypervisor"
