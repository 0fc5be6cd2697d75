"""Guests that are worth moving: one that writes into its pages in a circle, and one that reads and writes its disk as well."""

import hashlib
from typing import Any

from vmio.drivers.contracts import DiskDriver
from vmio.experiments.disk import pattern
from vmio.hypervisor.contracts import Program, Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

NS = 1_000_000_000
FIRST = 1 << 20               # GPA of what a guest without a device writes: the first MiB stays as it is
DISK_MIB = 1
BUFFERS = 64                  # pages that a disk's guest reads into, one after the other
MIB = 1 << 20


def writer(first: int, pages: int, rate: int, writes: int) -> Program:
    """Return a program that increments a word in each of `pages` pages from GPA `first` on, over and over: `writes` in all, `rate` a second.

    Its result is the sum of all words, at the end.
    """
    def program(cpu: VCpu, *drivers: Any) -> Steps[int]:
        done = 0
        for number in range(writes):
            gpa = first + number % pages * PAGE
            cpu.store(gpa, 8, cpu.load(gpa, 8) + 1)
            due = NS * (number + 1) // rate
            cpu.compute(due - done)        # whole ns, and in the long run the rate
            done = due
            yield from cpu.pay()
        return sum(cpu.load(first + number * PAGE, 8) for number in range(pages))
    return program


def disk_user(first: int, requests: int, gap_ns: int) -> Program:
    """Return a program that reads pages of a disk into `BUFFERS` pages from GPA `first` on, one every `gap_ns`, and writes each fourth back elsewhere.

    Its result is the SHA-256 of the buffers, at the end.
    """
    def program(cpu: VCpu, disk: DiskDriver) -> Steps[str]:
        half = DISK_MIB * MIB // 512 // 2
        for number in range(requests):
            buffer = first + number % BUFFERS * PAGE
            again = number % 4 == 3
            lba = number * 8 * 5 % half
            disk.submit("write" if again else "read", half + lba if again else lba, 8, buffer, number)
            disk.flush_ring()
            yield from disk.wait()
            for _, error in disk.reap():
                if error is not None:
                    return f"request {number}: {error}"
            cpu.compute(gap_ns)
            yield from cpu.pay()
        digest = hashlib.sha256()
        for number in range(BUFFERS):
            digest.update(cpu.read(first + number * PAGE, PAGE))
        return digest.hexdigest()
    return program


def machine(program: Program, ram_mib: int) -> tuple[Machine, list[tuple]]:
    """Return a machine of one guest without devices, switched on, and its (guest, program) pair."""
    made = Machine(checkpoints=True)
    guest = made.guest("guest", ram_mib=ram_mib)
    made.power_on()
    return made, [(guest, program)]


def disk_machine(mode: str, requests: int, gap_ns: int, **options: Any) -> tuple[Machine, list[tuple]]:
    """Return a machine of one guest with a disk in `mode` (and its `options`), switched on, and its (guest, program) pair."""
    made = Machine(checkpoints=True)
    device = attachment("disk", mode, **options)
    first = device.driver_memory
    guest = made.guest("guest", device, Overlay(pattern(DISK_MIB)), ram_mib=(first + BUFFERS * PAGE >> 20) + 1)
    made.power_on()
    return made, [(guest, disk_user(first, requests, gap_ns))]
