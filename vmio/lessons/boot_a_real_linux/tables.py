"""Tables of *Boot a real Linux*: everything in them is of a boot, or of a Python driver that is run here and now."""

from textwrap import fill

from vmio.boot.result import Phase, Row
from vmio.lessons.boot_a_real_linux import drivers, live, recorded
from vmio.lessons.boot_a_real_linux.plans import DISKS, MODES, PINS, PIO, PLANS, READS, SYMBOLS, TRAPPED_CLOCK
from vmio.table import table

WORDS = {"emulated": "IDE, emulated", "split": "VMBus, split", "nvme": "NVMe, emulated", "passthrough": "NVMe, passed through"}
TOP = 10
ISA_BASE = 0x30         # vector of IRQ 0 in Linux (arch/x86/include/asm/irq_vectors.h)
CALLBACK, STIMER = 0xF3, 0xED           # Hyper-V's vectors there: its messages and events, and its timer 0
START = "CPUID"         # a program's start: the C library asks what the processor can do; the kernel's own are over when disks are read
PICS, NO_DEVICE = ("pic",), ("hypervisor", "local APIC")
PARTS = ("device", "PIC", "VMCALL", "HLT", "timer")     # what exits are for


def where() -> str:
    """Live or recorded, and why; and what was booted."""
    works, why = live.usable()
    made_of = recorded.file()["of"]
    (kernel, (version, _)), *_ = made_of["packages"].items()
    state = "LIVE. Linux can be booted here." if works else f"RECORDED. No Linux can be booted here: {why}."
    return "\n".join([fill(state, 100), f"Recorded with Unicorn {made_of['unicorn']} and {kernel} {version};",
                      f"SHA-256 of the kernel {made_of['files']['vmlinuz']},", f"of busybox {made_of['files']['busybox']}."])


def boot_line(name: str) -> str:
    """A boot in one sentence."""
    seen = recorded.of(name)
    return (f"{seen.exits:,} exits to the end, {seen.exits - seen.all_exits():,} of them for the console; "
            f"{seen.virtual_ns / 1e6:,.0f} ms of virtual time")


def boot_exits(name: str = DISKS) -> int:
    """Return the exits of a whole boot, the console's left out."""
    return recorded.of(name).all_exits()


def _others(phase: Phase, named: tuple[str, ...]) -> int:
    return sum(count for device, count in phase.by("device").items() if device not in named)


def phases_table(name: str = DISKS) -> str:
    """A boot in phases, and who answered the exits of each, the console's left out."""
    columns = ("hypervisor", "pci", "ata", "bus master", "nvme", "pic", "local APIC")
    rows = []
    for phase in recorded.of(name).phases:
        by = phase.by("device")
        rows.append((phase.name, f"{phase.began / 1e6:,.1f}", phase.exits(("uart",)), *(by.get(column, 0) for column in columns),
                     _others(phase, ("uart", *columns))))
    return table(rows, ("phase", "from ms", "exits", *columns, "others"), "<" + ">" * (len(columns) + 3))


def reasons_table(name: str = DISKS) -> str:
    """The exits of a whole boot by reason, and of its largest devices."""
    seen = recorded.of(name)
    reasons: dict[str, int] = {}
    for phase in seen.phases:
        for reason, count in phase.by("reason", ()).items():
            reasons[reason] = reasons.get(reason, 0) + count
    return table(sorted(reasons.items(), key=lambda one: (-one[1], one[0])), ("exit reason", "exits"))


def split_exits(rows: list[Row]) -> dict[str, int]:
    """Return the exits of reads by what they are for; those of the console, and of a program's start, left out."""
    parts = dict.fromkeys(PARTS, 0)
    for row in rows:
        if row.device != "uart" and row.reason != START:
            parts["PIC" if row.device in PICS else row.reason if row.reason in PARTS else "timer" if row.device in NO_DEVICE else "device"] += row.count
    return parts


