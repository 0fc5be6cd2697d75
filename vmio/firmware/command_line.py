"""Linux's command line in parts, each with its reason: what makes a boot here short, and the same each time.

    text(*CONSOLE, *REPRODUCIBLE, *HYPER_V, "root=/dev/sda1")

Source: Linux Documentation/admin-guide/kernel-parameters.txt, unless a part says another.
"""

from typing import NamedTuple

from vmio.hypervisor.guest import TSC_HZ


class Part(NamedTuple):
    """A word of the command line (or a few that belong together), and why it is there."""

    words: str
    why: str


CONSOLE = (
    Part("console=ttyS0", "the console is the serial port COM1: there is no screen"),
    Part("earlyprintk=serial,ttyS0", "and messages go there before its driver is loaded"))
REPRODUCIBLE = (
    Part("nokaslr", "the kernel stays where it is loaded: its own symbols (System.map) name every address"),
    Part("random.trust_bootloader=on", "nobody waits for randomness that a machine without noise would never have"))
SHORT = (
    Part("mitigations=off", "no detours around processor faults that a translated processor has not"),
    Part("nowatchdog", "no timer that only looks whether the kernel has hung"),
    Part("panic=-1", "a panic restarts the machine at once instead of waiting for a reader"))
TIME = (
    Part(f"tsc_early_khz={TSC_HZ // 1000}", "how fast the time-stamp counter is; else the kernel counts it against the PIT, 17,000 reads "
                                            "of port 42h (arch/x86/kernel/tsc.c)"),
    Part("tsc=reliable", "and that it needs no watching"),
    Part("no_timer_check", "nor a test whether the timer interrupts (arch/x86/kernel/apic/io_apic.c)"))
ONE_PROCESSOR = (                  # where no table says so
    Part("nosmp", "there is one processor, and nobody looks for others"),
    Part("noapic", "interrupts come from the two PICs: there is no I/O APIC"))
BARE_PC = (
    Part("nolapic", "no local APIC: the timer is the PIT, IRQ 0"),
    Part("acpi=off", "what ACPI would tell is known: a PC as of 1996"),
    Part("pci=conf1", "configuration space by ports CF8h and CFCh"),
    Part("clocksource=tsc", "the time is read from the time-stamp counter, without an exit"))
HYPER_V: tuple[Part, ...] = ()     # ACPI, the local APIC and the hypervisor tell the rest, and times by synthetic timers
NO_MESSAGES = (Part("pci=nomsi", "devices interrupt by their pins, through the PICs, also those that could by messages"),)
QUIET = (Part("quiet", "messages stay in the kernel's log: each character is two exits"),)


def text(*parts: Part | str) -> str:
    """Return the command line of parts, and of words as they are."""
    return " ".join(part.words if isinstance(part, Part) else part for part in parts if part)


def explained(*parts: Part) -> str:
    """Return a table: one part a line, and why."""
    width = max(len(part.words) for part in parts)
    return "\n".join(f"{part.words:<{width}}  {part.why}" for part in parts)
