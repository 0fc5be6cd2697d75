"""Modelled exits per second on the full path, against Python's own floor."""

from time import perf_counter

from vmio.bench import best
from vmio.devices.board import Board
from vmio.hypervisor.host import Host

COUNT = 50_000


class Floor:
    """The least that a Python device model could do."""

    def write(self, offset, size, value):
        self.value = value


def measure():
    """UART OUT and IN through vCPU, counters, cost and chip; the floor is a dict look-up and a method call."""
    board = Board(Host(memory_mib=16).guest(ram_mib=4), serial=lambda byte: None)
    outb, inb = board.guest.cpu.outb, board.guest.cpu.inb
    table = {0x3F8: Floor()}

    def floor():
        start = perf_counter()
        for _ in range(COUNT):
            table[0x3F8].write(0, 1, 65)
        return (perf_counter() - start) / COUNT

    def out():
        start = perf_counter()
        for _ in range(COUNT):
            outb(0x3F8, 65)
        return (perf_counter() - start) / COUNT

    def line_status():
        start = perf_counter()
        for _ in range(COUNT):
            inb(0x3FD)
        return (perf_counter() - start) / COUNT
    floor_s, out_s, in_s = best(floor, 15), best(out, 15), best(line_status, 15)
    return [("UART OUT, exits per second", 1 / out_s, "at least 1,000,000"),
            ("UART OUT, rate over the floor's", floor_s / out_s, "at least 0.25"),
            ("UART IN (line status), exits per second", 1 / in_s, ""),
            ("floor: dict look-up and method call, per second", 1 / floor_s, "")]
