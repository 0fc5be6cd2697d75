"""Modelled exits per second of processor time, against the least that any counted exit costs in Python."""

from collections.abc import Callable
from typing import Any

from vmio.bench import Row, ratios, row, sampler, turns
from vmio.machine.probes import watch
from vmio.modes import attachment, one_guest

PORT = 0x3F8


class LeastExit:
    """The floor: an exit that is looked up, takes time, is counted and reaches a chip, and nothing else."""

    def __init__(self, cost: int, sink: Callable[[int], Any]) -> None:
        self.now, self.rows = 0, {PORT: self}
        self.cost, self.count, self.sink = cost, 0, sink

    def outb(self, port: int, value: int) -> None:
        """OUT of a byte."""
        found = self.rows[port]
        self.now += found.cost
        found.count += 1
        found.write(0, 1, value)

    def write(self, offset: int, size: int, value: int) -> None:
        """The chip's register."""
        self.sink(value)


def _again(instruction: Callable[..., Any], *operands: Any) -> Callable[[int], None]:
    """Return work for a sampler: the instruction n times."""
    def work(count: int) -> None:
        for _ in range(count):
            instruction(*operands)
    return work


def measure() -> list[Row]:
    """UART OUT and IN through vCPU, counters, cost and chip, over the floor; OUT where nobody watches any more."""
    def sink(byte: int) -> None:
        pass
    cpu, left = (one_guest(attachment("serial", "emulated", sink=sink)).cpu for _ in range(2))
    stop = watch(left.table, "exited", lambda exit: None)
    left.outb(PORT, 65)
    stop()
    ns = turns({"floor": sampler(_again(LeastExit(1000, sink).outb, PORT, 65)),
                "OUT": sampler(_again(cpu.outb, PORT, 65)), "IN": sampler(_again(cpu.inb, PORT + 5)),
                "left": sampler(_again(left.outb, PORT, 65))}, rounds=75)
    return [row("UART OUT over the least counted exit in Python", ratios(ns["OUT"], ns["floor"]), "at most 1.25 in instructions"),
            row("UART IN (line status) over the same", ratios(ns["IN"], ns["floor"])),
            row("UART OUT that was watched and is no more, over OUT", ratios(ns["left"], ns["OUT"]), "1.0"),
            row("UART OUT, exits per second", [1e9 / each for each in ns["OUT"]], "at least 1,000,000"),
            row("UART IN (line status), exits per second", [1e9 / each for each in ns["IN"]]),
            row("the least counted exit, per second", [1e9 / each for each in ns["floor"]])]
