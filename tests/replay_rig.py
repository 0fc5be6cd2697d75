"""A port and a page of registers to be recorded and replayed, and what this host can."""

import pytest

from vmio.processors.kvm import probe
from vmio.processors.kvm.record import record

USABLE, REASON = probe.usable()
on_kvm = pytest.mark.skipif(not USABLE, reason=f"NOT RUN ON REAL HARDWARE: {REASON}")


class Port:
    """A device that tells its own bytes, one after the other, and keeps what it is told."""

    def __init__(self):
        self.told, self.heard = 0, []

    def read(self, offset, size):
        self.told += size
        return int.from_bytes(bytes(at * 37 >> 3 & 0xFF for at in range(self.told - size, self.told)), "little")

    def write(self, offset, size, value):
        self.heard.append((size, value))


class Registers:
    """Device memory that keeps what is stored in it."""

    def __init__(self):
        self.bytes = bytearray(0x3000)

    def read(self, offset, size):
        return int.from_bytes(self.bytes[offset:offset + size], "little")

    def write(self, offset, size, value):
        self.bytes[offset:offset + size] = value.to_bytes(size, "little")


PORT, BAR, BUFFER = 0x300, 0xFEB0_0000, 0x2_0000


def machine(plan):
    guest, port, registers = plan.guest, Port(), Registers()
    guest.io.attach(PORT, 4, port, "port", width=4)
    guest.mmio.attach(BAR, 0x3000, registers, "registers", width=8)
    return {"port": lambda: (port.told, list(port.heard)), "registers": lambda: bytes(registers.bytes)}


def of(*calls):
    """A record of these calls of a vCPU's methods: ("outb", PORT, 1), ..."""
    def program(cpu):
        for name, *arguments in calls:
            getattr(cpu, name)(*arguments)
    return record(machine, program)
