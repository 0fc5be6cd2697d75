"""Virtual PCI and the device behind it: messages, registers, commands, forged interrupts; a neighbour on the same disk."""

from tests.fuzz.engine import bruised, nearly, number
from tests.passthrough_rig import BUFFER, MMIO, Rig
from tests.fuzz.vpci_acts import PARTS, SECRET, SECTORS, act, begun, honest
from vmio.drivers.errors import DriverError
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import GuestTimeout
from vmio.machine.storage import Image
from vmio.passthrough import virtual
from vmio.passthrough.iommu import interrupts
from vmio.vmbus.pci import vpci as v

OUR_ID = v.device_id(b"vpci\x01\0vmio-vpci\0")      # how the guest calls its device in hypercalls
KINDS = ("say",) * 9 + ("io",) * 8 + ("admin", "list", "message", "store", "retarget") * 2 + (
    "theirs", "hoard", "load", "config", "flush", "wait", "again", "host")
OFFSETS = (0x14, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x1000, 0x1004, 0x1008, 0x100C, 0x1FFC, 0x2000, 0x2008, 0x200C, 0x2010, 0x201C)


def message(dice):
    """What a guest says, a field wrong now and then; what ends its use of the device is rare."""
    layout, fields = dice.choice((
        (v.QUERY_PROTOCOL_VERSION, {"version": v.V1_4}), (v.QUERY_BUS_RELATIONS, {}),
        (v.BUS_D0ENTRY, {"window": MMIO}), (v.RESOURCES_ASSIGNED2, {}), (v.RESOURCES_ASSIGNED, {}),
        dice.choice(((v.RESET_DEVICE, {}), (v.RESOURCES_RELEASED, {}), (v.BUS_D0EXIT, {}))),
        (v.POWER_STATE_CHANGE, {"state": v.D0}), (v.QUERY_RESOURCE_REQUIREMENTS, {}),
        (v.CREATE_INTERRUPT3, {"vector": 0x50, "count": dice.choice((1, 1, 1, 4, 32)), "processors": 1}), (v.EJECTION_COMPLETE, {}),
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


def made(dice, kind):
    """One step for `act` of the property tests."""
    if kind == "say":
        return kind, message(dice), dice.random() < 0.9
    if kind == "theirs":        # an interrupt of the neighbour's, deleted or moved
        where, data = interrupts.message(dice.randrange(8))
        if dice.random() < 0.5:
            return "say", v.DELETE_INTERRUPT.pack(count=1, address=where, data=data), True
        return "retarget", v.RETARGET.pack(partition=v.THIS_PARTITION, source=1, vector=0x50, processor_mask=1,
                                           device=OUR_ID, address=where, data=data), 0
    if kind == "io":
        return kind, command(dice)
    if kind == "admin":
        return kind, (dice.choice((0, 1, 4, 5, 6, 8, 9, 10, 12)), *command(dice)[1:])
    if kind == "list":
        return kind, [address(dice) for _ in range(dice.randrange(1, 16))]
    if kind == "message":
        return kind, dice.randrange(2), dice.choice((address(dice), 0xFEE0_0000 + dice.randrange(1 << 20))), number(dice, 32)
    if kind == "store":
        size = dice.choice((1, 2, 4, 4, 8))
        return kind, dice.choice((*OFFSETS, dice.randrange(0x4000 - 8))), size, dice.choice((number(dice, 64), 1, 0x460001))
    if kind == "load":
        return kind, dice.randrange(0x4000 - 8), dice.choice((1, 2, 4, 8))
    if kind == "config":
        return kind, dice.choice((0x1004, 0x1010, 0x1014, dice.randrange(0x1FFC))), dice.choice((1, 2, 4)), number(dice, 32)
    if kind == "flush":
        return kind, number(dice, 64), number(dice, 64)
    if kind == "retarget":
        return kind, nearly(dice, v.RETARGET, {"partition": v.THIS_PARTITION, "source": 1, "vector": 0x50, "processor_mask": 1,
                                               "device": OUR_ID}, 0.3, ()), dice.choice((0, 0, number(dice, 32)))
    if kind == "wait":
        return kind, dice.randrange(200_000)
    return "host", dice.choice(("take back", "eject", "reset"))


class Machine:
    """A disk cut in two virtual functions: one is the hostile guest's, the other its neighbour's."""

    def __init__(self, dice):
        self.rig = rig = Rig(image=Image.open(b"".join(PARTS)))
        self.media = media = [Image.open(part) for part in PARTS]
        rig.parts(lambda image, count: media[:count])
        self.mine, self.theirs = virtual.enable(rig.function, 2)
        self.way = dice.choice(("injected", "posted"))
        self.lent, self.neighbours = rig.assign(0, self.mine, interrupts=self.way), rig.assign(1, self.theirs)
        self.secret, self.far = rig.host.memory.allocate(1), rig.guests[1].ram - 4096
        rig.host.memory.write(self.secret, SECRET)
        rig.guests[1].memory.write(self.far, SECRET)
        rig.run(begun, 1)
        self.begin()
        self.known = self.neighbours_interrupts()

    def begin(self):
        """What an honest guest does with its device."""
        self.bus, self.disk = self.rig.run(begun)

    def neighbours_interrupts(self):
        """{table index: what happens} of the other guest's."""
        router = self.rig.router
        return {index: router._handlers[router._places[index]] for index, owner in router.owners.items()
                if owner == self.theirs.requester}

    def step(self, dice, kind):
        if kind == "again":
            self.take_back()
            self.lent = self.rig.assign(0, self.mine, interrupts=self.way)
            self.begin()
            return (kind,)
        steps = [("say", v.CREATE_INTERRUPT3.pack(vector=0x50, count=1, processors=1), True)] * 24 if kind == "hoard" else [
            made(dice, kind)]
        try:
            for one in steps:
                self.rig.run(lambda cpu: self.acted(cpu, one))
        except (DriverError, GuestFault) as error:
            if isinstance(error, GuestTimeout):
                raise
            return kind, type(error).__name__, str(error)[:20]
        said = int.from_bytes(one[1][:4], "little") if one[0] == "say" else one[1] if one[0] == "host" else 0
        return kind, said, self.mine.device.read(0x1C, 4), len(self.rig.router.owners), self.lent.ended

    def acted(self, cpu, one):
        yield from act(self.rig, self.lent, self.bus, self.disk, one)
        yield from cpu.hlt(30_000)          # the host's turn

    def check(self):
        """Interrupts are counted and the neighbour's are its own; what answers in the guest's memory is no RAM of its."""
        rig, lent = self.rig, self.lent
        ours = sum(owner == self.mine.requester for owner in rig.router.owners.values())
        assert ours <= self.mine.device.vectors, "more interrupts than the device has"
        assert self.neighbours_interrupts() == self.known and rig.guests[1].cpu.spurious == 0, "another guest's interrupt"
        guest = rig.guests[0]
        regions = (*guest.mmio.regions, *guest.direct.regions)
        assert all(region.base >= guest.ram for region in regions), "a device over RAM"
        assert sum(region.name == "vpci config" for region in regions) <= 1
        assert lent._acquired or not lent._mapped, "registers of a device that was given back"

    def take_back(self):
        """The device is the host's again, and the guest is reset."""
        rig = self.rig
        self.lent.take_back()
        assert not any(owner == self.mine.requester for owner in rig.router.owners.values())
        assert not rig.guests[0].direct.regions
        rig.host.env.run(until=rig.host.env.now + 10**9)
        rig.guests[0].enlightened.reset()
        rig.host.env.run(until=rig.host.env.now + 10**9)

    def end(self):
        """The neighbour works and has lost nothing; the next owner of the device finds a working one."""
        rig = self.rig
        rig.guests[1].enlightened.reset()
        rig.host.env.run(until=rig.host.env.now + 10**9)
        assert rig.run(honest, 1) == "well" and rig.guests[1].cpu.spurious == 0
        assert rig.host.memory.read(self.secret, 4096) == rig.guests[1].memory.read(self.far, 4096) == SECRET
        assert self.media[1].read(0, SECTORS) == PARTS[1]
        self.take_back()
        self.neighbours.take_back()
        assert not rig.router.owners and not rig.iommu.domains.keys()
        rig.guests[0].memory.write(0, b"again")
        anew = rig.assign(0, self.mine)
        assert self.mine.device.read(0x1C, 4) == 0
        anew.take_back()
        assert len(rig.host.env._queue) < 300
