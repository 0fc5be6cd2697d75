"""Tables of *Test the mix* about a real Linux: its row of the matrix, and what it does on another emulator."""

from vmio.experiments import mix
from vmio.experiments.mix_lies import LIES
from vmio.hypervisor.costs import published
from vmio.lessons.boot_a_real_linux import live, recorded
from vmio.lessons.boot_a_real_linux.plans import PIO, READS
from vmio.lessons.test_the_mix import recorded as real
from vmio.lessons.test_the_mix.linux import LinuxCell
from vmio.table import number, table

HOSTS = mix.ALL_HOSTS


def linux_row(lie: str = "none") -> str:
    """The row of a real Linux: its drivers, what it was refused in its own words, and what a read and a ping cost."""
    found = [real.cell(host, lie) for host in HOSTS]
    return table([(one.host, one.disk.driver or "-", one.network.driver or "-", one.agreed("VMBus") or "-", one.disk.exits, one.network.exits or "-", one.start_exits)
                  for one in found], ("Linux on host", "disk", "network card", "VMBus", "exits of a read", "of a ping", "of the start"), "<<<<>>>")


def linux_words(lie: str = "none") -> str:
    """Why drivers of a real Linux did not come up, by what it has said itself."""
    return table([(one.host, each.refused) for one in (real.cell(host, lie) for host in HOSTS) for device in one.devices for each in device.tries if each.refused],
                 ("host", "why a driver did not come up"), "<<")


def linux_lies(host: str = "2016") -> str:
    """Each lie, told to a real Linux: what becomes of it, and what it says beyond what it says to an honest host."""
    honest, rows = _words(real.cell(host)), []
    for lie in LIES[1:]:
        one = real.cell(host, lie.name)
        rows.append((lie.name, one.verdict, one.disk.driver or "-", one.network.driver or "-", "; ".join(each for each in _words(one) if each not in honest) or "-"))
    return table(rows, (f"lie of host {host}", "Linux", "its disk", "its network card", "it says"), "<<<<<")


def _words(one: LinuxCell) -> list[str]:
    """Why drivers of a cell did not come up, or broke."""
    return [words for device in one.devices for words in (*(each.refused for each in device.tries), device.broke) if words]


def where() -> str:
    """Whether a real Linux can be booted here, and what was recorded."""
    works, why = live.usable()
    (kernel, (version, _)), *_ = real.file()["of"]["packages"].items()
    return "\n".join(["LIVE. Linux can be booted here." if works else f"RECORDED. No Linux can be booted here: {why}.",
                      f"Recorded with Unicorn {real.file()['of']['unicorn']} and {kernel} {version}."])


def boot_linux(*hosts: str, lie: str = "none") -> str:
    """Boot a real Linux on these hosts, all cores at once, and say what came of it beside what was recorded; where none is, what was recorded."""
    if not hosts:
        return f"Name a host or several of {', '.join(HOSTS)}: a boot takes a processor some fifteen seconds."
    recorded_cells = [real.recorded(host, lie) for host in hosts]
    works, why = live.usable()
    found = real.boot(hosts, lie) if works else recorded_cells
    rows = [(one.host, one.verdict, one.disk.driver or "-", one.disk.exits, one.network.driver or "-", one.network.exits or "-",
             ("yes" if one == other else "no") if works else "-") for one, other in zip(found, recorded_cells)]
    return table(rows, ("Linux on host", "verdict", "disk", "exits of a read", "network card", "of a ping", "as recorded"), "<<<><><",
                 title="Booted here" if works else f"As recorded; no Linux can be booted here: {why}")


def linux_table() -> str:
    """One read of 4 KiB by an unmodified Linux 6.1: on our machine, all exits and those of the disk; on QEMU, accesses of the disk."""
    quoted = {"IDE, PIO": "L01.1", "IDE, DMA": "L01.2", "NVMe, emulated": "L01.3"}
    there = {"IDE, PIO": (PIO, "emulated"), "IDE, DMA": ("disks", "emulated"), "StorVSC": ("disks", "split"),
             "NVMe, emulated": ("disks", "nvme"), "NVMe, passed through": ("disks", "passthrough")}
    rows = []
    for name, (boot, mode) in there.items():
        phase = recorded.of(boot).reading(mode)
        at_device = sum(row.moved or row.count if row.instruction.startswith("REP") else row.count for row in phase.rows if row.device in mix.OF_A_DISK)
        qemu = float(published()[quoted[name]]["value"]) if name in quoted else None
        rows.append((name, phase.exits(("uart",)) / READS, at_device / READS, "-" if qemu is None else number(qemu)))
    return table(rows, ("disk", "exits", "at the device", "accesses on QEMU"), "<>>>", title=f"Linux, a direct read of 4 KiB, mean of {READS}")
