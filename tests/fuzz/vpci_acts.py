"""What a guest with a passed-through function may do: messages, registers, commands, interrupts; and what an honest one does after."""

from tests.passthrough_rig import BUFFER, bus_of, disk_of, one
from vmio.hardware.nvme.wire import SQE_RW
from vmio.passthrough.guest_iommu import FAST, FLUSH_DEVICE_DOMAIN
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.pci import vpci as v

SECTORS = 64
PARTS = [bytes((n,)) * (512 * SECTORS) for n in (0x11, 0x22)]
SECRET = b"\x5A" * 4096


def begun(cpu):
    """(bus, disk): all that an honest guest does, but for one thing: it takes no answer of the device seriously."""
    bus = yield from bus_of(cpu)
    disk = yield from disk_of(cpu, bus)
    bar, driver = disk.driver.bar, disk.driver
    disk.interrupt = lambda cpu: cpu.store(bar + 0x100C, 4, driver.pairs[0].tail)
    return bus, disk


def act(rig, lent, bus, disk, step):
    """One step, (what, its operands ...); a generator for a program of the guest's."""
    cpu, driver, bar = disk.cpu, disk.driver, disk.driver.bar
    kind, *what = step
    if kind == "say" and bus.channel.end is not None:
        try:
            bus.channel.end.send(what[0], 99, want_completion=what[1])
        except (RingFull, RingCorrupt):
            pass
        yield from cpu.pay()
    elif kind == "store":
        offset, size, value = what
        cpu.store(bar + offset, size, value & (1 << 8 * size) - 1)
    elif kind == "load":
        cpu.load(bar + what[0], what[1])
    elif kind == "config":
        offset, size, value = what
        cpu.load(bus.window + offset, size)
        cpu.store(bus.window + offset, size, value & (1 << 8 * size) - 1)
    elif kind in ("io", "admin"):
        opcode, flags, nsid, prp1, prp2, lba, dword12 = what[0]
        pair = driver.pairs[0] if kind == "io" else driver.admin
        driver._put(pair, SQE_RW.pack(opcode, flags, 5, nsid, prp1, prp2, lba, dword12))
        driver._ring(pair)
        yield from cpu.hlt(100_000)
    elif kind == "list":
        cpu.write(BUFFER, b"".join(address.to_bytes(8, "little") for address in what[0]))
    elif kind == "message":
        entry, address, data = what
        for at, value in ((0, address & 0xFFFF_FFFF), (4, address >> 32 & 0xFFFF_FFFF), (8, data), (12, 0)):
            cpu.store(bar + 0x2000 + 16 * entry + at, 4, value)
    elif kind == "flush":
        cpu.hypercall(FLUSH_DEVICE_DOMAIN | FAST, *what)
    elif kind == "retarget":
        cpu.write(BUFFER, what[0])
        cpu.hypercall(v.RETARGET_INTERRUPT | what[1] & 0x3FF << 17, BUFFER)
    elif kind == "wait":
        yield from cpu.hlt(what[0])
    elif kind == "host":
        if what[0] == "take back":
            lent.take_back()
        elif what[0] == "eject":
            if not lent.ended:
                lent.eject()
        else:
            rig.guests[0].enlightened.reset()
    yield from cpu.pay()


def honest(cpu):
    """The neighbour: reads its part, again and again."""
    disk = yield from disk_of(cpu, (yield from bus_of(cpu)))
    for n in range(12):
        yield from one(disk, "read", 8 * (n % 8), 8)
        assert cpu.read(BUFFER, 4096) == PARTS[1][:4096]
        yield from cpu.hlt(50_000)
    return "well"
