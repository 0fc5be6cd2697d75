"""A hostile guest with a passed-through device: any message, any register, any DMA, any interrupt message.

Nothing may escape from the host or hang it; what the device does outside of the
guest's memory must be a status or a fault record; a neighbour, who reads through a
virtual function of the same disk, must not notice; and taken back, the device is as new.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.passthrough_rig import BUFFER, LIMIT, MMIO, Rig, bus_of, disk_of, one
from vmio.drivers.errors import DriverError
from vmio.hardware.nvme.controller import NvmeController
from vmio.hardware.nvme.wire import SQE_RW
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import GuestTimeout
from vmio.machine.clock import Clock
from vmio.machine.storage import Image
from vmio.passthrough import virtual
from vmio.passthrough.guest_iommu import FAST, FLUSH_DEVICE_DOMAIN
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.pci import vpci as v

SECTORS = 64
PARTS = [bytes((n,)) * (512 * SECTORS) for n in (0x11, 0x22)]
SECRET = b"\x5A" * 4096

U32, U64 = st.integers(0, 0xFFFF_FFFF), st.integers(0, (1 << 64) - 1)
ODD = st.sampled_from((0, 1, 2, 0x10, 0x20, 0x50, 0x1000, 0x8000, 0x20_0000, 0xFEE0_0000, MMIO, MMIO + 0x4000,
                       1 << 47, (1 << 48) - 4096, (1 << 64) - 4096))


def values(field):
    if isinstance(field.default, bytes):
        return st.binary(max_size=field.size)
    return (ODD | U64).map(lambda value: value & (1 << 8 * field.size) - 1)


def almost(layout):
    """A message of this layout, some fields at random; slot 0 more often than not."""
    fields = {f.name: values(f) for f in layout.fields if f.name not in ("type", "slot")}
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: layout.pack(**chosen))


RIGHT = st.sampled_from((
    v.QUERY_PROTOCOL_VERSION.pack(version=v.V1_4), v.QUERY_BUS_RELATIONS.pack(), v.BUS_D0EXIT.pack(),
    v.BUS_D0ENTRY.pack(window=MMIO), v.RESOURCES_ASSIGNED2.pack(), v.RESOURCES_RELEASED.pack(), v.RESET_DEVICE.pack(),
    v.CREATE_INTERRUPT3.pack(vector=0x50, count=1, processors=1), v.EJECTION_COMPLETE.pack()))
MESSAGES = (RIGHT | st.one_of([almost(layout) for layout in v.LAYOUTS.values()]) | st.binary(max_size=200)
            | st.builds(lambda data, cut: data[:cut], RIGHT, st.integers(0, 80)))
OFFSETS = (st.sampled_from((0x14, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x1000, 0x1004, 0x1008, 0x100C, 0x1010, 0x1FFC, 0x2000,
                            0x2008, 0x200C, 0x2010, 0x2014, 0x2018, 0x201C, 0x3000)) | st.integers(0, 0x3FFF))
ADDRESSES = st.sampled_from((BUFFER, BUFFER + 8, 0x3F_F000, 0x40_0000, 0x80_0000, 1 << 40, 0xFEE0_0000, 0xFEE0_0010,
                             (1 << 64) - 4096)) | U64
COMMANDS = st.tuples(st.sampled_from((0, 1, 2, 5, 8, 9, 0x19)) | st.integers(0, 255),
                     st.sampled_from((0, 0, 0, 0x40, 0x80, 1)), st.sampled_from((1, 1, 0, 2, 0xFFFF_FFFF)), ADDRESSES,
                     ADDRESSES, st.integers(0, SECTORS + 8) | U64, st.integers(0, 300) | U32)
TRANSFERS = st.tuples(st.sampled_from((1, 2, 5)), st.sampled_from((0, 0, 0x40)), st.just(1), ADDRESSES,
                      ADDRESSES | st.just(BUFFER), st.integers(0, 40), st.integers(0, 24))
STEPS = st.lists(st.one_of(
    st.tuples(st.just("say"), MESSAGES, st.booleans()), st.tuples(st.just("say"), RIGHT, st.booleans()),
    st.tuples(st.just("store"), OFFSETS, st.sampled_from((1, 2, 4, 8)), U64 | ADDRESSES | st.integers(0, 80)),
    st.tuples(st.just("load"), OFFSETS, st.sampled_from((1, 2, 4, 8))),
    st.tuples(st.just("config"), st.integers(0, 0x2000), st.sampled_from((1, 2, 4)), U32 | st.sampled_from((0, 6, 0x8000))),
    st.tuples(st.just("io"), COMMANDS), st.tuples(st.just("io"), TRANSFERS), st.tuples(st.just("io"), TRANSFERS),
    st.tuples(st.just("admin"), COMMANDS),
    st.tuples(st.just("list"), st.lists(ADDRESSES, min_size=1, max_size=16)),
    st.tuples(st.just("message"), st.sampled_from((0, 1)), ADDRESSES | st.integers(0xFEE0_0000, 0xFEEF_FFFF), U32),
    st.tuples(st.just("flush"), U64, U64), st.tuples(st.just("retarget"), almost(v.RETARGET), U32 | st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 200_000)),
    st.tuples(st.just("host"), st.sampled_from(("take back", "eject", "reset")))), min_size=4, max_size=30)


def hostile(rig, lent, steps):
    """A guest that first does what it should, then whatever it likes."""
    def program(cpu):
        bus, disk = yield from begun(cpu)
        for step in steps:
            yield from act(rig, lent, bus, disk, step)
        yield from cpu.hlt(10**6)
    return program


def begun(cpu):
    """(bus, disk): all that an honest guest does, but for one thing: it takes no answer of the device seriously."""
    bus = yield from bus_of(cpu)
    disk = yield from disk_of(cpu, bus)
    bar, driver = disk.driver.bar, disk.driver
    disk.interrupt = lambda cpu: cpu.store(bar + 0x100C, 4, driver.pairs[0].tail)
    return bus, disk


def act(rig, lent, bus, disk, step):
    """One step of `STEPS`; a generator for a program of the guest's."""
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
            if not lent.over:
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


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from(("injected", "posted")))
def test_a_hostile_guest_harms_itself_only(steps, interrupts):
    rig = Rig(image=Image.open(b"".join(PARTS)))
    media = [Image.open(part) for part in PARTS]
    rig.parts(lambda image, count: media[:count])
    mine, theirs = virtual.enable(rig.function, 2)
    lent = rig.assign(0, mine, interrupts=interrupts)
    neighbours = rig.assign(1, theirs)
    secret = rig.host.memory.allocate(1)
    rig.host.memory.write(secret, SECRET)
    far = rig.guests[1].ram - 4096
    rig.host.memory.write(rig.guests[1].ram_spa(far), SECRET)

    def contained(cpu):
        try:
            yield from hostile(rig, lent, steps)(cpu)
        except (DriverError, GuestFault) as error:
            if isinstance(error, GuestTimeout):
                raise

    _, well = rig.host.run((rig.guests[0].cpu, contained), (rig.guests[1].cpu, honest), limit_ns=LIMIT)
    assert well == "well" and rig.guests[1].cpu.spurious == 0
    assert rig.host.memory.read(secret, 4096) == rig.guests[1].memory.read(far, 4096) == SECRET
    assert media[1].read(0, SECTORS) == PARTS[1]
    lent.take_back()
    neighbours.take_back()
    fresh = NvmeController(Clock(), rig.host.memory, media[0], lambda vector: None, serial="VMIOVF00")
    fresh.by_message = False
    fresh.msix.reset()
    assert mine.device.save() == fresh.save()
    assert not rig.router.owners and not rig.iommu.domains.keys() and not rig.guests[0].direct.regions
    rig.host.env.run(until=rig.host.env.now + 10**9)
    for guest in rig.guests:
        guest.enlightened.reset()
    rig.host.env.run(until=rig.host.env.now + 10**9)
    for guest in rig.guests:
        guest.destroy()
