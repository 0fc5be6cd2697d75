"""One machine's surfaces all at once: ports, memory, MSRs, hypercalls, messages, rings, vPCI, its device, resets, its end."""

from tests.fuzz import fuzz_chips, fuzz_storvsp, fuzz_vmbus, fuzz_vpci
from tests.fuzz.engine import bruised, number
from tests.fuzz.machine_guests import OURS, SUBCHANNELS, World, whole
from tests.passthrough_rig import MMIO
from tests.board_rig import PORTS
from tests.fuzz.vpci_acts import act
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.inflight import InFlight
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import DATA, READ, WRITE, RingFull
from vmio.vmbus.storage import vstor as v

LIFE, WEIGHT = 60, 10               # an action takes as long as ten of another part
BATCH = 5                           # actions between two requests of the neighbour's
KINDS = (("ports",) * 4 + ("memory", "msr", "hypercall", "message", "protocol") * 3 + ("srb", "say", "device") * 6
         + ("torn", "wait", "masked", "bad", "close", "reset", "lend", "destroy"))
MSRS = (*fuzz_vmbus.MSRS, tlfs.VP_ASSIST_PAGE, 0x80B, tlfs.VP_INDEX, tlfs.TIME_REF_COUNT, tlfs.TSC_FREQUENCY)
ADDRESSES = (0x10_0000, 0x20_0000, 0x40_0000 - 8, 0x40_0000, MMIO, MMIO + 0x1000, MMIO + 0x2000, MMIO + 0x1_0000, 0xFEE0_0000,
             (1 << 48) - 8)


