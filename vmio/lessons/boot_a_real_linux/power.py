"""A boot while it goes on: its console and its exits so far, in a panel without controls."""

import ipywidgets
from IPython.display import display

from vmio.lab import rows
from vmio.lab.card import Card
from vmio.lab.panel import Dress
from vmio.lessons.boot_a_real_linux import live, recorded
from vmio.lessons.boot_a_real_linux.plans import CONSOLE
from vmio.lessons.boot_a_real_linux.screen import devices_chart, readout

LINES_A_DRAWING = 6             # of the console, between two drawings


class PowerOn(ipywidgets.VBox):
    """What a machine shows while it boots; `show` draws."""

    def __init__(self) -> None:
        self._text, self._chart = readout(0, "", {}), devices_chart({})
        self.card = Card("vmio-boot-power-on", self.csv)
        body = ipywidgets.Box([self.card])
        body.add_class("vmio-body")
        super().__init__([body, Dress()])
        self.add_class("vmio-panel")

    def __repr__(self) -> str:
        return "PowerOn()"

    def show(self, ns: int, console: str, reasons: dict[str, int], devices: dict[str, int]) -> None:
        """Show the console, the time, and exits by reason and by who answered."""
        self._text, self._chart = readout(ns, console, reasons), devices_chart(devices)
        self.card.show(self._text, [self._chart])

    def csv(self) -> str:
        """Return what is shown as CSV text (`vmio.lab.rows`)."""
        return rows.to_csv(rows.of_panel((), {}, None, [self._chart], self._text))


def power_on(name: str = CONSOLE) -> str:
    """Boot while a panel draws, and return how it ended; where nothing can be booted, show the end of the recorded boot."""
    screen = PowerOn()
    display(screen)
    if live.usable()[0]:
        seen = _boot(name, screen)
    else:
        seen = recorded.of(name)
    last = seen.frames[-1]
    screen.show(last.ns, seen.console, last.reasons, last.devices)
    return f"{seen.plain['kernel'].split()[0]}: {seen.plain['ended']}, {seen.exits:,} exits, {seen.virtual_ns:,} ns"


def _boot(name: str, screen: PowerOn) -> recorded.Seen:
    """Boot it now; every few lines of its console are drawn."""
    lines = 0

    def line() -> None:
        nonlocal lines
        lines += 1
        if lines % LINES_A_DRAWING == 0:
            cpu = machine.boot.cpu
            screen.show(cpu.now, machine.boot.console.text, live.exits_by(cpu, "reason"), live.exits_by(cpu, "device"))
    machine = live.LiveBoot(name, line)
    return recorded.Seen(machine.run())
