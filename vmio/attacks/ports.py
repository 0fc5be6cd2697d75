"""Attacks on the devices of another guest: its I/O ports, and the registers of a device that it was given."""

from contextlib import AbstractContextManager

from vmio.attacks.assigned import AssignedWorld
from vmio.attacks.catalogue import collection
from vmio.attacks.defence import without
from vmio.attacks.emulated import (ATA, BUSY, DATA_REQUEST, READ_SECTORS, STATUS, WRITE_SECTORS, EmulatedWorld, task)
from vmio.attacks.verdict import FAIL, PASS, WEDGED
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu

SDM = "Intel SDM vol. 3C, 25.6.4 \"I/O-Bitmap Addresses\""
ATTACKS, attack = collection("ports", "emulated", EmulatedWorld, "registers")


class Diskless(EmulatedWorld):
    """The attacker has no board: at the ports of a disk there is nothing."""

    attackers_disk = False


def one_bus(world: Diskless) -> AbstractContextManager:
    """The host has one I/O space for all its guests."""
    return without(world.attacker, "io", world.neighbour.io)


def quiet(world: Diskless, cpu: VCpu) -> Steps:
    """Begin, and let the neighbour's requests end: the disk shall be idle."""
    yield from world.begin(cpu)
    while world.taken is None:
        yield from cpu.hlt(100_000)


def data_of(world: Diskless, cpu: VCpu, command: int, lba: int) -> Steps:
    """Begin a command of one sector when all is quiet, and poll until the disk wants data moved; False if it doesn't come to that."""
    yield from quiet(world, cpu)
    task(cpu, command, lba, 1)
    for _ in range(50):
        if cpu.inb(STATUS) & (BUSY | DATA_REQUEST) == DATA_REQUEST:
            return True
        yield from cpu.hlt(100_000)
    return False


@attack("port-read-foreign-disk", "Read the neighbour's disk at its ports", "a guest's ports are its own", SDM,
        "an I/O space for each guest", one_bus, PASS, FAIL, world=Diskless, wall="ports for each guest")
def read_disk(world: Diskless, cpu: VCpu) -> Steps:
    if (yield from data_of(world, cpu, READ_SECTORS, 0)):
        for _ in range(256):
            world.loot += cpu.inw(ATA).to_bytes(2, "little")


@attack("port-write-foreign-disk", "Write the neighbour's disk at its ports", "a guest's ports are its own", SDM,
        "an I/O space for each guest", one_bus, PASS, FAIL, world=Diskless, wall="ports for each guest")
def write_disk(world: Diskless, cpu: VCpu) -> Steps:
    if (yield from data_of(world, cpu, WRITE_SECTORS, 200)):
        for _ in range(256):
            cpu.outw(ATA, 0x6666)
    yield from cpu.hlt(1_000_000)


@attack("port-reset-foreign-disk", "Reset the neighbour's disk while it works", "a guest's ports are its own", SDM,
        "an I/O space for each guest", one_bus, PASS, WEDGED, world=Diskless, wall="ports for each guest")
def reset_disk(world: Diskless, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    for _ in range(40):
        cpu.outb(0x3F6, 0x04)            # SRST
        cpu.outb(0x3F6, 0x02)            # and no interrupts
        yield from cpu.hlt(50_000)


@attack("mmio-disable-foreign-device", "Switch off the device that the neighbour was given", "register pages are in its table only",
        "Intel SDM vol. 3C, 29.3.2 \"EPT Translation Mechanism\"", "register pages are mapped in one guest's table",
        lambda world: without(world.attacker, "direct", world.neighbour.direct), PASS, WEDGED, mode="passthrough",
        world=AssignedWorld, wall="SLAT", long=True)
def disable(world: AssignedWorld, cpu: VCpu) -> Steps:
    yield from world.begin(cpu)
    cpu.store(world.neighbour.direct.regions[0].base + 0x14, 4, 0)     # CC.EN = 0
