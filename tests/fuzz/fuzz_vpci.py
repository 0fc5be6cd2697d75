"""Virtual PCI and the device behind it: messages, registers, commands, forged interrupts; a neighbour on the same disk."""

from tests.fuzz.engine import bruised, nearly, number
from tests.passthrough_rig import BUFFER, LIMIT, MMIO, Rig
from tests.property.test_vpci_hostile import PARTS, SECRET, SECTORS, hostile, honest
from vmio.drivers.errors import DriverError
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import GuestTimeout
from vmio.machine.storage import Image
from vmio.passthrough import virtual
from vmio.vmbus import vpci as v

LIFE = 60        # operations of a machine: what a guest breaks here stays broken until the device is taken back
OFFSETS = (0x14, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x1000, 0x1004, 0x1008, 0x100C, 0x1FFC, 0x2000, 0x2008, 0x200C, 0x2010, 0x201C)


def message(dice):
    """What a guest says, a field wrong now and then; what ends its use of the device is rare."""
    layout, fields = dice.choice((
        (v.QUERY_PROTOCOL_VERSION, {"version": v.V1_4}), (v.QUERY_BUS_RELATIONS, {}),
        (v.BUS_D0ENTRY, {"window": MMIO}), (v.RESOURCES_ASSIGNED2, {}), (v.RESOURCES_ASSIGNED, {}),
        dice.choice(((v.RESET_DEVICE, {}), (v.RESOURCES_RELEASED, {}), (v.BUS_D0EXIT, {}))), (v.POWER_STATE_CHANGE, {"state": v.D0}), (v.QUERY_RESOURCE_REQUIREMENTS, {}),
        (v.CREATE_INTERRUPT3, {"vector": 0x50, "count": 1, "processors": 1}), (v.EJECTION_COMPLETE, {}),
        (v.CREATE_INTERRUPT, {"vector": 0x51, "count": 1, "processor_mask": 1}),
        (v.CREATE_INTERRUPT2, {"vector": 0x52, "count": 1, "processors": 1}),
        (v.DELETE_INTERRUPT, {"count": 1, "address": 0xFEE0_0010}), (dice.choice(tuple(v.LAYOUTS.values())), {})))
    return bruised(dice, nearly(dice, layout, fields, 0.25), 0.1)


def address(dice):
    return dice.choice((BUFFER, BUFFER, BUFFER + 8, BUFFER + 4096, 0x3F_F000, 0x40_0000, 1 << 40, 0xFEE0_0010, number(dice, 64)))


def command(dice):
    fields = [dice.choice((1, 2, 2, 5, 0, 8)), 0, 1, BUFFER, BUFFER + 4096, dice.randrange(SECTORS), dice.randrange(16)]
    for _ in range(dice.choice((0, 0, 1, 2))):
        at = dice.randrange(7)
        fields[at] = (number(dice, 8), dice.choice((0x40, 0x80, 1)), number(dice, 32), address(dice), address(dice),
                      number(dice, 64), number(dice, 32))[at]
    return tuple(fields)


def step(dice):
    """One step for `hostile` of the property tests."""
    what = dice.randrange(30)
    if what < 8:
        return "say", message(dice), dice.random() < 0.9
    if what < 16:
        return "io", command(dice)
    if what < 18:
        opcode = dice.choice((0, 1, 4, 5, 6, 8, 9, 10, 12))
        return "admin", (opcode, *command(dice)[1:])
    if what < 20:
        return "list", [address(dice) for _ in range(dice.randrange(1, 16))]
    if what < 22:
        return "message", dice.randrange(2), dice.choice((address(dice), 0xFEE0_0000 + dice.randrange(1 << 20))), number(dice, 32)
    if what < 24:
        size = dice.choice((1, 2, 4, 4, 8))
        return "store", dice.choice((*OFFSETS, dice.randrange(0x4000 - 8))), size, dice.choice((number(dice, 64), 1, 0x460001))
    if what < 25:
        return "load", dice.randrange(0x4000 - 8), dice.choice((1, 2, 4, 8))
    if what < 26:
        return "config", dice.choice((0x1004, 0x1010, 0x1014, dice.randrange(0x1FFC))), dice.choice((1, 2, 4)), number(dice, 32)
    if what < 27:
        return "flush", number(dice, 64), number(dice, 64)
    if what < 28:
        return "retarget", nearly(dice, v.RETARGET, {"partition": v.THIS_PARTITION, "source": 1, "vector": 0x50,
                                                     "processor_mask": 1}, 0.3, ()), dice.choice((0, 0, number(dice, 32)))
    if what < 29 or dice.random() < 0.9:
        return "wait", dice.randrange(200_000)
    return "host", dice.choice(("take back", "eject", "reset"))


def life(dice, operations, note):
    rig = Rig(image=Image.open(b"".join(PARTS)))
    media = [Image.open(part) for part in PARTS]
    rig.parts(lambda image, count: media[:count])
    mine, theirs = virtual.enable(rig.function, 2)
    lent = rig.assign(0, mine, interrupts=dice.choice(("injected", "posted")))
    neighbours = rig.assign(1, theirs)
    secret, far = rig.host.memory.allocate(1), rig.guests[1].ram - 4096
    rig.host.memory.write(secret, SECRET)
    rig.guests[1].memory.write(far, SECRET)

    def steps():
        for _ in range(min(operations, LIFE)):
            made = step(dice)
            yield made
            kind = int.from_bytes(made[1][:4], "little") if made[0] == "say" else made[1] if made[0] == "host" else 0
            note((made[0], kind, mine.registers.read(0x1C, 4), len(rig.router.owners), len(mine.registers.sqs),
                  lent.over, tuple(sorted(str(reason) for reason in rig.iommu.faults.counts))
                  if hasattr(rig.iommu, "faults") else ()))

    def contained(cpu):
        try:
            yield from hostile(rig, lent, steps())(cpu)
        except (DriverError, GuestFault) as error:
            note((type(error).__name__, str(error)[:20]))
            if isinstance(error, GuestTimeout):
                raise

    _, well = rig.host.run((rig.guests[0].cpu, contained), (rig.guests[1].cpu, honest), limit_ns=LIMIT)
    assert well == "well" and rig.guests[1].cpu.spurious == 0
    assert rig.host.memory.read(secret, 4096) == rig.guests[1].memory.read(far, 4096) == SECRET
    assert media[1].read(0, SECTORS) == PARTS[1]
    lent.take_back()
    neighbours.take_back()
    assert not rig.router.owners and not rig.iommu.domains.keys() and not rig.guests[0].direct.regions
    rig.host.env.run(until=rig.host.env.now + 10**9)
    for guest in rig.guests:
        guest.enlightened.reset()
    rig.host.env.run(until=rig.host.env.now + 10**9)
    rig.guests[0].memory.write(0, b"again")
    anew = rig.assign(0, mine)              # and the next owner finds a working device
    assert mine.registers.read(0x1C, 4) == 0
    anew.take_back()
    assert len(rig.host.env._queue) < 300
