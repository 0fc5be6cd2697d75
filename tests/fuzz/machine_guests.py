"""Two guests with everything on one host, for `fuzz_machine`: a board, a bus with a split disk, a passed-through function."""

from tests import guests
from tests.passthrough_rig import BUFFER, LIMIT, MMIO, disk_of
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.board import Board
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.drivers.storvsc import StorVsc
from vmio.drivers.vmbus import VmBusClient
from vmio.drivers.vpci import VpciBus
from vmio.host.drr import DeficitRoundRobin
from vmio.host.nvme import AssignableNvme
from vmio.host.physical import PhysicalDisk
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.faults import GuestTimeout
from vmio.machine.memory import PAGE
from vmio.machine.storage import Image
from vmio.modes import Machine
from vmio.passthrough import virtual
from vmio.passthrough.assignment import assign
from vmio.vmbus.bus.messages import SCSI_CLASS
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp

RAM_MIB, SECTORS, SUBCHANNELS = 4, 64, 3
FAR = 0x3C_0000                     # guest-physical, in the neighbour: from here on its RAM is secret
OURS, THEIRS, SECRET = b"attacker's disk!", b"neighbour's disk", b"nobody's to read"
SETTLE = 100_000_000                # ns in which all that is under way comes to its end


def whole(marker, length=SECTORS * 512):
    """`length` bytes full of a marker."""
    return marker * (length // len(marker))


class Party:
    """One guest and all that it was given; `world` makes it anew when it has been destroyed."""

    def __init__(self, world, name, backend, image, function, marker):
        self.world, self.host, self.marker, self.function = world, world.host, marker, function
        guest, self.server = guests.on_a_bus(world.host, name, RAM_MIB, vcpus=2)
        self.guest, self.cpu = guest, guest.cpu
        self.vsp = StorVsp(world.host, guest, {0: (ScsiTarget(SECTORS), backend)}, batch=4, queue_depth=8,
                           max_subchannels=SUBCHANNELS)
        self.vsp.offer(self.server)
        self.board = Board(guest, (AtaDisk(image),), self._time)
        self.lent = None
        self.lend()
        self.client = self.disk = self.bus = self.own = None

    def _time(self, op, sectors, done):
        if op in ("buffer", "reset"):
            done()
        else:
            self.guest.clock.call_later(self.host.costs.disk_ns(op, sectors), done)

    def lend(self, way="injected"):
        """The virtual function, if it isn't lent."""
        if self.lent is None or self.lent.ended:
            self.lent = assign(self.function, self.guest, self.server, self.world.lending.router, interrupts=way, inherit=True)

    def connect(self, cpu):
        """What an honest guest does first: the bus, the split disk, the passed-through one."""
        cpu.outb(0x21, 0xFF)                   # the PIC's lines are not in use
        cpu.outb(0xA1, 0xFF)
        cpu.sti()
        self.client = client = VmBusClient(cpu, GuestPages(0x10_0000, 0x20_0000))
        yield from client.connect()
        channels = yield from client.request_offers()
        storage = next(c for c in channels if c.offer.interface_type == SCSI_CLASS and not c.offer.subchannel)
        self.disk = StorVsc(client, storage, ring_kib=16, queue_depth=8)
        yield from self.disk.init()
        self.bus = VpciBus(client, next(c for c in channels if c.offer.interface_type != SCSI_CLASS),
                           GuestPages(MMIO, MMIO + (1 << 24)))
        yield from self.bus.init()
        self.own = yield from disk_of(cpu, self.bus)

    def works(self, cpu):
        """A read by each way, and a write, with the right bytes."""
        for disk in (self.disk, self.own):
            cpu.write(BUFFER, bytes(PAGE))
            yield from cpu.pay()
            disk.submit("read", 8, 8, BUFFER, "read")
            disk.flush_ring()
            yield from disk.wait()
            found = disk.reap()
            assert found == [("read", None)], f"{type(disk).__name__} answers {found}"
            assert cpu.read(BUFFER, PAGE) == whole(self.marker, PAGE), f"wrong bytes from {type(disk).__name__}"
        yield from self.disk.write(8, 8, BUFFER)

    def run(self, *programs):
        """Programs of this guest and of others at once; a fault or a driver's error is the guest's own affair."""
        def contained(party, program):
            cpu = party.cpu

            def late(_):
                cpu.compute(max(self.host.env.now - cpu.now, 0))        # it slept while the others ran
                try:
                    return (yield from program(cpu))
                except (GuestFault, DriverError) as error:
                    if isinstance(error, GuestTimeout) or party is not self:
                        raise
                    return f"{type(error).__name__} {str(error)[:20]}"
            return cpu, late
        return self.host.run(*[contained(party, program) for party, program in programs], limit_ns=LIMIT)[0]

    def off(self):
        """The power button: board, bus and processor; all that was under way comes to its end."""
        cpu = self.cpu
        self.board.reset()
        self.guest.enlightened.reset()
        cpu.handlers.clear()
        self.settle()
        assert not any(channel.in_use for channel in self.server.channels.values()), "a channel that never closes"
        assert self.vsp.in_flight == 0 and not self.server.gpadls.by_handle and self.server.gpadls.pages == 0
        assert len(self.server.channels) == 1 + (not self.lent.ended), "relids that nobody gives back"
        assert self.guest.enlightened.event_ports == {} and len(self.vsp.bounce._free) == len(self.vsp.bounce.made)

    def settle(self):
        """Let time pass for everybody."""
        env, clock = self.host.env, self.guest.clock
        env.run(until=env.now + SETTLE)
        clock.advance_to(max(clock.now, env.now))

    def destroy(self):
        """Reset, take back, destroy."""
        if not self.lent.ended:
            self.lent.take_back()
        self.off()
        self.guest.destroy()
        self.host.guests.remove(self.guest)


class World:
    """The host: a disk of its own cut in slices, another whose functions are lent, canaries in what is nobody's."""

    def __init__(self):
        self.host = host = Machine(memory_mib=48).host
        self.media = [[Image.open(whole(marker)) for marker in (OURS, THEIRS)] for _ in range(3)]
        split, lent, self.ata = self.media
        self.physical = PhysicalDisk(host, split, entries=64, scheduler=DeficitRoundRobin(), depth=4)
        self.lending = AssignableNvme(host, [Image.open(bytes(2 * SECTORS * 512))])
        self.lending.iommu.enable()
        function = self.lending.disk.function
        function.pci._parts = lambda image, count: lent[:count]
        self.functions = virtual.enable(function, 2)
        self.secret = host.memory.allocate(2)
        host.memory.write(self.secret, whole(SECRET, 2 * PAGE))
        self.neighbour = self.party(1)
        self.neighbour.guest.memory.write(FAR, whole(SECRET, PAGE))
        self.held = 0                         # pages that were allocated since, and not freed
        self._count_pages(host.memory)

    def party(self, number):
        """Guest 0 is the attacker, 1 its neighbour."""
        return Party(self, ("attacker", "neighbour")[number], self.physical.slices[number], self.ata[number],
                     self.functions[number], (OURS, THEIRS)[number])

    def untouched(self):
        """Nothing that isn't the attacker's has changed."""
        assert self.host.memory.read(self.secret, 2 * PAGE) == whole(SECRET, 2 * PAGE), "the host's page"
        assert self.neighbour.guest.memory.read(FAR, PAGE) == whole(SECRET, PAGE), "the neighbour's RAM"
        assert all(theirs.read(0, SECTORS) == whole(THEIRS) for _, theirs in self.media), "the neighbour's disks"

    def _count_pages(self, memory):
        allocate, free = memory.allocate, memory.free

        def counted(pages, align=1):
            spa = allocate(pages, align)
            self.held += pages
            return spa

        def freed(spa, pages):
            self.held -= pages
            free(spa, pages)
        memory.allocate, memory.free = counted, freed