class Machine:
    """The attacker and its neighbour, each connected to all that it has."""

    def __init__(self, dice):
        self.world = World()
        self.attacker, self.neighbour = None, self.world.neighbour
        self.neighbour.run((self.neighbour, self.neighbour.connect))
        self.before = self.world.held
        self.attacker = self.world.party(0)
        self.attacker.run((self.attacker, self.attacker.connect))
        self.used, self.actions, self.quiet = self.world.held, 0, self.neighbour.cpu.spurious

    def step(self, dice, kind):
        """One action on the attacker's processor, then and now with the neighbour at work beside it."""
        attacker, neighbour = self.attacker, self.neighbour
        self.actions += 1
        if kind in ("reset", "lend", "destroy"):
            return kind, getattr(self, kind)(dice)
        programs = [(attacker, lambda cpu: self.acted(cpu, dice, kind))]
        if self.actions % BATCH == 0:
            programs.append((neighbour, neighbour.works))
        return kind, attacker.run(*programs), attacker.server.version, tuple(c.state.value for c in attacker.server.channels.values())[:3]

    def acted(self, cpu, dice, kind):
        outcome = yield from getattr(self, f"_{kind}")(cpu, dice)
        yield from cpu.pay()
        cpu.compute(20_000)                    # the host's turn
        yield from cpu.pay()
        return outcome

    # What a guest can do.

    def _ports(self, cpu, dice):
        for _ in range(dice.randrange(1, 9)):
            port, size = dice.choice(PORTS) if dice.random() < 0.95 else dice.randrange(1 << 16), dice.choice((1, 1, 2, 4))
            value = dice.choice(fuzz_chips.GOOD.get(port, (0, 1))) if dice.random() < 0.8 else number(dice, 32)
            way = dice.randrange(8)
            if way < 4:
                {1: cpu.outb, 2: cpu.outw, 4: cpu.outl}[size](port, value & (1 << 8 * size) - 1)
            elif way < 7:
                {1: cpu.inb, 2: cpu.inw, 4: cpu.inl}[size](port)
            else:
                dice.choice((cpu.insw, cpu.outsb, cpu.outsl))(port, 0x8000, dice.randrange(1, 300))
        return port
        yield

    def _memory(self, cpu, dice):
        for _ in range(dice.randrange(1, 9)):
            size = dice.choice((1, 2, 4, 8))
            at = dice.choice(ADDRESSES) + 4 * dice.randrange(64) if dice.random() < 0.8 else number(dice, 48) & -8
            if dice.random() < 0.5:
                cpu.load(at, size)
            else:
                cpu.store(at, size, number(dice, 8 * size))
        return at >> 20
        yield

    def _msr(self, cpu, dice):
        msr = dice.choice(MSRS) if dice.random() < 0.95 else number(dice, 32)
        if dice.random() < 0.4:
            cpu.rdmsr(msr)
        else:
            cpu.wrmsr(msr, dice.choice((*fuzz_vmbus.WORDS, 0x10_7001)) if dice.random() < 0.7 else number(dice, 64))
        return msr
        yield

    def _hypercall(self, cpu, dice):
        control = dice.choice((tlfs.POST_MESSAGE, tlfs.FAST_SIGNAL_EVENT, 0x5D, 0x7E, number(dice, 16)))
        control ^= 1 << dice.randrange(64) if dice.random() < 0.3 else 0
        return control & 0xFFFF, cpu.hypercall(control, dice.choice((0x2001, 0x2002, 0x10_0000, number(dice, 64))))
        yield

    def _message(self, cpu, dice):
        client = self.attacker.client
        for _ in range(dice.choice((1, 1, 1, 20))):
            data = fuzz_vmbus.message(dice)
            cpu.write(client._input, tlfs.POST_INPUT.pack(connection_id=dice.choice((1, 1, 4)), message_type=1, size=len(data),
                                                          payload=data))
            status = cpu.hypercall(tlfs.POST_MESSAGE, client._input)
        yield from cpu.hlt(100_000)
        return int.from_bytes(data[:4], "little"), status

    def _send(self, payload, number=1, wanted=True, ranges=()):
        end = self.attacker.disk.channel.end
        if end is None:
            return "closed"
        try:
            end.send(payload, number, want_completion=wanted, ranges=ranges)
        except (RingFull, RingCorrupt, ValueError) as error:
            return type(error).__name__
        return "sent"

    def _srb(self, cpu, dice):
        said = None
        for _ in range(dice.choice((1, 2, 12))):
            payload, ranges = fuzz_storvsp.request(dice)
            said = self._send(payload, number(dice, 64), ranges=ranges)
        yield from cpu.hlt(dice.choice((1_000, 300_000)))
        return said

    def _protocol(self, cpu, dice):
        if dice.random() < 0.4:                # sub-channels, which the guest may open and close and forget
            payload = v.SUBCHANNELS.pack(operation=v.CREATE_SUB_CHANNELS, flags=1, subchannels=dice.randrange(SUBCHANNELS + 2))
        else:
            payload = bruised(dice, fuzz_storvsp.protocol(dice), 0.05)
        said = self._send(payload, 1, dice.random() < 0.97)
        yield from cpu.hlt(200_000)
        return said

    def _bad(self, cpu, dice):
        """A record that no honest guest sends."""
        payload = dice.choice((v.PACKET.pack(operation=0x63, flags=1), bytes(8), dice.randbytes(64)))
        said = self._send(payload, 1, dice.random() < 0.5)
        yield from cpu.hlt(200_000)
        return said

    def _torn(self, cpu, dice):
        """Indices and bytes of any ring that is open."""
        channels = [c for c in self.attacker.client.channels.values() if c.end is not None]
        if not channels:
            return "closed"
        end = dice.choice(channels).end
        memory = dice.choice((end.outgoing.memory, end.incoming.memory))
        memory.store32(dice.choice((WRITE, READ, 8, 12)), dice.choice((8 * dice.randrange(600), number(dice, 32))))
        memory.write(DATA + 8 * dice.randrange(300), dice.randbytes(64))
        cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, dice.choice((0x2001, 0x2002)))
        yield from cpu.hlt(200_000)
        return "torn"

    def _say(self, cpu, dice):
        yield from act(None, None, self.attacker.bus, self.attacker.own, ("say", fuzz_vpci.message(dice), dice.random() < 0.9))
        yield from cpu.hlt(50_000)

    def _device(self, cpu, dice):
        kind = dice.choice(("io", "io", "admin", "list", "message", "store", "load", "config", "flush", "retarget"))
        yield from act(None, None, self.attacker.bus, self.attacker.own, fuzz_vpci.made(dice, kind))
        return kind

    def _close(self, cpu, dice):
        """Close the disk, which rescinds its sub-channels, and open it again without a word about them."""
        disk = self.attacker.disk
        cpu.outb(0x43, 0x30)                   # no timer at 1 MHz: the driver may wait for seconds
        yield from disk.close()
        if dice.random() < 0.8:
            yield from disk.init()
        return disk.channel.end is not None

    def _wait(self, cpu, dice):
        return (yield from cpu.hlt(dice.randrange(3_000_000)))

    def _masked(self, cpu, dice):
        """Deaf for a while."""
        cpu.cli()
        cpu.compute(dice.randrange(1_000_000))
        yield from cpu.pay()
        cpu.sti()

    # What is done to it.

    def reset(self, dice):
        """The power button; then it finds all that it had."""
        attacker = self.attacker
        attacker.off()
        attacker.lend(dice.choice(("injected", "posted")))
        attacker.run((attacker, attacker.connect), (self.neighbour, self.neighbour.works))
        return self.honest(lambda cpu: self.own_bytes(cpu))

    def honest(self, program):
        """Run it; an error of a driver is one of ours here."""
        said = self.attacker.run((self.attacker, program))
        assert said is None, said
        return said

    def own_bytes(self, cpu):
        """The attacker's own requests move its own bytes, whatever it has written over them."""
        attacker = self.attacker
        for image in (self.world.media[0][0], self.world.media[1][0]):
            image.write(8, whole(OURS, 4096))
        yield from attacker.works(cpu)

    def lend(self, dice):
        """The host takes the device back, or asks for it, or gives it again."""
        lent = self.attacker.lent
        if lent.ended:
            self.attacker.lend(dice.choice(("injected", "posted")))
            return "lent"
        if dice.random() < 0.5:
            lent.take_back()
            return "taken back"
        return "ejected" if lent.vsp.eject() else "not there"

    def destroy(self, dice):
        """It ends, and another gets what it had."""
        self.attacker.destroy()
        assert self.world.held == self.before, "pages that a guest took along"
        assert self.attacker.lent.ended and not self.world.lending.router._guests.keys() - self.theirs()
        self.attacker = self.world.party(0)
        self.attacker.run((self.attacker, self.attacker.connect))
        return self.honest(self.own_bytes)

    def theirs(self):
        """Entries of the remapping table that are the neighbour's."""
        return {index for index, guest in self.world.lending.router._guests.items() if guest is self.neighbour.guest}

    def check(self):
        """Nothing of anybody else's has changed, and what the host keeps for the attacker has an end."""
        self.world.untouched()
        attacker, host = self.attacker, self.world.host
        server, vsp, guest = attacker.server, attacker.vsp, attacker.guest
        assert len(host.env._queue) < 400 and len(guest.clock._heap) < 300, "events without end"
        assert len(server._port.queue) <= 16 and len(server._outgoing) < 100 and len(server.channels) <= 2047
        assert all(len(queue) <= 16 + tlfs.STIMERS for synic in guest.enlightened.synics for queue in synic.queues)
        assert all(isinstance(flight, InFlight) and len(flight) <= 8 * (1 + SUBCHANNELS) for flight in (
            vsp.under_way, *(c.worker.under_way for c in (vsp, *vsp.subchannels) if c.worker is not None)))
        assert all(len(c.worker._backlog) <= 8 for c in (vsp, *vsp.subchannels) if c.worker is not None)
        assert len(attacker.cpu.table.rows) < 3000 and len(vsp.bounce.made) <= vsp.bounce.max_pages
        assert self.world.held - self.used <= vsp.bounce.max_pages + 16, "host memory without end"
        noticed = self.neighbour.cpu.spurious - self.quiet, dict(self.neighbour.server.refused), self.neighbour.vsp.corrupt
        assert noticed == (0, {}, 0), noticed

    def end(self):
        """After a reset everything works; destroyed, it leaves nothing; so does the neighbour, who has noticed nothing."""
        self.reset(_Always())
        self.attacker.destroy()
        assert self.world.held == self.before, "pages that a guest took along"
        self.neighbour.run((self.neighbour, self.neighbour.works))
        self.check_neighbour()

    def check_neighbour(self):
        self.world.untouched()
        assert self.neighbour.cpu.spurious == self.quiet and self.world.physical.layer.in_flight == 0
        assert all(part.in_flight == 0 for part in self.world.physical.slices)
        self.neighbour.destroy()
        assert not self.world.lending.router._guests and not self.world.lending.iommu.domains


class _Always:
    """Dice that show the first face."""

    @staticmethod
    def choice(faces):
        return faces[0]