def read_exits(mode: str, name: str = DISKS) -> int:
    """Return the exits of the 16 reads of one disk, without those of the console and of the program's start."""
    return sum(split_exits(recorded.of(name).reading(mode).rows).values())


def reads_table(name: str = DISKS) -> str:
    """64 KiB in each mode: Linux's exits, by what they are for, beside those of the Python driver."""
    rows = []
    for mode in MODES:
        linux, python = split_exits(recorded.of(name).reading(mode).rows), split_exits(drivers.reads(mode))
        for who, parts in (("Linux", linux), ("Python", python)):
            total = sum(parts.values())
            rows.append((WORDS[mode] if who == "Linux" else "", who, total, *parts.values(), f"{total / READS:.2f}"))
    return table(rows, (f"{READS} reads of 4 KiB", "driver", "exits", *PARTS, "a read"), "<<" + ">" * (len(PARTS) + 2))


def reading_table(mode: str, name: str = DISKS) -> str:
    """One disk's exits by instruction and who answers, Linux's and the Python driver's."""
    counts: dict[tuple[str, str], list[int]] = {}
    for at, found in enumerate((recorded.of(name).reading(mode).rows, drivers.reads(mode))):
        for row in found:
            if row.device != "uart" and row.reason != START:
                counts.setdefault((row.instruction, row.device), [0, 0])[at] += row.count
    rows = [(*key, *both) for key, both in sorted(counts.items(), key=lambda one: (-one[1][0], one[0]))]
    return table(rows, ("instruction", "answered by", "Linux", "Python"), "<<>>", title=WORDS[mode])


def interrupts_table(name: str = DISKS) -> str:
    """What Linux says of its interrupts, beside how often this hypervisor has delivered their vectors."""
    seen, rows = recorded.of(name), []
    for label, (count, what) in seen.interrupts().items():
        vector = ISA_BASE + int(label) if label.isdigit() and int(label) < 16 else {"HYP": CALLBACK, "HVS": STIMER}.get(label)
        if count and vector is not None:
            rows.append((label, " ".join(what.split()), f"{vector:X}h", count, seen.delivered.get(vector, 0)))
    return table(rows, ("Linux's name", "what Linux says", "vector", "Linux counts", "we delivered"), "<<>>>")


def functions_table(name: str = SYMBOLS) -> str:
    """The ten functions of the kernel in which most exits happen, the console's left out."""
    counts: dict[tuple[str, str, str], int] = {}
    for one in recorded.of(name).functions:
        if one.name:
            key = one.name, one.module or "kernel", one.device
            counts[key] = counts.get(key, 0) + one.exits
    rows = [(*key, count) for key, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:TOP]]
    return table(rows, ("function", "of", "answered by", "exits"), "<<<>")


def callers_table(*devices: str) -> str:
    """The functions of Linux's that have called a helper in which some devices' exits happen: a driver's own lines."""
    counts: dict[tuple[str, str], int] = {}
    for one in recorded.of(SYMBOLS).functions:
        if one.device in devices and one.caller:
            key = one.caller, one.device
            counts[key] = counts.get(key, 0) + one.exits
    rows = [(*key, count) for key, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:TOP]]
    return table(rows, ("called by", "answered by", "exits"), "<<>")


def programs_exits(name: str = SYMBOLS) -> int:
    """Return how many exits are of no function of the kernel's: of programs."""
    return sum(one.exits for one in recorded.of(name).functions if not one.name)


def switches_table() -> str:
    """The same reads and the same boot, with one thing changed at a time."""
    rows = []
    for name in (DISKS, TRAPPED_CLOCK, PINS, PIO):
        seen = recorded.of(name)
        start = seen.phases[0].exits(("uart",))
        rows.append((PLANS[name].what, *(read_exits(mode, name) for mode in MODES), start))
    return table(rows, (f"exits of {READS} reads", "IDE", "VMBus", "NVMe", "passed through", "boot to init"), "<>>>>>")
